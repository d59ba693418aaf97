"""Interaction: one layer of an equivariant message-passing network."""

from collections.abc import Callable, Sequence

from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.nn._activations import Gate
from symnets.nn._convolution import Convolution
from symnets.nn._edges import Edges
from symnets.nn._linear import Linear, SpeciesLinear


class Interaction(nn.Module):
    """NequIP's interaction block, one layer of equivariant message passing:

        x ← gate( linear( convolution( linear(x) ) ) + self_connection(x, species) ).

    Source: Batzner et al. 2022, arXiv:2101.03164, fig. 1.

    Args:
        irreps_in: irreps of the features x.
        irreps_filter: irreps of the spherical harmonics.
        targets: irreps of the features to compute; those that no path reaches are left out.
        n_species: number of species.
        n_basis: size of the radial basis.
        radial_hidden: widths of the hidden layers of the radial MLP.
        mean_neighbors: average number of neighbours in the training data.
        bias: whether the linear layers before and after the convolution add trained constants to even
            scalars.
        norm: class or function that makes the normalisation layer before the gate from its irreps, such as
            `RMSNorm`; None for no such layer.

    Attributes:
        irreps_out: irreps of the result.
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        irreps_filter: o3.Irreps | str,
        targets: o3.Irreps | str,
        *,
        n_species: int,
        n_basis: int,
        radial_hidden: Sequence[int],
        mean_neighbors: float,
        bias: bool = False,
        norm: Callable[[o3.Irreps], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.irreps_in = o3.Irreps(irreps_in)
        self.irreps_out = self.reachable(irreps_in, irreps_filter, targets)
        self.gate = Gate(self.irreps_out)
        self.before = Linear(irreps_in, irreps_in, bias=bias)
        self.convolution = Convolution(
            irreps_in,
            irreps_filter,
            self.gate.irreps_in,
            n_basis=n_basis,
            radial_hidden=radial_hidden,
            mean_neighbors=mean_neighbors,
        )
        self.after = Linear(self.convolution.irreps_out, self.gate.irreps_in, bias=bias)
        self.self_connection = SpeciesLinear(irreps_in, self.gate.irreps_in, n_species)
        self.norm = None if norm is None else norm(self.gate.irreps_in)

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        edges: Edges,
        edge_index: Int[Tensor, "2 edges"],
        species: Int[Tensor, " nodes"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Features after one step of message passing."""
        messages = self.convolution(self.before(features), edges, edge_index)
        updated = self.after(messages) + self.self_connection(features, species)
        return self.gate(updated if self.norm is None else self.norm(updated))

    @staticmethod
    def reachable(
        irreps_in: o3.Irreps | str, irreps_filter: o3.Irreps | str, targets: o3.Irreps | str
    ) -> o3.Irreps:
        """Irreps of `targets` that are in a product of the features and the spherical harmonics."""
        filters = o3.Irreps(irreps_filter)
        products = {
            ir for _, ir_in in o3.Irreps(irreps_in) for _, ir_filter in filters for ir in ir_in * ir_filter
        }
        return o3.Irreps([(mul, ir) for mul, ir in o3.Irreps(targets) if ir in products])
