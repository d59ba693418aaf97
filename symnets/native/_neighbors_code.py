"""Edges within the cutoff and their vectors, from candidates such as a neighbour list with a skin."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from llvmlite import ir

from symnets.ops import I64, CompiledModule, Value, VectorCode

DISPLACEMENT, FILTER = "nrrr", "nriirriiirrri"
"""Arguments of the two functions, in the letters of `VectorCode`."""


class EdgeFilter:
    """Selection of the edges shorter than a cutoff from fixed candidates, for changing positions.

    The vector of an edge from j to i is `pos[j] + shift @ cell - pos[i]`, in float64, with the cell of the
    graph that owns i. Edges keep the order of the candidates. All arrays stay at their places in memory, so
    that a call allocates nothing.

    Args:
        edge_index: senders and receivers of the candidates, (2, candidates); indices of atoms.
        shift: cell units, (candidates, 3).
        owner: graph of each atom, (atoms,).
        n_graphs: number of graphs.
        cutoff: Å.

    Attributes:
        positions: Å, (atoms, 3), to be set before a call.
        cells: Å, (graphs, 3, 3), to be set before a call.
        reference: positions in Å from which `displacement` is measured, (atoms, 3), to be set before it.
        sender, receiver: atoms of the edges, (candidates + 1,). A call writes the first n entries and returns
            n, the number of edges.
        vectors: from receiver to sender in Å, (candidates + 1, 3), of which a call writes the first n rows.
    """

    def __init__(
        self,
        edge_index: np.ndarray,
        shift: np.ndarray,
        owner: np.ndarray,
        n_graphs: int,
        cutoff: float,
    ) -> None:
        n_atoms, n_candidates = len(owner), len(shift)
        self._arguments = (edge_index, shift, owner, n_graphs, cutoff)
        self.candidates = np.ascontiguousarray(edge_index, dtype=np.int64)
        self.positions, self.reference = np.empty((n_atoms, 3)), np.empty((n_atoms, 3))
        self.cells = np.empty((n_graphs, 3, 3))
        # Each candidate is written, and the next overwrites it if it is no edge: hence one row more.
        self.sender, self.receiver = np.empty((2, n_candidates + 1), dtype=np.int64)
        self.vectors = np.empty((n_candidates + 1, 3))
        self._reals, self._integers = np.zeros(2), np.zeros(2, dtype=np.int64)
        self._reals[0] = cutoff**2
        self._kept = [
            np.ascontiguousarray(shift, dtype=np.float64),
            np.ascontiguousarray(owner, dtype=np.int64),
        ]
        at = lambda array: array.ctypes.data  # noqa: E731
        sender, receiver = self.candidates
        functions = _compiled().functions
        self._displacement: Callable[[], None] = partial(
            functions["displacement"], n_atoms, at(self.positions), at(self.reference), at(self._reals) + 8
        )
        self._filter: Callable[[], None] = partial(
            functions["filter"],
            n_candidates,
            at(self.positions),
            at(sender),
            at(receiver),
            at(self._kept[0]),
            at(self.cells),
            at(self._kept[1]),
            at(self.sender),
            at(self.receiver),
            at(self.vectors),
            at(self._reals),
            at(self._reals) + 8,
            at(self._integers),
        )

    def __reduce__(
        self,
    ) -> tuple[type["EdgeFilter"], tuple[Any, ...]]:  # for copies: addresses are not copied
        return EdgeFilter, self._arguments

    def displacement(self) -> float:
        """Largest displacement of an atom from its reference in Å, relative to the mean of all displacements.

        With u_i = positions_i - reference_i it is max_i |u_i - mean u|; NaN or infinite if a position is.
        """
        self._displacement()
        return float(self._reals[1]) ** 0.5

    def __call__(self) -> int:
        """Write the edges, and return their number; a candidate whose vector is not finite is kept."""
        self._filter()
        return int(self._integers[0])

    @property
    def shortest(self) -> float:
        """Length of the shortest candidate at the last call in Å; infinity if there is none."""
        return float(self._reals[1]) ** 0.5

    @property
    def closest(self) -> list[int]:
        """Sender and receiver of the shortest candidate at the last call."""
        return self.candidates[:, self._integers[1]].tolist()


@lru_cache(maxsize=1)
def _compiled() -> CompiledModule:
    module = ir.Module("edge filter")
    _write_displacement(module)
    _write_filter(module)
    return CompiledModule(module, {"displacement": DISPLACEMENT, "filter": FILTER})


def _write_displacement(module: ir.Module) -> None:
    """Function (atoms, positions, reference, out): out = max |u - mean u|² for u = positions - reference."""
    code = VectorCode(module, "displacement", "float64", DISPLACEMENT, public=True)
    n, positions, reference, out = code.arguments
    mean = code.allocate(3)
    for a in range(3):
        code.store(code.constant(0.0), code.offset(mean, a))

    def moved(atom: Value, a: int) -> Value:
        place = [code.offset(code.row_pointer(table, atom, 3), a) for table in (positions, reference)]
        return code.build.fsub(*map(code.load, place))

    with code.loop(I64(0), n) as atom:
        for a in range(3):
            code.add_to(code.offset(mean, a), moved(atom, a), 1)
    count = code.build.sitofp(n, code.real)
    for a in range(3):
        place = code.offset(mean, a)
        code.store(code.build.fdiv(code.load(place), count), place)
    code.store(code.constant(0.0), out)
    with code.loop(I64(0), n) as atom:
        square = None
        for a in range(3):
            u = code.build.fsub(moved(atom, a), code.load(code.offset(mean, a)))
            square = code.fma(square, u, u)
        largest = code.load(out)
        # Unordered: NaN counts as larger. One position that is not finite makes the mean so, and all u.
        larger = code.build.fcmp_unordered(">", square, largest)
        code.store(code.build.select(larger, square, largest), out)
    code.build.ret_void()


def _write_filter(module: ir.Module) -> None:
    """Function that writes edges one after another, see `EdgeFilter`."""
    code = VectorCode(module, "filter", "float64", FILTER, public=True)
    (
        n,
        positions,
        sender,
        receiver,
        shift,
        cells,
        owner,
        out_sender,
        out_receiver,
        out_vectors,
        limit,
        shortest,
        count,
    ) = code.arguments
    b, position_of_shortest = code.build, code.offset(count, 1)
    b.store(I64(0), count)
    b.store(I64(0), position_of_shortest)
    code.store(code.constant(float("inf")), shortest)
    with code.loop(I64(0), n) as candidate:
        ends = [code.load_int(table, candidate) for table in (sender, receiver)]
        cell = code.row_pointer(cells, code.load_int(owner, ends[1]), 9)
        edge = b.load(count)
        for end, out in zip(ends, (out_sender, out_receiver), strict=True):
            code.store_int(end, out, edge)
        images, vector = code.row_pointer(shift, candidate, 3), code.row_pointer(out_vectors, edge, 3)
        square = write_vector(code, positions, ends, cell, images, vector)
        keep = b.fcmp_unordered("<", square, code.load(limit))
        b.store(b.add(edge, b.zext(keep, I64)), count)
        best = code.load(shortest)
        shorter = b.fcmp_ordered("<", square, best)
        code.store(b.select(shorter, square, best), shortest)
        b.store(b.select(shorter, candidate, b.load(position_of_shortest)), position_of_shortest)
    code.build.ret_void()


def write_vector(
    code: VectorCode, positions: Value, ends: Sequence[Value], cell: Value, images: Value, out: Value
) -> Value:
    """Write the vector of an edge from receiver to sender in float64, and return its squared length.

    Args:
        code: function to which this is added.
        positions: pointer to the positions of all atoms.
        ends: indices of sender and receiver.
        cell, images: pointers to the lattice vectors and to the shift of the edge in cell units.
        out: pointer to the vector.
    """
    b = code.build

    def number(pointer: Value, index: int) -> Value:
        return code.to_double(code.load(code.offset(pointer, index)))

    there, here = (code.row_pointer(positions, end, 3) for end in ends)
    shift = [number(images, k) for k in range(3)]
    square = None
    for a in range(3):
        offset = None
        for k in range(3):
            offset = code.fma(offset, shift[k], number(cell, 3 * k + a))
        component = b.fadd(b.fsub(number(there, a), number(here, a)), offset)
        b.store(component, code.offset(out, a))
        square = code.fma(square, component, component)
    return square
