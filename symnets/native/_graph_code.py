"""What a program reads of a graph: species and edges as it takes them, checked and converted in one pass."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from llvmlite import ir
from torch import Tensor

from symnets.native._neighbors_code import write_vector
from symnets.ops import I64, CompiledModule, Value, VectorCode

READ = "nnnniiirriiriri"
"""Arguments of the function, in the letters of `VectorCode`."""
UNSORTED, WRONG = 1, 2
"""What the function found: receivers do not increase; an unknown atomic number, or an index out of range."""


class ProgramInput(NamedTuple):
    """Arguments of a program for a graph, see `BoundProgram`."""

    species: np.ndarray
    sender: np.ndarray
    receiver: np.ndarray
    vectors: np.ndarray


@lru_cache
def _table(species: tuple[int, ...]) -> np.ndarray:
    """Index of each atomic number among those of a model, -1 for others; the last entry is of larger ones."""
    table = np.full(max(species) + 2, -1, dtype=np.int64)
    table[list(species)] = np.arange(len(species))
    return table


def program_input(
    species: tuple[int, ...],
    z: Tensor,
    pos: Tensor,
    cell: Tensor,
    owner: np.ndarray,
    edge_index: Tensor,
    edge_shift: Tensor,
) -> ProgramInput | None:
    """Input of a program; None if an atomic number is not one of the model, or an index is out of range.

    All is checked at each call, so that no change of a field can be missed.

    Args:
        species: atomic numbers of the model.
        z, pos, cell, edge_index, edge_shift: fields of an `AtomGraph`, of its shapes, on the CPU.
        owner: graph of each atom.
    """
    table, owner = _table(species), np.ascontiguousarray(owner, dtype=np.int64)
    z, edge_index = z.contiguous(), edge_index.contiguous()
    pos, cell, edge_shift = (t.detach().to(torch.float64).contiguous() for t in (pos, cell, edge_shift))
    n_atoms, n_edges = len(pos), len(edge_shift)
    sender, receiver = edge_index.numpy()
    found = ProgramInput(np.empty(n_atoms, dtype=np.int64), sender, receiver, np.empty((n_edges, 3)))
    status = np.empty(1, dtype=np.int64)
    _compiled().functions["read_graph"](
        n_atoms,
        len(cell),
        n_edges,
        len(table) - 1,
        table.ctypes.data,
        z.data_ptr(),
        owner.ctypes.data,
        cell.data_ptr(),
        pos.data_ptr(),
        edge_index.data_ptr(),
        edge_index.data_ptr() + 8 * n_edges,
        edge_shift.data_ptr(),
        found.species.ctypes.data,
        found.vectors.ctypes.data,
        status.ctypes.data,
    )
    if status[0] & WRONG:
        return None
    if status[0] & UNSORTED:
        order = torch.argsort(edge_index[1], stable=True)
        return program_input(species, z, pos, cell, owner, edge_index[:, order], edge_shift[order])
    return found


@lru_cache(maxsize=1)
def _compiled() -> CompiledModule:
    module = ir.Module("graph")
    _write_read_graph(module)
    return CompiledModule(module, {"read_graph": READ})


def _write_read_graph(module: ir.Module) -> None:
    """Function that writes the indices of species, then the vectors if all indices are in range."""
    code = VectorCode(module, "read_graph", "float64", READ, public=True)
    n_atoms, n_graphs, n_edges, n_numbers, table, z, owner, cell, pos, *edges = code.arguments
    sender, receiver, shift, species, vectors, status = edges
    b = code.build

    def note(problem: Value, bit: int) -> None:
        b.store(b.or_(b.load(status), b.select(problem, I64(bit), I64(0))), status)

    def outside(index: Value, n: Value) -> Value:
        return b.icmp_unsigned(">=", index, n)  # so that negative ones are outside

    b.store(I64(0), status)
    with code.loop(I64(0), n_atoms) as atom:
        number = code.load_int(z, atom)
        index = code.load_int(table, b.select(outside(number, n_numbers), n_numbers, number))
        code.store_int(index, species, atom)
        note(b.icmp_signed("<", index, I64(0)), WRONG)
        note(outside(code.load_int(owner, atom), n_graphs), WRONG)
    with code.loop(I64(0), n_edges) as edge:
        last = b.select(b.icmp_signed("==", edge, I64(0)), edge, code.add_int(edge, -1))
        ends = [code.load_int(index, edge) for index in (sender, receiver)]
        for end in ends:
            note(outside(end, n_atoms), WRONG)
        note(b.icmp_signed(">", code.load_int(receiver, last), ends[1]), UNSORTED)
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
