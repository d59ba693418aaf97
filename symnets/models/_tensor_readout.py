"""TensorReadout: outputs of any irreps, per structure or per atom, from the features of atoms."""

from collections.abc import Callable, Sequence

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.nn import Gate, Linear, SpeciesIndex
from symnets.ops import blocks

_EVEN = o3.Irrep("0e")


class TensorReadout(nn.Module):
    """Gated readout of the features h_i of atoms, for outputs of any irreps:

        f(h) = scale · W₂ gate(W₁ h)
        per atom:             t_i = f(h_i) + shift[species of i]
        per structure, sum:   t = Σ_i t_i
        per structure, mean:  t = f(mean_i h_i) + mean_i shift[species of i]

    with linear layers W₁ and W₂ over channels. Only even scalars have a shift.

    Args:
        irreps_in: irreps of the features, even scalars first, in the `ir_mul` layout.
        species: atomic numbers in increasing order, one for each row of `shift`.
        irreps_out: irreps of the output, which may be repeated, in any order.
        per: "structure" or "atom".
        pool: "sum" or "mean" over the atoms of a structure.
        scale: factor: one number, or one for each channel of `irreps_out`.
        shift: a row for each species, with a number for each channel of even scalars; None for no shift.

    Attributes:
        irreps_in, irreps_out: irreps of features and output.

    Raises:
        ValueError: the features lack an irrep of the output; `scale` or `shift` has a wrong length; `per` or
            `pool` is unknown.
    """

    scale: Tensor
    shift: Tensor | None

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        species: Sequence[int],
        irreps_out: o3.Irreps | str,
        *,
        per: str = "structure",
        pool: str = "sum",
        scale: float | Sequence[float] = 1.0,
        shift: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = o3.Irreps(irreps_in), o3.Irreps(irreps_out)
        if per not in ("structure", "atom"):
            raise ValueError(f"per: expected structure or atom, got {per!r}")
        if pool not in ("sum", "mean"):
            raise ValueError(f"pool: expected sum or mean, got {pool!r}")
        self.per, self.pool = per, pool
        self.species_index = SpeciesIndex(species)
        channels = {ir: sum(mul for mul, other in self.irreps_in if other == ir) for _, ir in self.irreps_in}
        merged: dict[o3.Irrep, int] = {}
        self.places = []  # irrep, first channel among those of this irrep, number of channels
        for mul, ir in self.irreps_out:
            if ir not in channels:
                raise ValueError(_lacking(ir, self.irreps_in, self.irreps_out))
            self.places.append((ir, merged.get(ir, 0), mul))
            merged[ir] = merged.get(ir, 0) + mul
        if not self.irreps_out.dim:
            raise ValueError(f"irreps: expected at least one, such as 1x0e+1x1o, got {irreps_out!r}")
        self.merged = o3.Irreps([(mul, ir) for ir, mul in merged.items()])
        hidden = [(channels[_EVEN], _EVEN), *((channels[ir], ir) for ir in merged if ir != _EVEN)]
        self.gate = Gate(o3.Irreps(hidden))
        self.before = Linear(self.irreps_in, self.gate.irreps_in)
        self.after = Linear(self.gate.irreps_out, self.merged)
        self.register_buffer("scale", _factors(scale, self.irreps_out))
        self.register_buffer("shift", None if shift is None else _shifts(shift, species, self.irreps_out))

    def forward(self, features: Float[Tensor, "atoms dim_in"], graph: AtomGraph) -> Float[Tensor, "n dim"]:
        """Outputs (structures, dim) or (atoms, dim) in e3nn's `mul_ir` layout; float64 with a shift."""
        owner, n_graphs = graph.owner, graph.n_graphs
        shift = None if self.shift is None else self.shift[self.species_index(graph.z)]
        if self.per == "structure" and self.pool == "mean":
            n_atoms = graph.n_atoms[:, None]
            output = self._transformed(sums(features, owner, n_graphs) / n_atoms)
            return output if shift is None else output + sums(shift, owner, n_graphs) / n_atoms
        output = self._transformed(features)
        output = output if shift is None else output + shift
        return output if self.per == "atom" else sums(output, owner, n_graphs)

    def _transformed(self, features: Float[Tensor, "n dim_in"]) -> Float[Tensor, "n dim"]:
        parts = blocks(self.after(self.gate(self.before(features))), self.merged)
        by_irrep = dict(zip((ir for _, ir in self.merged), parts, strict=True))
        out = [by_irrep[ir][:, :, start : start + mul].mT.flatten(1) for ir, start, mul in self.places]
        return torch.cat(out, dim=1) * self.scale

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TensorReadout":
        """Move to another device or dtype; the shift keeps its precision."""
        exact = self.shift
        super()._apply(fn, recurse)
        if exact is not None and self.shift is not None:
            self.shift = exact.to(self.shift.device)
        return self


def sums(
    values: Float[Tensor, "atoms dim"], owner: Int[Tensor, " atoms"], n_graphs: int
) -> Float[Tensor, "graphs dim"]:
    """Sums over the atoms of each structure."""
    return values.new_zeros(n_graphs, values.shape[1]).index_add(0, owner, values)


def _factors(scale: float | Sequence[float], irreps: o3.Irreps) -> Float[Tensor, " dim"]:
    """Factor of each component, from one number for all or one for each channel of `irreps`."""
    factors, n_channels = torch.as_tensor(scale, dtype=torch.get_default_dtype()), irreps.num_irreps
    if factors.numel() not in (1, n_channels):
        raise ValueError(f"scale: expected one number or {n_channels} (one a channel), got {scale}")
    sizes = torch.tensor([ir.dim for mul, ir in irreps for _ in range(mul)])
    return factors.reshape(-1).expand(n_channels).repeat_interleave(sizes)


def _shifts(
    shift: Sequence[Sequence[float]], species: Sequence[int], irreps: o3.Irreps
) -> Float[Tensor, "species dim"]:
    """Shift of each species and component, from the shifts of even scalars; zero for all other irreps."""
    given = torch.as_tensor(shift, dtype=torch.float64)
    even = torch.tensor([ir == _EVEN for mul, ir in irreps for _ in range(mul * ir.dim)])
    if given.shape != (expected := (len(species), int(even.sum()))):
        raise ValueError(
            f"shift: expected {expected[0]} rows (one a species) of {expected[1]} numbers (one for each "
            f"channel of even scalars), got shape {tuple(given.shape)}"
        )
    table = given.new_zeros(len(species), irreps.dim)
    table[:, even] = given
    return table


def _lacking(ir: o3.Irrep, irreps_in: o3.Irreps, irreps_out: o3.Irreps) -> str:
    """Error message for an irrep that the features lack, with the argument that adds it."""
    added = {other: irreps_in[0].mul for _, other in irreps_out if other not in irreps_in}
    last = "+".join([*map(str, irreps_in), *(f"{mul}x{other}" for other, mul in added.items())])
    return (
        f"irreps: the output has {ir}, but the model's features, {irreps_in}, have none; build the model "
        f'with irreps_last="{last}", or choose an architecture that has features of {ir}'
    )
