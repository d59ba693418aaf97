"""Linear layers: equivariant mixing of channels, with one matrix for all atoms or one for each species."""

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.native import CannotLower, LinearTerm, Matrix, Program, irrep_channels, linear
from symnets.ops import Block, blocks, group_rows, grouped_linear, is_traced, join

EVEN = o3.Irrep("0e")


class Linear(nn.Module):
    """Equivariant linear layer, which mixes the channels of equal irreps.

    For every output irrep, node n, component m and channel c,

        out[n, m, c] = fan_in^(-1/2) Σ_{slots, c'} x[n, m, (slot, c')] W[(slot, c'), c],

    summed over the slots (entries of `irreps_in`) of the same irrep. Every linear equivariant map has this
    form. This is `e3nn.o3.Linear` (weights drawn from N(0, 1)) in the `ir_mul` layout.

    Args:
        irreps_in: input irreps; an irrep may have several slots.
        irreps_out: output irreps, each irrep once.
        bias: whether to add trained constants, 0 at the start, to the even scalars of the output.

    Raises:
        ValueError: an output irrep is not in the input, and would be zero; `bias` without even scalars.
    """

    def __init__(
        self, irreps_in: o3.Irreps | str, irreps_out: o3.Irreps | str, *, bias: bool = False
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = o3.Irreps(irreps_in), o3.Irreps(irreps_out)
        self.slots = [
            [i for i, (_, ir) in enumerate(self.irreps_in) if ir == out] for _, out in self.irreps_out
        ]
        for slots, (_, ir) in zip(self.slots, self.irreps_out, strict=True):
            if not slots:
                raise ValueError(f"Linear: output irrep {ir} is in none of the inputs {self.irreps_in}")
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(sum(self.irreps_in[i].mul for i in slots), mul))
            for slots, (mul, _) in zip(self.slots, self.irreps_out, strict=True)
        )
        outputs = [ir for _, ir in self.irreps_out]
        if bias and EVEN not in outputs:
            raise ValueError(f"Linear: bias needs even scalars in the output, got {self.irreps_out}")
        self.biased = outputs.index(EVEN) if bias else None
        self.bias = (
            None if self.biased is None else nn.Parameter(torch.zeros(self.irreps_out[self.biased].mul))
        )

    def forward(self, features: Float[Tensor, "n dim_in"]) -> Float[Tensor, "n dim_out"]:
        """Mixed features."""
        return self.mix(blocks(features, self.irreps_in))

    def lower(self, program: Program, features: Matrix) -> Matrix:
        """Mixed features in a native program."""
        if features.table is not None:
            return program.lookup(self(features.table))
        terms = []
        for target, (slots, weight) in enumerate(zip(self.slots, self.weights, strict=True)):
            scaled = weight.detach().double() * weight.shape[0] ** -0.5
            parts = scaled.split([self.irreps_in[i].mul for i in slots])
            terms += [LinearTerm(i, target, part[None].numpy()) for i, part in zip(slots, parts, strict=True)]
        bias = {}
        if self.bias is not None and self.biased is not None:
            bias[self.biased] = self.bias.detach().double().numpy()
        channels = irrep_channels(self.irreps_in), irrep_channels(self.irreps_out)
        return linear(program, features, *channels, terms, bias)

    def mix(self, parts: list[Float[Tensor, "n _ir _mul"]]) -> Float[Tensor, "n dim_out"]:
        """Mixed features from separate blocks (n, 2l+1, channels) of the input."""
        out = []
        for number, (slots, weight) in enumerate(zip(self.slots, self.weights, strict=True)):
            x = parts[slots[0]] if len(slots) == 1 else torch.cat([parts[i] for i in slots], dim=-1)
            # 2l+1 products with a row for each atom are faster than small products for each atom.
            mixed = x.transpose(0, 1) @ (weight * weight.shape[0] ** -0.5)
            out.append(mixed.transpose(0, 1) + self.bias if number == self.biased else mixed.transpose(0, 1))
        return join(out)


