"""Paths of a tensor product, and the Clebsch-Gordan coefficients they amount to."""

import itertools
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from e3nn import o3
from torch import Tensor


class Path(NamedTuple):
    """One instruction: input slot ⊗ filter slot -> output slot."""

    slot_in: int
    slot_filter: int
    slot_out: int


class Term(NamedTuple):
    """A Clebsch-Gordan coefficient of a path that is not zero, and the columns it couples, of channel 0."""

    inp: int
    filter: int
    out: int
    value: float


class Plan:
    """What a tensor product computes: irreps, paths, and their coefficients.

    Args:
        irreps_in: irreps of the node features.
        irreps_filter: irreps of the filter, multiplicity one each.
        slots: irreps of the output slots.
        paths: see `Path`.

    Raises:
        ValueError: a path that O(3) forbids, or whose multiplicities do not fit.
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        irreps_filter: o3.Irreps | str,
        slots: o3.Irreps | str,
        paths: Iterable[Sequence[int]],
    ) -> None:
        self.irreps_in, self.irreps_filter = o3.Irreps(irreps_in), o3.Irreps(irreps_filter)
        self.slots, self.paths = o3.Irreps(slots), [Path(*path) for path in paths]
        self.irreps_out = self.slots.simplify()
        for path in self.paths:
            mul_in, ir_in = self.irreps_in[path.slot_in]
            mul_filter, ir_filter = self.irreps_filter[path.slot_filter]
            mul_out, ir_out = self.slots[path.slot_out]
            if ir_out not in ir_in * ir_filter or mul_in != mul_out or mul_filter != 1:
                raise ValueError(
                    f"{path}: expected mul x ir_in ⊗ 1 x ir_filter -> mul x ir_out allowed by O(3), "
                    f"got {mul_in}x{ir_in} ⊗ {mul_filter}x{ir_filter} -> {mul_out}x{ir_out}"
                )
        channels = [self.irreps_in[path.slot_in].mul for path in self.paths]
        self.weight_starts = [0, *itertools.accumulate(channels)]
        self.weight_numel = self.weight_starts.pop()

    def coupling(self, path: Path) -> Tensor:
        """Coefficients CG[a, b, k] of a path in float64, e3nn's 'component' and 'element' normalisation."""
        ir_in, ir_filter = self.irreps_in[path.slot_in].ir, self.irreps_filter[path.slot_filter].ir
        ir_out = self.slots[path.slot_out].ir
        n_paths = sum(other.slot_out == path.slot_out for other in self.paths)
        w3j = o3.wigner_3j(ir_in.l, ir_filter.l, ir_out.l, dtype=torch.float64)
        return w3j * (ir_out.dim / n_paths) ** 0.5

    @cached_property
    def slot_columns(self) -> list[tuple[int, int]]:
        """First column of each slot in a row of `irreps_out`, and the step from component to component."""
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
        """All that decides what is computed: equal plans have equal ones."""
        sizes = (self.irreps_in.dim, self.irreps_filter.dim, self.irreps_out.dim, *self.weight_starts)
        numbers = range(len(self.paths))
        return (*sizes, *((self.channels(n), *self.terms(n)) for n in numbers))

    @cached_property
    def work(self) -> int:
        """Multiplications of an edge."""
        return sum(len(self.terms(n)) * self.channels(n) for n in range(len(self.paths)))

    def channels(self, number: int) -> int:
        """Channels of a path."""
        return self.irreps_in[self.paths[number].slot_in].mul

    def terms(self, number: int) -> list[Term]:
        """Coefficients of a path; those of channel c have columns inp + c and out + c."""
        path = self.paths[number]
        cg, mul = self.coupling(path).numpy(), self.channels(number)
        first_in = self.irreps_in.slices()[path.slot_in].start
        first_filter = self.irreps_filter.slices()[path.slot_filter].start
        first_out, step = self.slot_columns[path.slot_out]
        return [
            Term(first_in + a * mul, first_filter + b, first_out + k * step, float(cg[a, b, k]))
            for k, a, b in itertools.product(*(range(cg.shape[axis]) for axis in (2, 0, 1)))
            if abs(cg[a, b, k]) > 1e-12
        ]


def all_paths(
    irreps_in: o3.Irreps | str, irreps_filter: o3.Irreps | str, wanted: o3.Irreps | str
) -> tuple[o3.Irreps, list[Path]]:
    """Every path from `irreps_in` ⊗ `irreps_filter` into an irrep of `wanted`, each to its own slot.

    Returns:
        the irreps of the slots, grouped by irrep in the order of `wanted`, and the paths.
    """
    irreps_in, irreps_filter = o3.Irreps(irreps_in), o3.Irreps(irreps_filter)
    found = [
        (mul, out, i, j)
        for out in dict.fromkeys(ir for _, ir in o3.Irreps(wanted))
        for i, (mul, ir_in) in enumerate(irreps_in)
        for j, (_, ir_filter) in enumerate(irreps_filter)
        if out in ir_in * ir_filter
    ]
    slots = o3.Irreps([(mul, out) for mul, out, _, _ in found])
    return slots, [Path(i, j, slot) for slot, (_, _, i, j) in enumerate(found)]
