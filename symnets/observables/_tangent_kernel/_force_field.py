"""Tangent kernel of a force field: scalar products of the gradients of energies and of forces."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev

from symnets.data import AtomGraph
from symnets.device import on_device
from symnets.memory import check_memory
from symnets.models import ForceField
from symnets.nn import modification
from symnets.observables._as_found import as_found, copy_inputs
from symnets.observables._tangent_kernel._gradients import equal_to_rounding
from symnets.observables._tangent_kernel._points import take_points

CHUNK = 64
"""Number of outputs of a structure that are differentiated together."""


@dataclass(frozen=True)
class PotentialTangentKernel:
    """Tangent kernel of energies E and force components F = -dE/dpos of two sets of structures.

    A block is the matrix of ∇_w a · ∇_w b, where a are all energies or all force components of the first set,
    and b those of the second. Energies are in the order of the structures, force components in the order
    x, y, z of the first atom, x, y, z of the second atom, ..., as in `graph.forces.flatten()`. An entry has
    the unit of a times that of b: eV for E and eV/Å for F.
    """

    energy_energy: Float[Tensor, "graphs1 graphs2"]
    energy_force: Float[Tensor, "graphs1 components2"]
    force_energy: Float[Tensor, "components1 graphs2"]
    force_force: Float[Tensor, "components1 components2"]

    @property
    def matrix(self) -> Float[Tensor, "n1 n2"]:
        """All blocks in one matrix, energies before force components."""
        rows = [self.energy_energy, self.energy_force], [self.force_energy, self.force_force]
        return torch.cat([torch.cat(row, 1) for row in rows])


def potential_tangent_kernel(
    model: nn.Module,
    graphs1: AtomGraph,
    graphs2: AtomGraph | None = None,
    *,
    max_bytes: int = 2**30,
) -> PotentialTangentKernel:
    """Tangent kernel of the energies and forces of a potential, on two sets of structures or on one.

    The gradient of a force is a second derivative, ∇_w F_k = -∂²E/∂w ∂pos_k, so that the blocks are
    derivatives of the kernel Θ of energies with respect to positions:

        Θ_EF = -∂Θ/∂pos',   Θ_FF = ∂²Θ/∂pos ∂pos'.

    They are the scalar products of the gradients of 1 + 3 n_atoms outputs for each structure. These gradients
    are computed together by `torch.func` where the model allows it, otherwise by one backward pass for each.
    Structures are taken in blocks whose gradients fit into `max_bytes`. The model is evaluated in its current
    mode and left as found; parameters with `requires_grad=False` are left out. `tangent_kernel` gives the
    block of energies alone.

    Args:
        model: `ForceField`, or a model of atomic energies that a `ForceField` can wrap.
        graphs1: structures of the rows.
        graphs2: structures of the columns; graphs1 if None.
        max_bytes: memory for gradients, beside the kernel itself.

    Raises:
        ValueError: a force field that is modified or of a subclass, so that its forces may not be -dE/dpos;
            or no trained parameter.
        MemoryError: the kernel does not fit into memory.

    Example:
        >>> kernel = potential_tangent_kernel(model, train)
        >>> kernel.force_force.shape  # 20 structures of 15 atoms
        torch.Size([900, 900])
    """
    if isinstance(model, ForceField):
        if problem := modification(model, ForceField, parts=False):
            raise ValueError(f"model: expected an unmodified ForceField, but {problem}")
        model = model.energy_model
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise ValueError("model: expected parameters with requires_grad=True, found none")
    with torch.inference_mode(False), as_found(model), torch.enable_grad(), on_device(graphs1.pos.device):
        return _blocks(_Gradients(model, trained, graphs1), graphs1, graphs2, max_bytes)


class _Gradients:
    """Gradients of energy and force components of structures, one structure after the other."""

    def __init__(self, model: nn.Module, trained: dict[str, nn.Parameter], example: AtomGraph) -> None:
        self.model, self.trained = model, trained
        self.n_params = sum(p.numel() for p in trained.values())
        self.dtype = reduce(torch.promote_types, [p.dtype for p in trained.values()])
        self._one = self._by_func if self._func_works(take_points(example, slice(0, 1))) else self._by_rows

    def __call__(self, graph: AtomGraph, graphs: slice) -> Float[Tensor, "rows N"]:
        """Gradients of the energies of some structures, then of their force components, one in each row."""
        parts = [self._one(take_points(graph, slice(i, i + 1))) for i in range(graphs.start, graphs.stop)]
        return torch.cat([*(part[:1] for part in parts), *(part[1:] for part in parts)])

    def _energy(self, graph: AtomGraph, call: Callable[[AtomGraph], Tensor], pos: Tensor) -> Tensor:
        moved = copy.copy(graph)
        moved.pos = pos
        return call(moved).double().sum()

    def _outputs(self, graph: AtomGraph, parameters: dict[str, Tensor]) -> Float[Tensor, " outputs"]:
        """Energy and force components as a function of the parameters, for torch.func."""

        def energy(pos: Tensor) -> tuple[Tensor, Tensor]:
            e = self._energy(graph, lambda g: functional_call(self.model, parameters, (g,)), pos)
            return e, e

        gradient, e = grad(energy, has_aux=True)(graph.pos)
        return torch.cat([e[None].to(gradient), -gradient.flatten()])

    def _by_func(self, graph: AtomGraph) -> Float[Tensor, "outputs N"]:
        graph = copy_inputs(graph)
        detached = {name: p.detach() for name, p in self.trained.items()}
        parts = jacrev(lambda parameters: self._outputs(graph, parameters), chunk_size=CHUNK)(detached)
        return torch.cat([parts[name].flatten(1) for name in self.trained], 1)

    def _by_rows(self, graph: AtomGraph) -> Float[Tensor, "outputs N"]:
        outputs, leaves = self._outputs_with_graph(graph), list(self.trained.values())
        rows = [
            torch.autograd.grad(f, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)
            for f in outputs
        ]
        return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])

    def _outputs_with_graph(self, graph: AtomGraph) -> Float[Tensor, " outputs"]:
        graph = copy_inputs(graph)
        pos = graph.pos.detach().clone().requires_grad_()
        e = self._energy(graph, self.model, pos)
        (gradient,) = torch.autograd.grad(
            e, pos, create_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([e[None].to(gradient), -gradient.flatten()])

    def _func_works(self, graph: AtomGraph) -> bool:
        """Whether torch.func can differentiate the model and gives the same energy and forces as backward."""
        expected = self._outputs_with_graph(graph).detach()
        try:
            self._by_func(graph)
            detached = {name: p.detach() for name, p in self.trained.items()}
            found = self._outputs(copy_inputs(graph), detached)
        except (RuntimeError, ValueError, TypeError):
            return False
        return equal_to_rounding(found, expected)


def _blocks(
    gradients: _Gradients, graphs1: AtomGraph, graphs2: AtomGraph | None, max_bytes: int
) -> PotentialTangentKernel:
    columns = graphs1 if graphs2 is None else graphs2
    n = tuple(g.n_graphs + g.pos.numel() for g in (graphs1, columns))
    if graphs1.pos.device.type == "cpu":
        what = f"potential_tangent_kernel: a kernel of {n[0]} x {n[1]} energies and forces"
        check_memory(what, n[0] * n[1] * gradients.dtype.itemsize, "take fewer structures")
    kernel = torch.empty(n, dtype=gradients.dtype, device=graphs1.pos.device)
    size = gradients.n_params * gradients.dtype.itemsize
    ranges2 = _graph_ranges(columns, size, max_bytes // 2)
    kept = gradients(columns, ranges2[0]) if len(ranges2) == 1 else None
    for first in _graph_ranges(graphs1, size, max_bytes // 2):
        rows = kept if graphs2 is None and kept is not None else gradients(graphs1, first)
        i = _kernel_indices(graphs1, first)
        for second in ranges2:
            if graphs2 is None and second.start > first.start:
                break
            same = graphs2 is None and second == first
            right = kept if kept is not None else rows if same else gradients(columns, second)
            j, block = _kernel_indices(columns, second), rows @ right.T
            kernel[i[:, None], j] = block
            if graphs2 is None and not same:
                kernel[j[:, None], i] = block.T
    a, b = graphs1.n_graphs, columns.n_graphs
    return PotentialTangentKernel(kernel[:a, :b], kernel[:a, b:], kernel[a:, :b], kernel[a:, b:])


def _graph_ranges(graph: AtomGraph, bytes_each: int, max_bytes: int) -> list[slice]:
    """Ranges of structures whose gradients fit into `max_bytes`, at least one structure each."""
    found, start, used = [], 0, 0
    for index, atoms in enumerate(graph.n_atoms.tolist()):
        size = (1 + 3 * atoms) * bytes_each
        if index > start and used + size > max_bytes:
            found.append(slice(start, index))
            start, used = index, 0
        used += size
    return [*found, slice(start, graph.n_graphs)]


def _kernel_indices(graph: AtomGraph, graphs: slice) -> Tensor:
    """Indices in the kernel of the energies, then of the force components, of a range of structures."""
    atoms = ((graph.owner >= graphs.start) & (graph.owner < graphs.stop)).nonzero()[:, 0]
    energies = torch.arange(graphs.start, graphs.stop, device=atoms.device)
    components = (3 * atoms[:, None] + torch.arange(3, device=atoms.device)).flatten()
    return torch.cat([energies, graph.n_graphs + components])
