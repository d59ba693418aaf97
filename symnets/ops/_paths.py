"""Plan of a tensor product: its paths and their Clebsch-Gordan coefficients."""

import itertools
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from e3nn import o3
from torch import Tensor

from symnets.ops._couplings import wigner_3j


class Path(NamedTuple):
    """Path of a tensor product, input irrep ⊗ filter irrep -> output slot, as indices into irreps."""

    slot_in: int
    slot_filter: int
    slot_out: int


class Term(NamedTuple):
    """Clebsch-Gordan coefficient of a path, and the columns of features, filter and result that it couples.

    Columns of features and result are those of channel 0.
    """

    inp: int
    filter: int
    out: int
    value: float


class Plan:
    """Irreps, paths and coefficients of a tensor product.

    Args:
        irreps_in: irreps of the node features.
        irreps_filter: irreps of the filter, the second factor (usually spherical harmonics), all of
            multiplicity one.
        slots: irreps of the output slots, into which paths are added; a slot has as many channels as the
            inputs of its paths.
        paths: see `Path`; each is allowed by O(3).
        coefficients: for each path, the factor by which `wigner_3j` is multiplied.

    Attributes:
        irreps_out: irreps of a row of the result; neighbouring slots of equal irrep are one block.
        weight_starts: position of the first weight of each path.
        weight_numel: number of weights of an edge: the channels of path 0, then of path 1, ...
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        irreps_filter: o3.Irreps | str,
        slots: o3.Irreps | str,
        paths: Iterable[Sequence[int]],
        coefficients: Iterable[float],
    ) -> None:
        self.irreps_in, self.irreps_filter = o3.Irreps(irreps_in), o3.Irreps(irreps_filter)
        self.slots, self.paths = o3.Irreps(slots), [Path(*path) for path in paths]
        self.coefficients = list(coefficients)
        self.irreps_out = self.slots.simplify()
        self.weight_starts = [0, *itertools.accumulate(map(self.channels, range(len(self.paths))))]
        self.weight_numel = self.weight_starts.pop()

    def coupling(self, number: int) -> Tensor:
        """Coefficients CG[a, b, k] of a path in float64, for components of input, filter and slot."""
        return self.coefficients[number] * self._wigner_3j(number)

    def _wigner_3j(self, number: int) -> Tensor:
        path = self.paths[number]
        irreps = (
            self.irreps_in[path.slot_in],
            self.irreps_filter[path.slot_filter],
            self.slots[path.slot_out],
        )
        return wigner_3j(*(ir.l for _, ir in irreps))

    @cached_property
    def slot_columns(self) -> list[tuple[int, int]]:
        """First column of each slot in a row of `irreps_out`, and the stride between its components."""
        columns, start = [], 0
        for (_, members), merged in zip(
            itertools.groupby(self.slots, key=lambda slot: slot.ir), self.irreps_out, strict=True
        ):
            channel = 0
            for mul, _ in members:
                columns.append((start + channel, merged.mul))
                channel += mul
            start += merged.dim
        return columns

    @cached_property
    def key(self) -> tuple[object, ...]:
        """Hashable value, equal for plans that compute the same product."""
        sizes = (self.irreps_in.dim, self.irreps_filter.dim, self.irreps_out.dim, *self.weight_starts)
        numbers = range(len(self.paths))
        return (*sizes, *((self.channels(n), *self.terms(n)) for n in numbers))

    @cached_property
    def work(self) -> int:
        """Number of multiplications for an edge."""
        return sum(len(self.terms(n)) * self.channels(n) for n in range(len(self.paths)))

    def channels(self, number: int) -> int:
        """Number of channels of a path."""
        return self.irreps_in[self.paths[number].slot_in].mul

    def terms(self, number: int) -> list[Term]:
        """Nonzero coefficients of a path; channel c is in columns inp + c and out + c."""
        path, mul, factor = self.paths[number], self.channels(number), self.coefficients[number]
        w3j = self._wigner_3j(number).numpy()
        first_in = self.irreps_in.slices()[path.slot_in].start
        first_filter = self.irreps_filter.slices()[path.slot_filter].start
        first_out, step = self.slot_columns[path.slot_out]
        return [
            Term(first_in + a * mul, first_filter + b, first_out + k * step, factor * float(w3j[a, b, k]))
            for k, a, b in itertools.product(*(range(w3j.shape[axis]) for axis in (2, 0, 1)))
            if abs(w3j[a, b, k]) > 1e-12
        ]


def all_paths(
    irreps_in: o3.Irreps | str, irreps_filter: o3.Irreps | str, irreps_out: o3.Irreps | str
) -> tuple[o3.Irreps, list[Path]]:
    """Every path from `irreps_in` ⊗ `irreps_filter` into an irrep of `irreps_out`, each to its own slot.

    Multiplicities of `irreps_out` are ignored: a slot has the channels of its input.

    Returns:
        the irreps of the slots, grouped by irrep in the order of `irreps_out`, and the paths.
    """
    irreps_in, irreps_filter = o3.Irreps(irreps_in), o3.Irreps(irreps_filter)
    allowed = [
        (mul, out, i, j)
        for out in dict.fromkeys(ir for _, ir in o3.Irreps(irreps_out))
        for i, (mul, ir_in) in enumerate(irreps_in)
        for j, (_, ir_filter) in enumerate(irreps_filter)
        if out in ir_in * ir_filter
    ]
    slots = o3.Irreps([(mul, out) for mul, out, _, _ in allowed])
    return slots, [Path(i, j, slot) for slot, (_, _, i, j) in enumerate(allowed)]
