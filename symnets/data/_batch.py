"""Batch of a loader: the inputs of a model and the targets, which are labels of structures or a tensor."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Labels(NamedTuple):
    """Labels of a batch of structures; NaN marks a missing label."""

    energy: Float[Tensor, " graphs"]
    """eV, float64."""
    forces: Float[Tensor, "atoms 3"] | None
    """eV/Å."""
    stress: Float[Tensor, "graphs 3 3"] | None
    """eV/Å³."""
    owner: Int[Tensor, " atoms"]
    """Structure that each atom belongs to."""
    n_atoms: Int[Tensor, " graphs"]
    """Number of atoms of each structure."""


class Batch(NamedTuple):
    """Inputs of a model and targets, as yielded by a `Loader`."""

    inputs: Any
    """A collated `AtomGraph`, or a tensor of shape (batch, ...)."""
    targets: Any
    """`Labels`, or a tensor of shape (batch, ...)."""

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on a device; copies to a GPU are asynchronous, from pinned memory."""
        to_gpu = torch.device(device).type == "cuda" and torch.cuda.is_available()

        def moved(field: Any) -> Any:
            if to_gpu and not field.is_cuda:
                field = field.pin_memory()
            return field.to(device, non_blocking=to_gpu)

        targets = self.targets
        if isinstance(targets, Labels):
            fields = {name: moved(field) for name, field in targets._asdict().items() if field is not None}
            return Batch(moved(self.inputs), targets._replace(**fields))
        return Batch(moved(self.inputs), moved(targets))
