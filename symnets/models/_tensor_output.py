"""TensorOutput: description of an output of a tensor model, and its readout."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from e3nn import o3
from torch import nn

from symnets.models._physical_outputs import AtomMatrix, Charges, Dipole, Polarizability
from symnets.models._tensor_readout import TensorReadout


class _Physical(NamedTuple):
    """Shape, irreps and unit of a physical quantity, and the irreps of features from which it is computed."""

    per: Literal["structure", "atom"]
    shape: tuple[int, ...]
    irreps: str
    features: str
    unit: str


PHYSICAL = {
    "dipole": _Physical("structure", (3,), "1x1o", "1x0e+1x1o", "e·Å"),
    "dipole of charges": _Physical("structure", (3,), "1x1o", "1x0e", "e·Å"),
    "charges": _Physical("atom", (), "1x0e", "1x0e", "e"),
    "polarizability": _Physical("structure", (3, 3), "1x0e+1x2e", "1x0e+1x2e", ""),
    "atom matrix": _Physical("atom", (3, 3), "1x0e+1x1e+1x2e", "1x0e+1x1e+1x2e", ""),
    "symmetric atom matrix": _Physical("atom", (3, 3), "1x0e+1x2e", "1x0e+1x2e", ""),
}
"""Shape, irreps and unit ("" for that of the labels) of each physical quantity, by the name of its kind."""


_CHOICES = {"per": ("structure", "atom"), "pool": ("sum", "mean"), "origin": ("mass", "nuclear charge")}


@dataclass(frozen=True)
class TensorOutput:
    """Description of one output of a tensor model: its kind, irreps, pooling, scale and shift.

    Args:
        kind: "irreps", for which `irreps` is given; or "dipole", "dipole of charges" (without atomic
            dipoles), "charges", "polarizability", "atom matrix" or "symmetric atom matrix".
        irreps: irreps of the output, such as "2x0e+1x1o+1x2e", for the kind "irreps".
        per: "structure" or "atom", for the kind "irreps".
        pool: "sum" or "mean" over the atoms of a structure, for the kind "irreps".
        origin: "mass" or "nuclear charge": dipoles are relative to the centre of mass or of nuclear charge,
            which matters for ions.
        scale: factor of the network's output: one number, or one for each channel of the irreps.
        shift: for each species, in order of atomic number, a number for each channel of even scalars, which
            is added to the output of an atom; None for no shift. Dipoles have none.

    Raises:
        ValueError: an unknown kind or other option, irreps that cannot be read, or irreps that are given for
            another kind or missing for the kind "irreps".
    """

    kind: str = "irreps"
    irreps: str | None = None
    per: str = "structure"
    pool: str = "sum"
    origin: str = "mass"
    scale: float | Sequence[float] = 1.0
    shift: Sequence[Sequence[float]] | None = None

    def __post_init__(self) -> None:
        if self.kind != "irreps" and self.kind not in PHYSICAL:
            raise ValueError(f"kind: expected irreps, {', '.join(PHYSICAL)}, got {self.kind!r}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected {' or '.join(choices)}, got {getattr(self, name)!r}")
        if (self.irreps is None) == (self.kind == "irreps"):
            raise ValueError(
                f"irreps: expected for kind irreps only, such as 1x0e+1x1o, got {self.irreps} for {self.kind}"
            )
        one_scale = isinstance(self.scale, int | float)
        if self.kind.startswith("dipole") and (self.shift is not None or not one_scale):
            raise ValueError("scale, shift: expected one number and None for a dipole, whose mean is zero")
        if self.irreps is not None:
            try:
                if not o3.Irreps(self.irreps).dim:
                    raise ValueError("no component")
            except ValueError as error:
                raise ValueError(f"irreps: expected irreps such as 1x0e+1x1o, got {self.irreps!r}") from error

    @property
    def of_atoms(self) -> bool:
        """Whether there is an output for each atom instead of each structure."""
        return (self.per if self.kind == "irreps" else PHYSICAL[self.kind].per) == "atom"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the output of one structure or atom."""
        return (o3.Irreps(self.irreps).dim,) if self.kind == "irreps" else PHYSICAL[self.kind].shape

    @property
    def irreps_out(self) -> o3.Irreps:
        """Irreps of the output."""
        return o3.Irreps(self.irreps if self.kind == "irreps" else PHYSICAL[self.kind].irreps)

    @property
    def irreps_needed(self) -> o3.Irreps:
        """Irreps that the features of the network must have."""
        return o3.Irreps(self.irreps if self.kind == "irreps" else PHYSICAL[self.kind].features)

    def readout(self, irreps_features: o3.Irreps, species: Sequence[int]) -> nn.Module:
        """Module (features, graph) -> output, with fresh weights.

        Raises:
            ValueError: the features lack an irrep.
        """
        options: dict = {"scale": self.scale, "shift": self.shift}
        match self.kind:
            case "charges":
                return Charges(irreps_features, species, **options)
            case "polarizability":
                return Polarizability(irreps_features, species, **options)
            case "atom matrix" | "symmetric atom matrix":
                symmetric = self.kind.startswith("symmetric")
                return AtomMatrix(irreps_features, species, symmetric=symmetric, **options)
            case "dipole" | "dipole of charges":
                assert isinstance(self.scale, int | float)
                options = {"scale": self.scale, "atomic": self.kind == "dipole", "origin": self.origin}
                return Dipole(irreps_features, species, **options)
        assert self.irreps is not None
        return TensorReadout(irreps_features, species, self.irreps, per=self.per, pool=self.pool, **options)
