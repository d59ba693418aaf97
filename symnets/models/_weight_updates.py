"""WeightUpdates: a trained model with trained updates of its weights, of full or low rank."""

import copy
from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from symnets.data import AtomGraph


class WeightUpdates(nn.Module):
    """Energy model with weights W + U: the weights W of a trained model are fixed, the updates U are trained.

    U has the shape of W and starts at 0. With a rank r < min(n, m), a matrix W of n rows and m columns has

        U = r^(-1/2) A B,     A of shape (n, r),     B of shape (r, m),

    where A starts with numbers from N(0, 1) and B at 0; both are trained. For other weights the update is of
    full rank. Weight decay of a full U draws the weights back to W; with low rank, A and B decay to 0.

    Source for updates of low rank: Hu et al. 2021, LoRA, arXiv:2106.09685.

    Args:
        energy_model: a trained energy model; its parameters are frozen.
        names: names of the parameters that get updates; the last two axes of a parameter are those of W.
        rank: r; None for updates of full rank.
        seed: seed of the random numbers in A.

    Raises:
        ValueError: the model has no parameter of one of the names.

    Example:
        updated = ForceField(WeightUpdates(force_field.energy_model, names, rank=8))
        ...  # train the parameters that require a gradient
        ordinary = ForceField(updated.energy_model.folded())
    """

    def __init__(
        self, energy_model: nn.Module, names: Collection[str], *, rank: int | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        weights = dict(energy_model.named_parameters())
        if unknown := sorted(set(names) - weights.keys()):
            raise ValueError(f"names: expected names of parameters of the model, got {unknown}")
        self.model = energy_model.requires_grad_(False)
        self.species: tuple[int, ...] = tuple(energy_model.species)  # pyright: ignore
        self.cutoff: float = float(energy_model.cutoff)  # pyright: ignore[reportArgumentType]
        self.full, self.left, self.right = (nn.ParameterDict() for _ in range(3))
        generator = torch.Generator().manual_seed(seed)
        for name in names:
            weight, key = weights[name], _key(name)
            *others, n, m = (1, 1, *weight.shape)
            if rank is None or weight.ndim < 2 or rank >= min(n, m):
                self.full[key] = nn.Parameter(torch.zeros_like(weight))
                continue
            shape = others[2:]
            left = torch.randn(*shape, n, rank, generator=generator, dtype=torch.float64)
            self.left[key] = nn.Parameter(left.to(weight) * rank**-0.5)
            self.right[key] = nn.Parameter(weight.new_zeros(*shape, rank, m))

    def weights(self) -> dict[str, Tensor]:
        """The sums W + U of the weights that have updates, by name."""
        updates = dict(self.full.items()) | {key: left @ self.right[key] for key, left in self.left.items()}
        return {
            name: weight + updates[_key(name)]
            for name, weight in self.model.named_parameters()
            if _key(name) in updates
        }

    def forward(self, graph: AtomGraph) -> Float[Tensor, " atoms"]:
        """Energy of each atom in eV."""
        return functional_call(self.model, self.weights(), (graph,))

    @torch.no_grad()
    def folded(self) -> nn.Module:
        """A copy of the energy model, of its original class, with the weights W + U."""
        model: Any = copy.deepcopy(self.model)
        parameters = dict(model.named_parameters())
        for name, weight in self.weights().items():
            parameters[name].copy_(weight)
            parameters[name].requires_grad_(True)
        return model


def _key(name: str) -> str:
    """Name of a parameter with slashes in place of dots, which are not allowed in keys of a ParameterDict."""
    return name.replace(".", "/")
