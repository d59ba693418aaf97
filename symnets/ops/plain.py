"""The tensor product and scatter in plain torch: the twin of the fused kernels, for any device."""

import torch
from jaxtyping import Int
from torch import Tensor

from symnets.ops.paths import Plan


class PlainPlan:
    """A plan with its couplings as matrices.

    The filter is contracted with the coefficients once an edge; the paths that start at the same
    input slot then share one batched product of shapes (Σ_p dim_out, dim_in) and (dim_in, channels).
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.groups: list[tuple[int, list[int]]] = []
        couplings = []
        for slot_in in range(len(plan.irreps_in)):
            members = [n for n, path in enumerate(plan.paths) if path.slot_in == slot_in]
            if not members:
                continue
            rows = []
            for n in members:
                cg, path = plan.coupling(n), plan.paths[n]
                full = cg.new_zeros(plan.irreps_filter.dim, cg.shape[2], cg.shape[0])
                full[plan.irreps_filter.slices()[path.slot_filter]] = cg.permute(1, 2, 0)
                rows.append(full)
            self.groups.append((slot_in, members))
            couplings.append(torch.cat(rows, dim=1).flatten(1))
        self.sizes = [coupling.shape[1] for coupling in couplings]
        self._exact = torch.cat(couplings, dim=1)
        self._cast: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def coupling(self, like: Tensor) -> Tensor:
        """Couplings in the dtype and on the device of a tensor."""
        key = (like.dtype, like.device)
        if key not in self._cast:
            with torch.inference_mode(False):  # a later training may use it too
                self._cast[key] = self._exact.to(like.dtype).to(like.device)
        return self._cast[key]


def plain(
    plain_plan: PlainPlan, x: Tensor, y: Tensor, w: Tensor, edge_index: Int[Tensor, "2 edges"], n_nodes: int
) -> Tensor:
    """The product from gather, batched products and `index_add`."""
    plan = plain_plan.plan
    sender, receiver = edge_index
    couplings = (y @ plain_plan.coupling(y)).split(plain_plan.sizes, dim=1)
    slices = plan.irreps_in.slices()
    row = x.new_zeros(n_nodes, plan.irreps_out.dim)
    pieces: list[list[Tensor]] = [[] for _ in plan.slots]
    for (slot_in, members), coupling in zip(plain_plan.groups, couplings, strict=True):
        mul, ir = plan.irreps_in[slot_in]
        features = x[:, slices[slot_in]].index_select(0, sender).unflatten(1, (ir.dim, mul))
        coupled = coupling.unflatten(1, (-1, ir.dim)) @ features
        parts = coupled.split([plan.slots[plan.paths[n].slot_out].ir.dim for n in members], dim=1)
        for n, part in zip(members, parts, strict=True):
            start = plan.weight_starts[n]
            pieces[plan.paths[n].slot_out].append(part * w[:, None, start : start + mul])
    blocks: list[list[Tensor]] = [[] for _ in plan.irreps_out]
    merged = [next(i for i, (_, out) in enumerate(plan.irreps_out) if out == ir) for _, ir in plan.slots]
    for slot, (mul, ir) in enumerate(plan.slots):
        empty = x.new_zeros(edge_index.shape[1], ir.dim, mul)
        blocks[merged[slot]].append(sum(pieces[slot], empty) if pieces[slot] else empty)
    messages = torch.cat([torch.cat(same, dim=2).flatten(1) for same in blocks], dim=1)
    return row.index_add(0, receiver, messages)
