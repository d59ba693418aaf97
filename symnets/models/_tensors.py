"""Tensors: outputs of any irreps, per structure or per atom, from the features of a graph network."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.nn import Gate, Linear, SpeciesIndex
from symnets.ops import blocks

_EVEN = o3.Irrep("0e")


class TensorReadout(nn.Module):
    """Gated readout of atoms' features h, for outputs of any irreps:

        t = scale · W₂ gate(W₁ h) + shift[species]

    with linear layers W₁ and W₂ over channels. Only even scalars have a shift.

    Args:
        irreps_in: irreps of the features, even scalars first, in the `ir_mul` layout.
        irreps_out: irreps of the output; they may be repeated, and come in any order.
        scale: factor of the output: one number, or one for each channel of `irreps_out`.
        shift: one row for each species, with a number for each channel of even scalars; None for no shift.

    Attributes:
        irreps_in, irreps_out: irreps of features and output.

    Raises:
        ValueError: the features lack an irrep of the output; `scale` or `shift` has a wrong length.
    """

    scale: Tensor
    shift: Tensor | None

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        irreps_out: o3.Irreps | str,
        *,
        scale: float | Sequence[float] = 1.0,
        shift: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = o3.Irreps(irreps_in), o3.Irreps(irreps_out)
        channels = {ir: sum(mul for mul, other in self.irreps_in if other == ir) for _, ir in self.irreps_in}
        outputs: dict[o3.Irrep, int] = {}
        self.places = []
        for mul, ir in self.irreps_out:
            if ir not in channels:
                raise ValueError(_lacking(ir, self.irreps_in, self.irreps_out))
            self.places.append((ir, outputs.get(ir, 0), mul))
            outputs[ir] = outputs.get(ir, 0) + mul
        if not outputs:
            raise ValueError("irreps: expected at least one, such as 1x0e+1x1o, got none")
        self.merged = o3.Irreps([(mul, ir) for ir, mul in outputs.items()])
        hidden = [(channels[_EVEN], _EVEN), *((channels[ir], ir) for ir in outputs if ir != _EVEN)]
        self.gate = Gate(o3.Irreps(hidden))
        self.before = Linear(self.irreps_in, self.gate.irreps_in)
        self.after = Linear(self.gate.irreps_out, self.merged)
        n_channels, n_even = (
            sum(mul for mul, ir in self.irreps_out if which(ir)) for which in (lambda ir: True, _is_even)
        )
        factors = torch.as_tensor(scale, dtype=torch.get_default_dtype())
        if factors.numel() not in (1, n_channels):
            raise ValueError(f"scale: expected one number or {n_channels} (one a channel), got {scale}")
        sizes = torch.tensor([ir.dim for mul, ir in self.irreps_out for _ in range(mul)])
        self.register_buffer("scale", factors.expand(n_channels).repeat_interleave(sizes))
        table = None if shift is None else torch.as_tensor(shift, dtype=torch.float64)
        if table is not None and (table.ndim != 2 or table.shape[1] != n_even):
            raise ValueError(f"shift: expected {n_even} numbers for each species, got {shift}")
        if table is not None:
            columns = [_is_even(ir) for mul, ir in self.irreps_out for _ in range(mul) for _ in range(ir.dim)]
            full = table.new_zeros(len(table), self.irreps_out.dim)
            full[:, torch.tensor(columns)] = table
            table = full
        self.register_buffer("shift", table)

    def forward(self, features: Float[Tensor, "n dim_in"]) -> Float[Tensor, "n dim_out"]:
        """Outputs without shift, in e3nn's `mul_ir` layout."""
        parts = dict(
            zip(
                (ir for _, ir in self.merged),
                blocks(self.after(self.gate(self.before(features))), self.merged),
                strict=True,
            )
        )
        out = [parts[ir][:, :, start : start + mul].mT.flatten(1) for ir, start, mul in self.places]
        return torch.cat(out, dim=1) * self.scale

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TensorReadout":
        """Move to another device or dtype; the shift keeps its precision."""
        exact = self.shift
        super()._apply(fn, recurse)
        if exact is not None and self.shift is not None:
            self.shift = exact.to(self.shift.device)
        return self


