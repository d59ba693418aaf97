"""TensorModel: a graph network with several named tensor outputs, and optionally energies and forces."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.models._force_field import ForceField
from symnets.models._graph_network import graph_network
from symnets.models._tensor_output import TensorOutput


class TensorPrediction(NamedTuple):
    """Prediction of a tensor model for a batch of structures; None for what it does not predict."""

    tensors: dict[str, Tensor]
    """Outputs by name, each (structures, ...) or (atoms, ...)."""
    energy: Float[Tensor, " graphs"] | None = None
    """Energy, forces, stress and atomic energies are those of `EnergyForces`."""
    forces: Float[Tensor, "atoms 3"] | None = None
    stress: Float[Tensor, "graphs 3 3"] | None = None
    node_energy: Float[Tensor, " atoms"] | None = None


class TensorModel(nn.Module):
    """Several named tensor outputs of one graph network, which are trained together.

    Args:
        model: a graph network with `node_features`, such as `NequIP`; or a `ForceField` of one, whose
            energies and forces are then predicted, too, from the same pass through the network.
        outputs: a `TensorOutput`, or its fields, for each name.

    Raises:
        ValueError: no output, or the features of the network lack an irrep of one; the message names it.

    Example:
        net = NequIP(["H", "C"], irreps_last="64x0e+64x1o+64x2e")
        outputs = {"dipole": TensorOutput("dipole"), "quadrupole": TensorOutput(irreps="1x2e")}
        TensorModel(net, outputs)(graph).tensors["dipole"]  # (structures, 3)
    """

    def __init__(self, model: nn.Module, outputs: Mapping[str, TensorOutput | Mapping[str, Any]]) -> None:
        super().__init__()
        if not outputs:
            raise ValueError('outputs: expected at least one, such as {"dipole": TensorOutput("dipole")}')
        self.outputs = {
            name: output if isinstance(output, TensorOutput) else TensorOutput(**output)
            for name, output in sorted(outputs.items())  # model files do not keep the order
        }
        self.config = {
            "model": model,
            "outputs": {name: asdict(output) for name, output in self.outputs.items()},
        }
        self.model = model
        self.species: tuple[int, ...] = tuple(model.species)  # pyright: ignore
        self.cutoff: float = float(model.cutoff)  # pyright: ignore
        irreps_features: o3.Irreps = graph_network(model).irreps_features  # pyright: ignore
        self.readouts = nn.ModuleList()
        for name, output in self.outputs.items():
            try:
                self.readouts.append(output.readout(irreps_features, self.species))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error

    @property
    def force_field(self) -> ForceField | None:
        """The force field that predicts energies and forces; None if the model has tensor outputs only."""
        return self.model if isinstance(self.model, ForceField) else None

    def forward(self, graph: AtomGraph) -> TensorPrediction:
        """All outputs of every structure of the batch.

        With a force field, the tensor outputs cannot be differentiated with respect to `graph.pos`, and in
        eval mode not with respect to the weights; the same holds for energies and forces. To differentiate
        the outputs, call `tensors`.
        """
        if self.force_field is None:
            return TensorPrediction(self.tensors(graph))
        prediction, features = self.force_field.with_features(graph)
        return TensorPrediction(self._read_out(features, graph, self.outputs), **prediction._asdict())

    def tensors(self, graph: AtomGraph, names: Collection[str] | None = None) -> dict[str, Tensor]:
        """Tensor outputs by name, without energies and forces: all, or those of `names`."""
        features = graph_network(self.model).node_features(graph)  # pyright: ignore[reportCallIssue]
        return self._read_out(features, graph, self.outputs if names is None else names)

    def _read_out(
        self, features: Float[Tensor, "atoms dim"], graph: AtomGraph, names: Collection[str]
    ) -> dict[str, Tensor]:
        readouts = zip(self.outputs, self.readouts, strict=True)
        return {name: readout(features, graph) for name, readout in readouts if name in names}
