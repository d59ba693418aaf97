"""TensorProductScatter: e3nn's per-edge tensor product, summed over the edges of each receiver."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn


class Path(NamedTuple):
    """One instruction: input slot ⊗ filter slot -> output slot."""

    slot_in: int
    slot_filter: int
    slot_out: int


class TensorProductScatter(nn.Module):
    """The convolution of equivariant message passing, with weights given per edge and channel.

    With paths p = (input irrep, filter irrep, output slot) and Clebsch-Gordan coefficients CG,

        out[i, (s, k), c] = Σ_{e: receiver(e)=i} Σ_{p -> s} Σ_{a, b}
                            CG_p[a, b, k] x[sender(e), (p, a), c] Y[e, b] w[e, p, c].

    This is `e3nn.o3.TensorProduct` with 'uvu' instructions and `shared_weights=False`, followed
    by a sum over edges, in the `ir_mul` layout. CG_p = (dim_out / n_paths(s))^(1/2) wigner_3j,
    with n_paths(s) the number of paths into slot s: e3nn's 'component' and 'element'
    normalisation. Filter slots have one channel.

    Paths that start at the same input irrep share one batched product: the filter is contracted
    with CG once an edge, into a matrix of shape (Σ_p dim_out, dim_in).

    Args:
        irreps_in: irreps of the node features x.
        irreps_filter: irreps of the filter Y, multiplicity one each.
        irreps_out: irreps of the output slots; a slot has as many channels as its inputs. Neighbouring
            slots of equal irrep are returned as one block: the layout is that of `irreps_out.simplify()`.
        paths: see `Path`.

    Attributes:
        weight_numel: length of an edge's weight row: the channels of path 0, then of path 1, ...
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        irreps_filter: o3.Irreps | str,
        irreps_out: o3.Irreps | str,
        paths: Sequence[Path | tuple[int, int, int]],
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_filter = o3.Irreps(irreps_in), o3.Irreps(irreps_filter)
        self.irreps_out, self.paths = o3.Irreps(irreps_out), [Path(*path) for path in paths]
        self._check()
        channels = [self.irreps_in[p.slot_in].mul for p in self.paths]
        self.weight_numel = sum(channels)
        starts = [sum(channels[:n]) for n in range(len(channels))]
        into = [path.slot_out for path in self.paths]
        # For every input slot: its paths as (slot_out, first weight, rows of the coupling).
        self._groups: list[tuple[int, list[tuple[int, int, int]]]] = []
        couplings = []
        for slot_in, (_, ir_in) in enumerate(self.irreps_in):
            members, rows = [], []
            for path, start in zip(self.paths, starts, strict=True):
                if path.slot_in != slot_in:
                    continue
                ir_filter, ir_out = self.irreps_filter[path.slot_filter].ir, self.irreps_out[path.slot_out].ir
                norm = (ir_out.dim / into.count(path.slot_out)) ** 0.5
                w3j = o3.wigner_3j(ir_in.l, ir_filter.l, ir_out.l, dtype=torch.float64) * norm
                full = w3j.new_zeros(self.irreps_filter.dim, ir_out.dim, ir_in.dim)
                full[self.irreps_filter.slices()[path.slot_filter]] = w3j.permute(1, 2, 0)
                rows.append(full)
                members.append((path.slot_out, start, ir_out.dim))
            if members:
                self._groups.append((slot_in, members))
                couplings.append(torch.cat(rows, dim=1).flatten(1))
        self._sizes = [coupling.shape[1] for coupling in couplings]
        self.register_buffer(
            "coupling", torch.cat(couplings, dim=1).to(torch.get_default_dtype()), persistent=False
        )

    def _check(self) -> None:
        for path in self.paths:
            mul_in, ir_in = self.irreps_in[path.slot_in]
            mul_filter, ir_filter = self.irreps_filter[path.slot_filter]
            mul_out, ir_out = self.irreps_out[path.slot_out]
            if ir_out not in ir_in * ir_filter or mul_in != mul_out or mul_filter != 1:
                raise ValueError(
                    f"{path}: expected mul x ir_in ⊗ 1 x ir_filter -> mul x ir_out allowed by O(3), "
                    f"got {mul_in}x{ir_in} ⊗ {mul_filter}x{ir_filter} -> {mul_out}x{ir_out}"
                )

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        filters: Float[Tensor, "edges dim_filter"],
        weights: Float[Tensor, "edges weight_numel"],
        edge_index: Int[Tensor, "2 edges"],
        n_nodes: int,
    ) -> Float[Tensor, "nodes dim_out"]:
        """Sums over the edges of each receiver, irreps `irreps_out.simplify()`."""
        sender, receiver = edge_index
        couplings = (filters @ self.coupling).split(self._sizes, dim=1)
        slices = self.irreps_in.slices()
        messages: list[list[Tensor]] = [[] for _ in self.irreps_out]
        for (slot_in, members), coupling in zip(self._groups, couplings, strict=True):
            mul, ir = self.irreps_in[slot_in]
            x = features[:, slices[slot_in]].index_select(0, sender).unflatten(1, (ir.dim, mul))
            coupled = coupling.unflatten(1, (-1, ir.dim)) @ x
            rows = coupled.split([dim for *_, dim in members], dim=1)
            for part, (slot_out, start, _) in zip(rows, members, strict=True):
                messages[slot_out].append(part * weights[:, None, start : start + mul])
        blocks = [torch.stack(parts).sum(0) if len(parts) > 1 else parts[0] for parts in messages]
        merged = [torch.cat(list(same), dim=2) for same in self._merge(blocks)]
        row = torch.cat([block.flatten(1) for block in merged], dim=1)
        return row.new_zeros(n_nodes, row.shape[1]).index_add(0, receiver, row)

    def _merge(self, blocks: list[Tensor]) -> Iterator[list[Tensor]]:
        """Blocks of consecutive slots of equal irrep, as `irreps_out.simplify()` joins them."""
        slots = itertools.groupby(zip(self.irreps_out, blocks, strict=True), key=lambda slot: slot[0].ir)
        for _, members in slots:
            yield [block for _, block in members]


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
