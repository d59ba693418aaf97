"""Tensors: a graph network with one tensor output, of any irreps or a physical quantity."""

from dataclasses import asdict
from typing import Any

from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.models._graph_network import graph_network
from symnets.models._tensor_output import TensorOutput


class Tensors(nn.Module):
    """Tensors of structures or atoms, of any irreps or a physical quantity, from a graph network.

    Outputs rotate and reflect with the structure and do not change when it is translated. Those of the kind
    "irreps" are in e3nn's order, (structures, dim) or (atoms, dim); the readout is `TensorReadout`. Physical
    quantities are in Cartesian components:

    | kind | output | made of |
    |---|---|---|
    | `dipole` | (structures, 3), e·Å | conserved charges, and a dipole (1o) of each atom |
    | `dipole of charges` | (structures, 3), e·Å | conserved charges |
    | `charges` | (atoms,), e | scalars whose sum is the charge of the structure |
    | `polarizability` | (structures, 3, 3), symmetric | 0e + 2e of each atom |
    | `atom matrix` | (atoms, 3, 3) | 0e + 1e + 2e |
    | `symmetric atom matrix` | (atoms, 3, 3) | 0e + 2e |

    Outputs without a unit here are in the unit of their labels. The charge of a structure is the field
    `charge` of the graph in e, zero if there is none. Dipoles are relative to the centre of mass by default
    (`origin`).

    Args:
        model: graph network with `node_features` and `irreps_features`, such as `NequIP`. Features of l > 0
            need its argument `irreps_last`.
        irreps: irreps of the output, such as "2x0e+1x1o+1x2e"; None for a physical quantity.
        options: fields of `TensorOutput`, such as `kind`, `per` and `pool`.

    Raises:
        ValueError: the features of the model lack an irrep of the output.

    Example:
        net = NequIP(["H", "C"], irreps_last="64x0e+32x1o+32x2e")
        Tensors(net, "1x0e+1x1o")(graph)  # (structures, 4)
        Tensors(net, kind="dipole")(graph)  # (structures, 3)
    """

    def __init__(self, model: nn.Module, irreps: str | None = None, **options: Any) -> None:
        super().__init__()
        self.output = TensorOutput(irreps=irreps, **options)
        self.config = {"model": model, **asdict(self.output)}
        self.model = model
        self.species: tuple[int, ...] = tuple(model.species)  # pyright: ignore
        self.cutoff: float = float(model.cutoff)  # pyright: ignore
        irreps_features: o3.Irreps = graph_network(model).irreps_features  # pyright: ignore
        self.readout = self.output.readout(irreps_features, self.species)

    def forward(self, graph: AtomGraph) -> Float[Tensor, "n *shape"]:
        """Output of each structure or atom; float64 if it has a `shift`, else in the dtype of the model."""
        features = graph_network(self.model).node_features(graph)  # pyright: ignore[reportCallIssue]
        return self.readout(features, graph)
