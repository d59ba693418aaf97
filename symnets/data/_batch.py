"""Batch of a loader: the inputs of a model and the targets, which are labels of structures or a tensor."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def has_stress(cell: Tensor | np.ndarray, pbc: Tensor | np.ndarray) -> Any:
    """Whether structures have a stress: some lattice vector is periodic, and the cell has a volume.

    Slabs and wires in a cell with vacuum have one; molecules have none, even in a box.

    Args:
        cell: (..., 3, 3), rows are lattice vectors in Å.
        pbc: (..., 3), of the same kind.

    Returns:
        (...) booleans. A cell whose volume is below 1e-6 of that of a right-angled one counts as flat.
    """
    vectors: Any = cell
    a, b, c = vectors[..., 0, :], vectors[..., 1, :], vectors[..., 2, :]
    volume = abs(
        a[..., 0] * (b[..., 1] * c[..., 2] - b[..., 2] * c[..., 1])
        + a[..., 1] * (b[..., 2] * c[..., 0] - b[..., 0] * c[..., 2])
        + a[..., 2] * (b[..., 0] * c[..., 1] - b[..., 1] * c[..., 0])
    )
    right_angled = (a**2).sum(-1) ** 0.5 * (b**2).sum(-1) ** 0.5 * (c**2).sum(-1) ** 0.5
    return pbc.any(-1) & (volume > 1e-6 * right_angled)


class Labels(NamedTuple):
    """Labels of a batch of structures; NaN marks a missing label."""

    energy: Float[Tensor, " graphs"]
    """eV, float64."""
    forces: Float[Tensor, "atoms 3"] | None
    """eV/Å."""
    stress: Float[Tensor, "graphs 3 3"] | None
    """eV/Å³; NaN where `has_stress` is false."""
    owner: Int[Tensor, " atoms"]
    """Structure that each atom belongs to."""
    n_atoms: Int[Tensor, " graphs"]
    """Number of atoms of each structure."""
    tensors: Mapping[str, Tensor] | None = None
    """Tensor labels by name, (graphs, ...) or (atoms, ...), see `add_tensor_labels`."""
    weight: Float[Tensor, " graphs"] | None = None
    """Weight of each structure in the loss, float64; None for equal weights."""


class Batch(NamedTuple):
    """Inputs of a model and targets, as yielded by a `Loader`."""

    inputs: Any
    """A collated `AtomGraph`, or a tensor of shape (batch, ...)."""
    targets: Any
    """`Labels`, or a tensor of shape (batch, ...)."""

    @classmethod
    def of(cls, value: Any) -> "Batch":
        """A batch from one, or from a tuple or list of inputs and targets.

        Raises:
            ValueError: anything else, such as a dict or a data loader.
        """
        if isinstance(value, Batch):
            return value
        if not isinstance(value, tuple | list) or len(value) != 2:
            size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
            keys = f" with keys {', '.join(map(str, value))}" if isinstance(value, Mapping) else ""
            raise ValueError(
                f"batch: expected (inputs, targets), got a {type(value).__name__}{size}{keys}; pass "
                "Batch(inputs=..., targets=...)"
            )
        for part in value:
            if type(part).__module__ == "numpy":
                raise ValueError("batch: expected tensors or graphs, got a numpy array; use torch.from_numpy")
        return cls(*value)

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on a device; copies to a GPU are asynchronous, from pinned memory."""
        to_gpu = torch.device(device).type == "cuda" and torch.cuda.is_available()

        def moved(field: Any) -> Any:
            if isinstance(field, Mapping):
                return {name: moved(part) for name, part in field.items()}
            if isinstance(field, tuple | list):
                parts = map(moved, field)
                return type(field)(*parts) if hasattr(field, "_fields") else type(field)(parts)
            if not hasattr(field, "to"):
                raise ValueError(f"batch: expected tensors or graphs, got a {type(field).__name__}")
            if to_gpu and not field.is_cuda:
                field = field.pin_memory()
            return field.to(device, non_blocking=to_gpu)

        targets = self.targets
        if isinstance(targets, Labels):
            fields = {name: moved(field) for name, field in targets._asdict().items() if field is not None}
            return Batch(moved(self.inputs), targets._replace(**fields))
        return Batch(moved(self.inputs), moved(targets))