class SpeciesLinear(nn.Module):
    """Equivariant linear layer with its own weights for each species s, which mixes channels of equal irreps:

        out[n, m, c] = fan_in^(-1/2) Σ_{c'} x[n, m, c'] W[s(n), c', c]

    for node n, component m and channel c. Up to normalisation this is e3nn's `FullyConnectedTensorProduct` of
    the features with the one-hot species: NequIP's self-connection. Output irreps that are not in the input
    are zero.

    Args:
        irreps_in: input irreps, each irrep once.
        irreps_out: output irreps.
        n_species: number of species; with 1, all atoms have the same weights.

    Raises:
        ValueError: an input irrep is repeated.
    """

    def __init__(self, irreps_in: o3.Irreps | str, irreps_out: o3.Irreps | str, n_species: int) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = o3.Irreps(irreps_in), o3.Irreps(irreps_out)
        if len({ir for _, ir in self.irreps_in}) < len(self.irreps_in):
            raise ValueError(f"SpeciesLinear: expected each irrep once, got {self.irreps_in}")
        self.slots = [
            next((i for i, (_, ir) in enumerate(self.irreps_in) if ir == out), None)
            for _, out in self.irreps_out
        ]
        self.n_species = n_species
        starts_in, starts_out = (
            [s.start for s in irreps.slices()] for irreps in (self.irreps_in, self.irreps_out)
        )
        self.places = [
            None if i is None else Block(ir.dim, starts_in[i], start)
            for i, start, (_, ir) in zip(self.slots, starts_out, self.irreps_out, strict=True)
        ]
        self.weights = nn.ParameterList(
            # Empty if the irrep is not in the input. It then requires no gradient, because distributed
            # training would wait for one.
            nn.Parameter(
                torch.randn(n_species, 0 if i is None else self.irreps_in[i].mul, mul),
                requires_grad=i is not None,
            )
            for i, (mul, _) in zip(self.slots, self.irreps_out, strict=True)
        )

    def forward(
        self, features: Float[Tensor, "n dim_in"], species: Int[Tensor, " n"]
    ) -> Float[Tensor, "n dim_out"]:
        """Mixed features; `species` counts from 0."""
        if len(features) and self.n_species > 1 and not is_traced():
            used = [
                (place, w) for place, w in zip(self.places, self.weights, strict=True) if place is not None
            ]
            weights = [weight * weight.shape[1] ** -0.5 for _, weight in used]
            groups = group_rows(species, self.n_species)
            return grouped_linear(
                features, weights, [place for place, _ in used], self.irreps_out.dim, groups
            )
        parts, out = blocks(features, self.irreps_in), []
        for i, weight, (mul, ir) in zip(self.slots, self.weights, self.irreps_out, strict=True):
            if i is None:
                out.append(features.new_zeros(features.shape[0], ir.dim, mul))
                continue
            scaled = weight * weight.shape[1] ** -0.5
            if scaled.shape[0] == 1:
                out.append((parts[i].transpose(0, 1) @ scaled[0]).transpose(0, 1))
            else:
                out.append(parts[i] @ scaled[species])
        return join(out)

    def lower(self, program: Program, features: Matrix, species: Matrix) -> Matrix:
        """Mixed features in a native program.

        Raises:
            CannotLower: the species are not those of the program.
        """
        if features.table is not None:
            return program.lookup(self(features.table, torch.arange(program.n_species)))
        if species is not program.species:
            raise CannotLower("SpeciesLinear: expected the species of the graph's atoms, got other indices")
        if self.n_species not in (1, program.n_species):
            raise CannotLower(
                f"SpeciesLinear: expected weights of the {program.n_species} species of the model, or of 1, "
                f"got {self.n_species}"
            )
        terms = [
            LinearTerm(i, target, (weight.detach().double() * weight.shape[1] ** -0.5).numpy())
            for target, (i, weight) in enumerate(zip(self.slots, self.weights, strict=True))
            if i is not None
        ]
        channels = irrep_channels(self.irreps_in), irrep_channels(self.irreps_out)
        return linear(program, features, *channels, terms)
