"""ForceField: energy, forces and stress from a model of atomic energies, also compiled for inference."""

import copy
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.device import on_device
from symnets.models._graph_network import energy_and_features
from symnets.models._native_model import NativeModel
from symnets.native import NativeProgram
from symnets.nn import tabulate

T = TypeVar("T")


class EnergyForces(NamedTuple):
    """Prediction of a force field for a batch of structures."""

    energy: Float[Tensor, " graphs"]
    """Total energies in eV, float64: near -10⁴ eV, float32 would resolve only 1 meV."""
    forces: Float[Tensor, "atoms 3"]
    """-dE/dpos in eV/Å."""
    stress: Float[Tensor, "graphs 3 3"] | None
    """(1/V) dE/dstrain in eV/Å³; NaN for a graph where `has_stress` is false, None if it is false for all."""
    node_energy: Float[Tensor, " atoms"]
    """Energy of each atom in eV, float64."""


class ForceField(nn.Module):
    """Forces and stress by differentiating an energy model.

    The structures are displaced by a strain ε, one symmetric matrix a graph,

        pos -> pos (1 + ε),   cell -> cell (1 + ε),

    and with E the energy at ε = 0,

        forces = -dE/dpos,   stress = (1 / volume) dE/dε.

    Args:
        energy_model: module with attributes `species` (atomic numbers) and `cutoff` (Å)
            whose `forward(graph)` returns the energy of each atom, shape (atoms,), in eV,
            differentiable in `graph.pos` and `graph.cell`.

    Training mode keeps the graph of the forces, so that losses on forces can be differentiated.
    """

    def __init__(self, energy_model: nn.Module) -> None:
        super().__init__()
        self.config = {"energy_model": energy_model}
        self.energy_model = energy_model
        self.species: tuple[int, ...] = tuple(energy_model.species)  # pyright: ignore
        self.cutoff: float = float(energy_model.cutoff)  # pyright: ignore

    def forward(self, graph: AtomGraph) -> EnergyForces:
        """Energy, forces and stress of every structure of the batch."""
        prediction, _ = self._predict(graph, lambda strained: (self.energy_model(strained), None))
        return prediction

    def with_features(self, graph: AtomGraph) -> tuple[EnergyForces, Float[Tensor, "atoms dim"]]:
        """Energy, forces and stress, and the features of atoms, all from one pass through the network.

        In training mode, the features can be differentiated with respect to the weights, but not with respect
        to `graph.pos`.

        Raises:
            ValueError: the energy model contains no graph network such as `NequIP`.
        """
        prediction, features = self._predict(
            graph, lambda strained: energy_and_features(self.energy_model, strained)
        )
        return prediction, features if self.training else features.detach()

    def _predict(
        self, graph: AtomGraph, evaluate: Callable[[AtomGraph], tuple[Tensor, T]]
    ) -> tuple[EnergyForces, T]:
        """Prediction from the atomic energies that `evaluate` returns first, and its second result."""
        self._check_dtype(graph)
        has_stress = graph.has_stress[:, None, None]
        strained_too = bool(has_stress.any())
        # Derivatives are needed in inference mode and under no_grad too.
        with torch.inference_mode(False), torch.enable_grad(), on_device(graph.pos.device):
            pos = graph.pos.detach().clone().requires_grad_()
            strained = copy.copy(graph)
            for name, field in graph.to_dict().items():
                if isinstance(field, Tensor) and field.is_inference():
                    strained[name] = field.clone()  # tensors made in inference mode cannot be differentiated
            strained.pos, variables, owner = pos, [pos], strained.owner
            if strained_too:
                strain = torch.zeros_like(strained.cell, requires_grad=True)
                symmetric = (strain + strain.mT) / 2
                strained.pos = pos + torch.einsum("na,nab->nb", pos, symmetric[owner])
                strained.cell = strained.cell + strained.cell @ symmetric
                variables.append(strain)
            node_energy, other = evaluate(strained)
            node_energy = node_energy.double()
            energy = node_energy.new_zeros(graph.n_graphs).index_add(0, owner, node_energy)
            gradients = torch.autograd.grad(
                [energy.sum()],
                variables,
                create_graph=self.training,
                allow_unused=True,  # a lone atom's energy depends on no position
                materialize_grads=True,
            )
        stress = None
        if strained_too:
            volume = graph.cell.det().abs()[:, None, None]
            # Divide by one where there is no volume: the gradient of a NaN would be NaN, masked or not.
            stress = gradients[1] / volume.where(has_stress, 1.0)
            stress = stress.where(has_stress, torch.nan)
        if not self.training:
            energy, node_energy = energy.detach(), node_energy.detach()
        return EnergyForces(energy, -gradients[0], stress, node_energy), other

    def _check_dtype(self, graph: AtomGraph) -> None:
        weight = next((p for p in self.parameters() if p.is_floating_point()), None)
        if weight is not None and weight.is_inference():
            raise ValueError(
                "model: its weights were made in torch.inference_mode and cannot be differentiated, which "
                "forces need; build, load or copy the model outside of it"
            )
        if weight is not None and weight.dtype != graph.pos.dtype:
            raise ValueError(
                f"graph: expected positions in the model's {weight.dtype}, got {graph.pos.dtype}; "
                f"build it with from_ase(..., dtype={weight.dtype}), or move the model to {graph.pos.dtype}"
            )


