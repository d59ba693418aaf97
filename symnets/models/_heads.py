"""Heads: an energy model with a readout, scale and shift for each of several levels of theory."""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.models._energy_model import EnergyModel


class Heads(nn.Module):
    """Energy model with several heads on shared layers, each with a readout, a scale and a shift.

    There is one head for each level of theory. `graph.head`, of shape (graphs,), is the number of the head
    that gives the energy of each structure; without this field, head 0 gives all. At first all heads are
    copies of the readout, scale and shift of the model.

    Args:
        energy_model: a trained energy model, or a wrapper of one; it is copied.
        n_heads: number of heads.

    Raises:
        ValueError: the model has no readout (see `readout_parts`).

    Example:
        two = Heads(force_field.energy_model, 2)
        ...  # train on graphs of both levels
        second = ForceField(two.single(1))
    """

    def __init__(self, energy_model: nn.Module, n_heads: int) -> None:
        super().__init__()
        self.model = copy.deepcopy(energy_model)
        self.n_heads = n_heads
        self.species: tuple[int, ...] = tuple(energy_model.species)  # pyright: ignore
        self.cutoff: float = float(energy_model.cutoff)  # pyright: ignore[reportArgumentType]
        body = energy_network(self.model)
        for name in readout_parts(body):
            setattr(body, name, _by_head(getattr(body, name), n_heads))

    def forward(self, graph: AtomGraph) -> Float[Tensor, " atoms"]:
        """Energy of each atom in eV, by the head of its structure."""
        head, owner = graph.get("head"), graph.owner
        choice = torch.zeros_like(owner) if head is None else head.to(owner.device)[owner]
        parts = [module for module in self.model.modules() if isinstance(module, _ByHead)]
        for part in parts:
            part.choice = choice
        try:
            return self.model(graph)
        finally:
            for part in parts:
                part.choice = None

    def single(self, head: int) -> nn.Module:
        """A copy of the energy model, of its original class, with one of the heads.

        Raises:
            ValueError: there is no head of this number.
        """
        if not 0 <= head < self.n_heads:
            raise ValueError(f"head: expected 0 to {self.n_heads - 1}, got {head}")
        model = copy.deepcopy(self.model)
        body = energy_network(model)
        for name in readout_parts(body):
            setattr(body, name, _of_head(getattr(body, name), head))
        return model


class _ByHead(nn.Module):
    """Copies of a module that maps rows to rows; `choice` is, for each row, the index of the copy to use."""

    def __init__(self, module: nn.Module, n_heads: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(copy.deepcopy(module) for _ in range(n_heads))
        self.choice: Int[Tensor, " atoms"] | None = None

    def forward(self, rows: Tensor, *others: Tensor) -> Tensor:
        results = torch.stack([head(rows, *others) for head in self.heads])
        assert self.choice is not None
        return results[self.choice, torch.arange(len(rows), device=rows.device)]


def _by_head(module: nn.Module, n_heads: int) -> nn.Module:
    if isinstance(module, nn.ModuleList):
        return nn.ModuleList(_ByHead(inner, n_heads) for inner in module)
    return _ByHead(module, n_heads)


def _of_head(module: nn.Module, head: int) -> nn.Module:
    if isinstance(module, nn.ModuleList):
        return nn.ModuleList(_of_head(inner, head) for inner in module)
    assert isinstance(module, _ByHead)
    return module.heads[head]


def energy_network(energy_model: nn.Module) -> EnergyModel:
    """The `EnergyModel` within an energy model that may be wrapped, for example in `WithZBL`.

    Raises:
        ValueError: there is none.
    """
    found = next((module for module in energy_model.modules() if isinstance(module, EnergyModel)), None)
    if found is None:
        raise ValueError(
            f"{type(energy_model).__name__}: expected a network derived from symnets.models.EnergyModel, "
            "whose layers and readout are known"
        )
    return found


def readout_parts(body: EnergyModel) -> list[str]:
    """Names of the parts of a network that belong to a head: all readouts, and `atomic_energy`.

    A readout is a part whose name contains "readout", such as `last_readout` of `MACE`.

    Raises:
        ValueError: there is no readout.
    """
    children = [name for name, _ in body.named_children()]
    names = [name for name in children if "readout" in name or name == "atomic_energy"]
    if not any("readout" in name for name in names):
        raise ValueError(f"{type(body).__name__}: expected a part named readout, got {', '.join(children)}")
    return names
