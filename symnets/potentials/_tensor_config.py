"""TensorConfig: a tensor output of a model, and the label it is trained on."""

from dataclasses import dataclass
from typing import Annotated, Literal

from symnets.config import at_least, check_annotated
from symnets.data import TensorColumn
from symnets.models import PHYSICAL, TensorOutput


@dataclass(frozen=True)
class TensorConfig:
    """Tensor that a model learns: its kind, and the key of its labels in the files.

    Example (YAML):
        tensors:
          dipole: {}  # kind and key are the name
          alpha: {kind: polarizability, unit: Å³}
          quadrupole: {irreps: 1x2e, key: Q}
    """

    kind: str | None = None
    """irreps, dipole, dipole of charges, charges, polarizability, atom matrix or symmetric atom matrix; by
    default the name of the tensor, or irreps if `irreps` is given."""
    irreps: str | None = None
    """Irreps such as 2x0e+1x1o+1x2e, in e3nn's order, for the kind irreps."""
    per: Literal["structure", "atom"] = "structure"
    """Whether the tensor belongs to each structure or to each atom, for the kind irreps."""
    pool: Literal["sum", "mean"] = "sum"
    """Sum or mean over the atoms of a structure, for the kind irreps."""
    origin: Literal["mass", "nuclear charge", "coordinates"] = "mass"
    """Point to which dipoles of ions in the file are relative: the centre of mass or of nuclear charge, or
    the origin of the coordinates; with the last, the model's are relative to the centre of mass."""
    key: str | None = None
    """Key of the label in the files, per structure or per atom; by default the name of the tensor."""
    unit: str | None = None
    """Unit of the label, which is printed; labels are not converted."""
    weight: Annotated[float, at_least(0)] = 1.0
    """Weight in the loss of the mean squared error, in units of the label's variance."""

    def __post_init__(self) -> None:
        check_annotated("tensors", self)

    def output(self, name: str) -> TensorOutput:
        """The output of the model, without scale and shift.

        Raises:
            ValueError: the kind is unknown, or the irreps cannot be read; the message names the tensor.
        """
        kind = self.kind or ("irreps" if self.irreps is not None or name not in PHYSICAL else name)
        origin = "mass" if self.origin == "coordinates" else self.origin
        try:
            return TensorOutput(kind, self.irreps, self.per, self.pool, origin)
        except ValueError as error:
            raise ValueError(f"tensors.{name}.{error}") from error

    def column(self, name: str) -> TensorColumn:
        """Key and shape of the tensor's label in a file."""
        output = self.output(name)
        about_origin = self.origin == "coordinates" and output.kind.startswith("dipole")
        return TensorColumn(self.key or name, output.shape, output.of_atoms, about_origin)

    def unit_of(self, name: str) -> str:
        """Unit of the label, "" if it is not known."""
        if self.unit is not None:
            return self.unit
        kind = self.output(name).kind
        return PHYSICAL[kind].unit if kind in PHYSICAL else ""
