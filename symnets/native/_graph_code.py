"""Readers of graphs for programs: machine code checks and converts species and edges in one pass."""

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np
import torch
from llvmlite import ir
from torch import Tensor

from symnets.native._native_program import AtomEnergies, BoundProgram, NativeProgram
from symnets.native._neighbors_code import write_vector
from symnets.ops import I64, CompiledModule, Value, VectorCode

READ = "nniiiidinniirriir"
"""Arguments of the function, in the letters of `VectorCode`."""
UNSORTED, WRONG = 1, 2
"""Bits of the status of `read_graph`: receivers are not sorted; an element or an index is wrong."""


def index_of_element(species: Sequence[int]) -> np.ndarray:
    """Index of each atomic number 0, 1, ... in the species of a model, up to the largest; -1 for others."""
    index = np.full(max(species) + 1, -1, dtype=np.int64)
    index[list(species)] = np.arange(len(species))
    return index


class GraphProgram:
    """A native program called on graphs, with memory that is kept from call to call.

    Threads that call at the same time need an object each.

    Args:
        program: the program.
        species: atomic numbers of the model, in increasing order.
    """

    def __init__(self, program: NativeProgram, species: tuple[int, ...]) -> None:
        self._program, self._species = copy.copy(program), species
        self._reader: GraphReader | None = None
        self._bound: BoundProgram | None = None

    def __call__(
        self, z: Tensor, pos: Tensor, cell: Tensor, batch: Tensor | None, edge_index: Tensor, shift: Tensor
    ) -> AtomEnergies | None:
        """Result for a graph, overwritten by the next call; None if `GraphReader` returns false for it.

        Args:
            z, pos, cell, batch, edge_index, shift: fields of an `AtomGraph`, see `GraphReader`.

        Raises:
            ValueError: two atoms at the same place, or an edge that is not finite or longer than the cutoff.
        """
        n_atoms, n_edges = pos.shape[0], edge_index.shape[1]
        reader, bound = self._reader, self._bound
        if reader is None or bound is None or not reader.takes(n_atoms, n_edges):
            reader = self._reader = GraphReader(self._species, n_atoms, n_edges)
            arrays = reader.species, reader.sender, reader.receiver, reader.vectors
            bound = self._bound = BoundProgram(self._program, *arrays)
        return bound(n_edges) if reader(z, pos, cell, batch, edge_index, shift) else None


class GraphReader:
    """Arrays that a program reads, filled from graphs that all have the same number of atoms.

    All fields are read and checked at each call, so that no change of a graph is missed.

    Args:
        species: atomic numbers of the model, in increasing order.
        n_atoms: number of atoms of each graph.
        n_edges: largest number of edges.

    Attributes:
        species, sender, receiver, vectors: see `BoundProgram`; a call writes as many edges as the graph has.
    """

    def __init__(self, species: tuple[int, ...], n_atoms: int, n_edges: int) -> None:
        self._size = n_atoms, n_edges
        # The last entry stands for larger and negative atomic numbers.
        self._table = np.append(index_of_element(species), -1)
        self.species, self._zeros = np.empty(n_atoms, dtype=np.int64), np.zeros(n_atoms, dtype=np.int64)
        self.sender, self.receiver = np.empty((2, n_edges), dtype=np.int64)
        self.vectors, self._status = np.empty((n_edges, 3)), np.empty(1, dtype=np.int64)
        self._one_graph = self._zeros.ctypes.data
        arrays = self._table, self.species, self.sender, self.receiver, self.vectors, self._status
        self._fixed = n_atoms, len(self._table) - 1, *(array.ctypes.data for array in arrays)
        self._functions: dict[torch.dtype, Callable[..., None]] = {}

    def takes(self, n_atoms: int, n_edges: int) -> bool:
        """Whether the arrays are for this number of atoms, and large enough for this number of edges."""
        return self._size[0] == n_atoms and self._size[1] >= n_edges

    def __call__(
        self, z: Tensor, pos: Tensor, cell: Tensor, batch: Tensor | None, edge_index: Tensor, shift: Tensor
    ) -> bool:
        """Fill the arrays; false if an atomic number is not one of the model, or an index is out of range.

        Args:
            z, pos, cell, edge_index, shift: fields of an `AtomGraph` on the CPU; `shift` is `edge_shift`.
            batch: graph of each atom, int64; None if there is one graph.
        """
        dtype = pos.dtype if pos.dtype == cell.dtype == shift.dtype else torch.float64
        pos, cell, shift = (_contiguous(field, dtype) for field in (pos, cell, shift))
        z, edge_index = z.contiguous(), edge_index.contiguous()
        batch = None if batch is None else batch.contiguous()
        n_edges, sender = edge_index.shape[1], edge_index.data_ptr()
        self._function(dtype)(
            cell.shape[0],
            n_edges,
            z.data_ptr(),
            self._one_graph if batch is None else batch.data_ptr(),
            cell.data_ptr(),
            pos.data_ptr(),
            sender,
            sender + 8 * n_edges,
            shift.data_ptr(),
        )
        status = int(self._status[0])
        if status == UNSORTED:
            order = torch.argsort(edge_index[1], stable=True)
            return self(z, pos, cell, batch, edge_index[:, order], shift[order])
        return not status

    def _function(self, dtype: torch.dtype) -> Callable[..., None]:
        function = self._functions.get(dtype)
        if function is None:
            compiled = _compiled(str(dtype).removeprefix("torch."))
            function = self._functions[dtype] = partial(compiled.functions["read_graph"], *self._fixed)
        return function