class Compiled(ForceField):
    """A trained force field with tables in place of radial networks, several times faster.

    Predictions are the same up to the error of cubic splines. It cannot be trained.
    `symnets.simulate.compile` chooses the number of knots by the error.

    On the CPU, in float32 and float64, a forward pass is one call of machine code (`NativeProgram`), which is
    made at the first call, if all layers support it. Otherwise it is computed through torch, with equal
    results up to rounding: on other devices, in other dtypes, within transforms of torch.func, if hooks are
    registered, and always if the environment variable SYMNETS_NATIVE is 0. `why_not_native` is the reason.

    Machine code is kept in the folder `machine-code` of `symnets.downloads.cache()`. A later process finds it
    there for the same model, or for another of the same shapes.

    A change of weights is noticed at the next call, with one exception: torch does not count changes in place
    through `.data`, such as `weight.data.mul_(2)`. Change weights under `torch.no_grad()` instead, or call
    `model.to("cpu")` after such a change.

    Args:
        energy_model: trained model with `symnets.nn.Convolution` or `Attention` layers; it is copied.
        n_knots: number of intervals of each table between 0 and the cutoff.

    Attributes:
        use_native: whether native code may be used, true by default.
    """

    def __init__(self, energy_model: nn.Module, n_knots: int) -> None:
        twin = copy.deepcopy(energy_model)
        tabulate(twin, float(energy_model.cutoff), n_knots)  # pyright: ignore[reportArgumentType]
        super().__init__(twin)
        self.config = {"energy_model": energy_model, "n_knots": n_knots}
        self.n_knots = n_knots
        self.use_native = True
        self._native = NativeModel()
        self.eval().requires_grad_(False)

    def forward(self, graph: AtomGraph) -> EnergyForces:
        """Energy, forces and stress of every structure of the batch."""
        if self.use_native and (found := self._native.energies(self, graph)) is not None:
            return EnergyForces(*found)
        return super().forward(graph)

    @property
    def native(self) -> NativeProgram | None:
        """Native program of the present weights, made at first use; None if impossible (`why_not_native`)."""
        return self._native.program(self, changed=True) if self.use_native else None

    @property
    def why_not_native(self) -> str | None:
        """Reason why the force field is computed through torch; None if it is one native call."""
        if not self.use_native:
            return "use_native is false"
        return None if self.native is not None else self._native.why_not

    def train(self, mode: bool = True) -> "Compiled":
        """Set evaluation mode; training mode is an error."""
        if mode:
            raise ValueError("a compiled model cannot be trained: its tables are fixed; train the original")
        super().train(False)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Compiled":
        """Move to another device or dtype; the native program is made anew when it is needed."""
        self._native = NativeModel()
        super()._apply(fn, recurse)
        return self
