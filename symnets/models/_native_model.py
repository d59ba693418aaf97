"""The native program of a compiled force field, made at its first use and called on graphs."""

import copy
import operator
import os
from typing import Any

import numpy as np
import torch
import torch.nn.modules.module as registry
from torch import Tensor, nn

from symnets.data import AtomGraph, has_stress
from symnets.device import on_device
from symnets.native import AtomEnergies, CannotLower, EdgeFilter, NativeProgram, energy_program
from symnets.nn import HOOKS, modification
from symnets.ops import is_traced

SWITCH = "SYMNETS_NATIVE"
"""Environment variable; with the value 0 compiled force fields are computed through torch."""
_VERSION = operator.attrgetter("_version")
_DTYPES = {torch.float32: "float32", torch.float64: "float64"}


class NativeModel:
    """Native program of a compiled force field, which is made when it is first needed.

    It belongs to the weights and modules that the force field then had. After a change the next call goes
    through torch, and the program is made again once two calls in a row find the same force field. Copies and
    pickles of this object are empty.

    Attributes:
        why_not: reason why there is no program; None if there is one, or if none was needed yet.
    """

    def __init__(self) -> None:
        self.why_not: str | None = None
        self._program: NativeProgram | None = None
        self._idle: list[NativeProgram] = []
        self._contents: _Contents | None = None
        self._tried = False

    def __deepcopy__(self, memo: object) -> "NativeModel":
        return NativeModel()

    def __reduce__(self) -> tuple[type["NativeModel"], tuple[()]]:
        return NativeModel, ()

    def program(self, model: nn.Module, *, changed: bool = False) -> NativeProgram | None:
        """The program of a force field, or None.

        Args:
            model: module with `energy_model`, the same at each call.
            changed: whether to make the program at once if the force field has changed.
        """
        if self._contents is None or not self._contents.same():
            first = self._contents is None
            self._contents, self._program, self._idle, self._tried = _Contents(model), None, [], False
            if not (first or changed):
                self.why_not = "its weights or modules have changed since the last call"
                return None
        if not self._tried:
            self.why_not, self._tried = None, True
            try:
                self._program = _program(model)
            except CannotLower as error:
                self.why_not = str(error)
        return self._program

    def energies(
        self, model: nn.Module, graph: AtomGraph
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor] | None:
        """Fields of `EnergyForces` for a graph; None if torch must compute them, or raise an error.

        Threads that call this at once have a program each, with memory of its own.
        """
        if not _is_plain(graph) or (program := self.program(model)) is None:
            return None
        if str(graph.pos.dtype).removeprefix("torch.") != program.dtype:
            return None
        species: Any = model.species
        idle = self._idle
        try:
            own = idle.pop()
        except IndexError:  # another thread is in a call
            own = copy.copy(program)
        try:
            with torch.inference_mode(False), on_device("cpu"):
                return _energies(own, graph, species)
        finally:
            idle.append(own)


def _indices(numbers: np.ndarray, species: tuple[int, ...]) -> np.ndarray:
    """Index of each atomic number among those of a model, which increase; -1 for others."""
    known = np.asarray(species)
    indices = np.searchsorted(known, numbers).astype(np.int64)
    return np.where(known.take(indices, mode="clip") == numbers, indices, -1)


def _program(model: Any) -> NativeProgram:
    """Lower and compile a force field.

    Raises:
        CannotLower: there is no native code for it.
    """
    if os.environ.get(SWITCH) == "0":
        raise CannotLower(f"the environment variable {SWITCH} is 0")
    tensors = [*model.parameters(), *model.buffers()]
    if any(tensor.is_inference() for tensor in tensors):
        raise CannotLower("its weights were made in torch.inference_mode")
    if any(tensor.device.type != "cpu" for tensor in tensors):
        raise CannotLower("it is not on the CPU")
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    if dtype not in _DTYPES:
        raise CannotLower(f"its weights are {dtype}; native code computes in float32 and float64")
    for name, module in model.named_modules():
        cls = type(module)
        if not cls.__module__.startswith(("symnets.", "torch.nn.")) and "lower" not in vars(cls):
            raise CannotLower(f"{cls.__name__} is a class of another package without a method lower")
        is_container = cls.forward is nn.Module.forward  # such as ModuleList, which is never called
        if not is_container and (problem := modification(module, cls, parts=False)):
            raise CannotLower(f"{name or cls.__name__} is modified: {problem}")
    return NativeProgram(energy_program(model.energy_model), _DTYPES[dtype])


