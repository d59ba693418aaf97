"""The tensor product and scatter in plain torch, for any device and dtype."""

import itertools
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from symnets.ops._implementation import is_transformed
from symnets.ops._paths import Plan


class Group(NamedTuple):
    """Paths that read the same block of the features: columns `start` to `stop`, (dim, channels)."""

    start: int
    stop: int
    dim: int
    channels: int
    paths: list[tuple[int, int, int]]
    """For each path: index of the output slot, dimension of its irrep, index of the first weight."""


class PlainPlan:
    """A `Plan` as dense coupling matrices and plain integers, which torch.compile can trace.

    The filter is contracted with the coefficients once for each edge. The paths that read the same input
    irrep then share one batched product of shapes (Σ_p dim_out, dim_in) and (dim_in, channels).
    """

    def __init__(self, plan: Plan) -> None:
        self.groups: list[Group] = []
        couplings = []
        for slot_in, (mul, ir) in enumerate(plan.irreps_in):
            members = [n for n, path in enumerate(plan.paths) if path.slot_in == slot_in]
            if not members:
                continue
            rows = []
            for n in members:
                cg, path = plan.coupling(n), plan.paths[n]
                padded = cg.new_zeros(plan.irreps_filter.dim, cg.shape[2], cg.shape[0])
                padded[plan.irreps_filter.slices()[path.slot_filter]] = cg.permute(1, 2, 0)
                rows.append(padded)
            slots = [plan.paths[n].slot_out for n in members]
            dims, starts = [plan.slots[s].ir.dim for s in slots], [plan.weight_starts[n] for n in members]
            paths = list(zip(slots, dims, starts, strict=True))
            columns = plan.irreps_in.slices()[slot_in]
            self.groups.append(Group(columns.start, columns.stop, ir.dim, mul, paths))
            couplings.append(torch.cat(rows, dim=1).flatten(1))
        self.sizes = [coupling.shape[1] for coupling in couplings]
        self.slots = [(ir.dim, mul) for mul, ir in plan.slots]
        by_irrep = itertools.groupby(range(len(plan.slots)), key=lambda slot: plan.slots[slot].ir)
        self.blocks = [list(slots) for _, slots in by_irrep]
        self.columns = plan.irreps_out.dim
        self._exact = torch.cat(couplings, dim=1)
        self._cast: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def coupling(self, like: Tensor) -> Tensor:
        """Coupling matrices in the dtype and on the device of a tensor, copied there once."""
        key = (like.dtype, like.device)
        if key not in self._cast:
            with torch.inference_mode(False):  # tensors made in inference mode cannot be used in training
                cast = self._exact.to(like.dtype).to(like.device)
            if is_transformed():  # tensors made within a torch.func transform cannot be used after it
                return cast
            self._cast[key] = cast
        return self._cast[key]


def plain(
    plain_plan: PlainPlan, x: Tensor, y: Tensor, w: Tensor, edge_index: Int[Tensor, "2 edges"], n_nodes: int
) -> Tensor:
    """Tensor product and scatter by gather, batched matrix products and `index_add`."""
    sender, receiver = edge_index.unbind()
    couplings = (y @ plain_plan.coupling(y)).split(plain_plan.sizes, dim=1)
    pieces: list[Tensor | None] = [None] * len(plain_plan.slots)
    for (start, stop, dim, channels, paths), coupling in zip(plain_plan.groups, couplings, strict=True):
        features = x[:, start:stop].index_select(0, sender).unflatten(1, (dim, channels))
        coupled = coupling.unflatten(1, (-1, dim)) @ features
        parts = coupled.split([dim_out for _, dim_out, _ in paths], dim=1)
        for (slot, _, first), part in zip(paths, parts, strict=True):
            piece = part * w[:, None, first : first + channels]
            before = pieces[slot]
            pieces[slot] = piece if before is None else before + piece
    filled = [
        x.new_zeros(len(y), *shape) if piece is None else piece
        for piece, shape in zip(pieces, plain_plan.slots, strict=True)
    ]
    messages = [torch.cat([filled[n] for n in slots], dim=2).flatten(1) for slots in plain_plan.blocks]
    out = x.new_zeros(n_nodes, plain_plan.columns)
    return out.index_add(0, receiver, torch.cat(messages, dim=1))
