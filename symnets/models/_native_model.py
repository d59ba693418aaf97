"""The native program of a compiled force field, made at its first use and called on graphs."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from symnets.data import AtomGraph, has_stress
from symnets.models._model_contents import ModelContents
from symnets.native import AtomEnergies, CannotLower, GraphProgram, NativeProgram, energy_program
from symnets.nn import modification
from symnets.ops import is_traced

SWITCH = "SYMNETS_NATIVE"
"""Environment variable; with the value 0 compiled force fields are computed through torch."""
_DTYPES = {torch.float32: "float32", torch.float64: "float64"}


class NativeModel:
    """Native program of a compiled force field, which is made when it is first needed.

    It is valid for the weights and modules that the force field had then. After a change, the next call is
    computed through torch; the program is made anew by the first call that finds the force field as the
    previous call left it. Copies and pickles of this object have no program.

    Attributes:
        why_not: reason why there is no program; None if there is one, or if none was needed yet.
    """

    def __init__(self) -> None:
        self.why_not: str | None = None
        self._program: NativeProgram | None = None
        self._idle: list[GraphProgram] = []
        self._contents: ModelContents | None = None
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
            self._contents, self._program, self._idle, self._tried = ModelContents(model), None, [], False
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

        Calls from several threads at the same time use one `GraphProgram` each, with its own memory.
        """
        if is_traced() or torch.is_autocast_enabled("cpu"):
            return None
        fields = graph.to_dict()
        if not _is_plain(fields) or (program := self.program(model)) is None:
            return None
        if _DTYPES.get(fields["pos"].dtype) != program.dtype:
            return None
        species: Any = model.species
        idle = self._idle
        try:
            own = idle.pop()
        except IndexError:  # another thread is in a call
            own = GraphProgram(program, species)
        try:
            with torch.inference_mode(False):
                return _energies(own, fields)
        finally:
            idle.append(own)


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


def _is_plain(fields: Mapping[str, Any]) -> bool:
    """Whether machine code can read the fields of a graph: all present, of the usual shapes, on the CPU."""
    pos, cell, edge_index = (fields.get(name) for name in ("pos", "cell", "edge_index"))
    if not isinstance(pos, Tensor) or not isinstance(cell, Tensor) or not isinstance(edge_index, Tensor):
        return False
    n_atoms, n_graphs, n_edges = pos.shape[0], cell.shape[0], edge_index.shape[-1]
    shapes = {
        "pos": (n_atoms, 3),
        "z": (n_atoms,),
        "cell": (n_graphs, 3, 3),
        "pbc": (n_graphs, 3),
        "edge_index": (2, n_edges),
        "edge_shift": (n_edges, 3),
        "batch": (n_atoms,),
    }
    for name, shape in shapes.items():
        field = fields.get(name)
        if field is None and name == "batch":  # a single structure has none
            continue
        if type(field) is not Tensor or not field.is_cpu or field.is_neg() or field.shape != shape:
            return False
    indices = [fields[name].dtype for name in ("z", "edge_index", "batch") if name in fields]
    return n_atoms > 0 and all(dtype == torch.int64 for dtype in indices)


def _energies(
    program: GraphProgram, fields: Mapping[str, Any]
) -> tuple[Tensor, Tensor, Tensor | None, Tensor] | None:
    """Energies, forces, stress and atomic energies; None if the program cannot evaluate the graph."""
    pos, cell, batch = fields["pos"], fields["cell"], fields.get("batch")
    try:
        result = program(fields["z"], pos, cell, batch, fields["edge_index"], fields["edge_shift"])
    except ValueError:  # two atoms at the same place, or a vector that is not finite or too long
        return None
    if result is None:
        return None
    node_energy = result.energy.copy()
    owner = np.zeros(len(node_energy), dtype=np.int64) if batch is None else batch.numpy()
    stress = _stress(result, cell, fields["pbc"], owner)
    energy = torch.from_numpy(np.bincount(owner, node_energy, cell.shape[0]))
    forces = torch.from_numpy(result.forces).to(pos.dtype, copy=True)
    return energy, forces, stress, torch.from_numpy(node_energy)


def _stress(result: AtomEnergies, cells: Tensor, periodic: Tensor, owner: np.ndarray) -> Tensor | None:
    """(1/V) dE/dstrain, symmetric, NaN for graphs that have none; None if no graph has one."""
    pbc, cell = periodic.numpy(), cells.detach().numpy()
    if not pbc.any() or not (defined := has_stress(cell, pbc)).any():
        return None
    virials = np.zeros((len(cell), 9))
    for k, column in enumerate(result.virials.reshape(-1, 9).T):
        virials[:, k] = np.bincount(owner, column, len(cell))
    virials = virials.reshape(-1, 3, 3)
    volume = np.where(defined, np.abs(np.linalg.det(cell.astype(np.float64))), np.nan)
    stress = (virials + virials.transpose(0, 2, 1)) / (2 * volume[:, None, None])
    return torch.from_numpy(stress).to(cells.dtype)