def _is_plain(graph: AtomGraph) -> bool:
    """Whether machine code can read a graph: tensors on the CPU, whole, and outside of transforms."""
    n_atoms, n_edges = len(graph.pos), graph.edge_index.shape[-1]
    fields = {
        "pos": (n_atoms, 3),
        "z": (n_atoms,),
        "cell": (len(graph.cell), 3, 3),
        "pbc": (len(graph.cell), 3),
        "edge_index": (2, n_edges),
        "edge_shift": (n_edges, 3),
    }
    return (
        n_atoms > 0
        and all(type(graph[name]) is Tensor and graph[name].shape == shape for name, shape in fields.items())
        and all(graph[name].device.type == "cpu" for name in fields)
        and graph.edge_index.dtype == torch.int64
        and not is_traced()
        and not torch.is_autocast_enabled("cpu")
    )


def _energies(
    program: NativeProgram, graph: AtomGraph, species: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor | None, Tensor] | None:
    """Energies, forces, stress and energies of atoms; None if the graph is not one that the program takes."""
    pos, cell, edge_index = (field.detach().numpy() for field in (graph.pos, graph.cell, graph.edge_index))
    owner, n_graphs = graph.owner.numpy(), len(cell)
    of_atoms = _indices(graph.z.numpy(), species)
    if of_atoms.min() < 0 or not _within(owner, n_graphs) or not _within(edge_index, len(pos)):
        return None
    shift = graph.edge_shift.detach().numpy()
    if (np.diff(edge_index[1]) < 0).any():
        order = np.argsort(edge_index[1], kind="stable")
        edge_index, shift = edge_index[:, order], shift[order]
    edges = EdgeFilter(edge_index, shift, owner, n_graphs, None)
    edges.positions[...], edges.cells[...] = pos, cell
    n_edges = edges()
    try:
        result = program(of_atoms, edges.sender[:n_edges], edges.receiver[:n_edges], edges.vectors[:n_edges])
    except ValueError:  # two atoms at the same place, or a vector that is not finite or too long
        return None
    stress = _stress(result, graph, owner)
    energy = np.bincount(owner, result.energy, n_graphs)
    forces = torch.from_numpy(result.forces).to(graph.pos.dtype)
    return torch.from_numpy(energy), forces, stress, torch.from_numpy(result.energy)


def _stress(result: AtomEnergies, graph: AtomGraph, owner: np.ndarray) -> Tensor | None:
    """(1/V) dE/dstrain, symmetric, NaN for graphs that have none; None if no graph has one."""
    pbc, cell = graph.pbc.numpy(), graph.cell.detach().numpy()
    if not pbc.any() or not (defined := has_stress(cell, pbc)).any():
        return None
    virials = np.zeros((len(cell), 9))
    for k, column in enumerate(result.virials.reshape(-1, 9).T):
        virials[:, k] = np.bincount(owner, column, len(cell))
    virials = virials.reshape(-1, 3, 3)
    volume = np.where(defined, np.abs(np.linalg.det(cell.astype(np.float64))), np.nan)
    stress = (virials + virials.transpose(0, 2, 1)) / (2 * volume[:, None, None])
    return torch.from_numpy(stress).to(graph.cell.dtype)


def _within(indices: np.ndarray, n: int) -> bool:
    """Whether all indices are from 0 to n - 1."""
    return not indices.size or bool(indices.min() >= 0 and indices.max() < n)


class _Contents:
    """Modules, weights and hooks of a model, to see in microseconds whether they are still the same."""

    def __init__(self, model: nn.Module) -> None:
        modules = list(model.modules())
        self._attributes = [vars(module) for module in modules]
        self._hooks = [attributes[kind] for attributes in self._attributes for kind in HOOKS]
        self._hooks += [getattr(registry, f"_global{kind}") for kind in HOOKS]
        self._parts = [
            attributes[kind]
            for attributes in self._attributes
            for kind in ("_modules", "_parameters", "_buffers")
            if attributes[kind]
        ]
        self._values = [value for part in self._parts for value in part.values()]
        self._tensors = [v for v in self._values if isinstance(v, Tensor) and not v.is_inference()]
        self._states, self._was_plain = self._now(), self._is_plain()

    def same(self) -> bool:
        """Whether the model has the same modules and unchanged weights, and no hooks or replaced methods."""
        values = [value for part in self._parts for value in part.values()]
        return (
            self._was_plain
            and self._is_plain()
            and len(values) == len(self._values)
            and all(map(operator.is_, values, self._values))
            and self._now() == self._states
        )

    def _is_plain(self) -> bool:
        return not any(self._hooks) and not [True for part in self._attributes if "forward" in part]

    def _now(self) -> list[int]:
        """Place in memory and number of changes of each tensor."""
        return [*map(Tensor.data_ptr, self._tensors), *map(_VERSION, self._tensors)]