def _contiguous(field: Tensor, dtype: torch.dtype) -> Tensor:
    """A field in a dtype and contiguous in memory; the same tensor if it is so already."""
    return field if field.dtype == dtype and field.is_contiguous() else field.detach().to(dtype).contiguous()


@lru_cache
def _compiled(dtype: str) -> CompiledModule:
    module = ir.Module("graph")
    _write_read_graph(module, dtype)
    return CompiledModule(module, {"read_graph": READ})


def _write_read_graph(module: ir.Module, dtype: str) -> None:
    """Function that writes the indices of species, then the vectors if all indices are in range."""
    code = VectorCode(module, "read_graph", dtype, READ, public=True)
    n_atoms, n_numbers, table, species, *out, vectors, status, n_graphs, n_edges = code.arguments[:10]
    z, owner, cell, pos, sender, receiver, shift = code.arguments[10:]
    b = code.build

    def set_bit(problem: Value, bit: int) -> None:
        b.store(b.or_(b.load(status), b.select(problem, I64(bit), I64(0))), status)

    def outside(index: Value, n: Value) -> Value:
        return b.icmp_unsigned(">=", index, n)  # so that negative ones are outside

    b.store(I64(0), status)
    with code.loop(I64(0), n_atoms) as atom:
        number = code.load_int(z, atom)
        index = code.load_int(table, b.select(outside(number, n_numbers), n_numbers, number))
        code.store_int(index, species, atom)
        set_bit(b.icmp_signed("<", index, I64(0)), WRONG)
        set_bit(outside(code.load_int(owner, atom), n_graphs), WRONG)
    with code.loop(I64(0), n_edges) as edge:
        last = b.select(b.icmp_signed("==", edge, I64(0)), edge, code.add_int(edge, -1))
        ends = [code.load_int(index, edge) for index in (sender, receiver)]
        for end, copied in zip(ends, out, strict=True):
            set_bit(outside(end, n_atoms), WRONG)
            code.store_int(end, copied, edge)
        set_bit(b.icmp_signed(">", code.load_int(receiver, last), ends[1]), UNSORTED)
    with (
        b.if_then(b.icmp_signed("<", b.load(status), I64(WRONG))),
        code.loop(I64(0), n_edges) as edge,
    ):
        ends = [code.load_int(index, edge) for index in (sender, receiver)]
        box = code.row_pointer(cell, code.load_int(owner, ends[1]), 9)
        write_vector(
            code, pos, ends, box, code.row_pointer(shift, edge, 3), code.row_pointer(vectors, edge, 3)
        )
    b.ret_void()
