"""Find the graph network within a model; compute energies and features in one pass through it."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import AtomGraph


def graph_network(model: nn.Module) -> nn.Module:
    """The graph network with `node_features` within a model, such as a `ForceField` or `WithZBL`.

    Raises:
        ValueError: there is none.
    """
    network = model
    while not hasattr(network, "irreps_features"):
        inner = getattr(network, "energy_model", None)
        if not isinstance(inner, nn.Module):
            raise ValueError(
                f"model: expected a graph network with node_features, got {type(network).__name__}; choose "
                "NequIP, MACE or another of symnets.models.architectures()"
            )
        network = inner
    return network


def energy_and_features(
    energy_model: Any, graph: AtomGraph
) -> tuple[Float[Tensor, " atoms"], Float[Tensor, "atoms dim"]]:
    """Energy of each atom, and the features of the graph network within a model of energies.

    They come from one pass if the model has a method `energy_and_features`, as `EnergyModel` has; else, or if
    a subclass overrides `forward` alone, from a pass for each.
    """
    for cls in type(energy_model).__mro__:
        if "energy_and_features" in vars(cls):
            return energy_model.energy_and_features(graph)
        if "forward" in vars(cls):
            break
    network: Any = graph_network(energy_model)
    return energy_model(graph), network.node_features(graph)