class Tensors(nn.Module):
    """Tensor outputs of structures or atoms, of any irreps, from the features h_i of a graph network.

        per atom:             t_i = readout(h_i) + shift[species of i]
        per structure, sum:   t = Σ_i t_i
        per structure, mean:  t = readout(mean_i h_i) + mean_i shift[species of i]

    with the gated `TensorReadout`. A sum suits extensive quantities, such as dipoles of neutral molecules;
    the mean, a nonlinear readout of pooled features, suits intensive ones and the scores of classes. Outputs
    rotate and reflect with the structure, and do not change when it is translated.

    Args:
        model: graph network with `node_features` and `irreps_features`, such as `NequIP`. Features of l > 0
            need its argument `irreps_last`.
        irreps: irreps of the output, such as "2x0e+1x1o+1x2e".
        per: "structure" or "atom".
        pool: "sum" or "mean" over the atoms of a structure.
        scale: factor of the network's output: one number, or one for each channel.
        shift: for each species, in order of atomic number, a number for each channel of even scalars, which
            is added to the output of each atom; None for no shift.

    Raises:
        ValueError: the features of the model lack an irrep of the output.

    Example:
        net = NequIP(["H", "C"], irreps_last="64x0e+32x1o+32x2e")
        Tensors(net, "1x0e+1x1o")(graph)  # (structures, 4)
    """

    def __init__(
        self,
        model: nn.Module,
        irreps: str,
        *,
        per: Literal["structure", "atom"] = "structure",
        pool: Literal["sum", "mean"] = "sum",
        scale: float | Sequence[float] = 1.0,
        shift: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        if per not in ("structure", "atom") or pool not in ("sum", "mean"):
            raise ValueError(
                f'per, pool: expected "structure" or "atom", and "sum" or "mean", got {per!r}, {pool!r}'
            )
        self.config = {
            "model": model,
            "irreps": str(o3.Irreps(irreps)),
            "per": per,
            "pool": pool,
            "scale": scale,
            "shift": shift,
        }
        self.model, self.per, self.pool = model, per, pool
        self.species: tuple[int, ...] = tuple(model.species)  # pyright: ignore
        self.cutoff: float = float(model.cutoff)  # pyright: ignore
        self.species_index = SpeciesIndex(self.species)
        irreps_features: o3.Irreps = model.irreps_features  # pyright: ignore
        self.readout = TensorReadout(irreps_features, irreps, scale=scale, shift=shift)
        self.irreps_out = self.readout.irreps_out

    def forward(self, graph: AtomGraph) -> Float[Tensor, "n dim"]:
        """Outputs (structures, dim) or (atoms, dim), in e3nn's order; float64 if there is a shift."""
        features = self.model.node_features(graph)  # pyright: ignore[reportCallIssue]
        shift = None if self.readout.shift is None else self.readout.shift[self.species_index(graph.z)]
        if self.per == "structure" and self.pool == "mean":
            n_atoms = graph.n_atoms[:, None]
            output = self.readout(_sums(features, graph.owner, graph.n_graphs) / n_atoms)
            return output if shift is None else output + _sums(shift, graph.owner, graph.n_graphs) / n_atoms
        output = self.readout(features)
        output = output if shift is None else output + shift
        return output if self.per == "atom" else _sums(output, graph.owner, graph.n_graphs)


def _sums(
    values: Float[Tensor, "atoms dim"], owner: Int[Tensor, " atoms"], n_graphs: int
) -> Float[Tensor, "graphs dim"]:
    return values.new_zeros(n_graphs, values.shape[1]).index_add(0, owner, values)


def _is_even(ir: o3.Irrep) -> bool:
    return ir == _EVEN


def _lacking(ir: o3.Irrep, irreps_in: o3.Irreps, irreps_out: o3.Irreps) -> str:
    """Message on an irrep that the features lack, with the argument to pass."""
    have = o3.Irreps(irreps_in)
    needed = [*have, *((have[0].mul, other) for _, other in irreps_out if other not in have)]
    last = o3.Irreps(list(dict.fromkeys((mul, other) for mul, other in needed)))
    return (
        f"irreps: the output has {ir}, but the model's features, {irreps_in}, have none of it; build the "
        f'model with irreps_last="{last}"'
    )
