"""First operation of a program: edges of each receiver and of each sender, atoms of each species."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

from llvmlite import ir

from symnets.native._operation import Operation
from symnets.ops import I64, Value, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class BuildAdjacency(Operation):
    """Edges of each receiver and of each sender, and own atoms of each species, by counting sorts.

    Edges must be sorted by receiver. It writes five matrices of the program:

    - `start`: the edges of receiver i are start[i], ..., start[i + 1] - 1;
    - `sender_order`, `sender_start`: the edges of sender j are sender_order[k] for k = sender_start[j], ...,
      sender_start[j + 1] - 1, in increasing order;
    - `species_order`, `species_start`: the own atoms of each species, in the same way.

    Args:
        program: the program.
    """

    over = "once"

    def __init__(self, program: "Program") -> None:
        self.n_species = program.n_species
        self.writes = (
            program.start,
            program.sender_order,
            program.sender_start,
            program.species_order,
            program.species_start,
        )
        self.arguments = (
            *self.writes,
            program.sender,
            program.receiver,
            program.species,
            program.sizes,
        )

    @property
    def key(self) -> Hashable:
        return self.n_species

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        (
            start,
            sender_order,
            sender_start,
            species_order,
            species_start,
            sender,
            receiver,
            species,
            sizes,
            *_,
        ) = code.arguments
        n_local, n_total, n_edges = (code.load_int(sizes, I64(k)) for k in range(3))
        _counting_sort(code, sender, n_edges, n_total, sender_order, sender_start)
        _counting_sort(code, species, n_local, I64(self.n_species), species_order, species_start)
        _starts(code, receiver, n_edges, n_local, start)
        code.build.ret_void()
        return code.function


def _starts(code: VectorCode, values: Value, n: Value, n_values: Value, start: Value) -> None:
    """start[v + 1] = number of entries of `values` that are at most v, start[0] = 0."""
    with code.loop(I64(0), code.add_int(n_values, 1)) as v:
        code.store_int(I64(0), start, v)
    with code.loop(I64(0), n) as k:
        after = code.add_int(code.load_int(values, k), 1)
        code.store_int(code.add_int(code.load_int(start, after), 1), start, after)
    with code.loop(I64(0), n_values) as v:
        after = code.add_int(v, 1)
        total = code.build.add(code.load_int(start, v), code.load_int(start, after))
        code.store_int(total, start, after)


def _counting_sort(
    code: VectorCode, values: Value, n: Value, n_values: Value, order: Value, start: Value
) -> None:
    """Set `order` to the indices sorted by value, and `start` to the position of each value's first index."""
    _starts(code, values, n, n_values, start)
    # Each index of value v increments start[v], which ends as start[v + 1] should be; hence the shift below.
    with code.loop(I64(0), n) as k:
        value = code.load_int(values, k)
        place = code.load_int(start, value)
        code.store_int(k, order, place)
        code.store_int(code.add_int(place, 1), start, value)
    with code.loop(I64(0), n_values) as back:
        v = code.build.sub(n_values, back)
        code.store_int(code.load_int(start, code.add_int(v, -1)), start, v)
    code.store_int(I64(0), start, I64(0))
