"""Compiled: a force field made ready for inference."""

import copy

from torch import nn

from symnets.models.force_field import ForceField
from symnets.nn.tabulated_convolution import tabulate


class Compiled(ForceField):
    """A trained force field whose radial networks are tables: the same predictions up to the error of cubic
    splines, several times faster. It cannot be trained; `symnets.simulate.compile` chooses the number of
    knots by the error.

    Args:
        energy_model: trained, of `symnets.nn.Convolution` layers; it is copied.
        n_knots: intervals of each table between 0 and the cutoff.
    """

    def __init__(self, energy_model: nn.Module, n_knots: int) -> None:
        twin = copy.deepcopy(energy_model)
        tabulate(twin, float(energy_model.cutoff), n_knots)  # pyright: ignore[reportArgumentType]
        super().__init__(twin)
        self.config = {"energy_model": energy_model, "n_knots": n_knots}
        self.n_knots = n_knots
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "Compiled":
        """Refuses to be trained."""
        if mode:
            raise ValueError("a compiled model cannot be trained: its tables are fixed; train the original")
        super().train(False)
        return self
