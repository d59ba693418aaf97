"""Layers of pairs: e3nn's tensor products in loops, equivariance, and the pairs that they depend on."""

import pytest
import torch
from e3nn import o3

from symnets.nn import BesselBasis, Edges, PairEmbedding, PairInteraction, polynomial_envelope
from symnets.ops import to_e3nn
from symnets.testing import assert_equivariant
from tests.naive.allegro import pair_interaction

FILTERS = o3.Irreps.spherical_harmonics(2)
EDGE_INDEX = torch.tensor([[1, 2, 3, 0, 2, 0], [0, 0, 0, 1, 1, 3]])
"""Neighbours and centres: three pairs of centre 0, two of 1, none of 2, one of 3."""


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def layer(irreps_in: str = "3x0e+3x1o+3x2e", irreps_out: str = "3x0e+3x1o+3x2e") -> PairInteraction:
    return PairInteraction(irreps_in, FILTERS, irreps_out, latent=5, hidden=(6,), mean_neighbors=2.0)


def edges_of(filters: torch.Tensor, envelope: torch.Tensor) -> Edges:
    return Edges(torch.zeros(len(filters), 4), filters, None, envelope)


def inputs(irreps_in: o3.Irreps) -> tuple[torch.Tensor, torch.Tensor, Edges]:
    n = EDGE_INDEX.shape[1]
    edges = edges_of(torch.randn(n, FILTERS.dim), torch.rand(n))
    return torch.randn(n, 5), torch.randn(n, irreps_in.dim), edges


@pytest.mark.parametrize(
    ("irreps_in", "irreps_out"),
    [
        ("3x0e+3x1o+3x2e", "3x0e+3x1o+3x2e"),
        ("2x0e+2x1o+2x1e+2x2o", "2x0e+4x1o+3x1e+1x2o+5x0o"),
        ("2x0e+2x1o+2x2e", ""),
        ("16x0e+16x1o", "16x0e"),
    ],
)
def test_layer_is_that_of_the_paper(irreps_in, irreps_out):
    ours = layer(irreps_in, irreps_out)
    arguments = *inputs(ours.irreps_in), EDGE_INDEX, 4
    scalars, tensors = ours(*arguments)
    expected_scalars, expected_tensors = pair_interaction(ours, *arguments)
    torch.testing.assert_close(scalars, expected_scalars, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        to_e3nn(tensors, ours.irreps_out) if irreps_out else tensors, expected_tensors, rtol=1e-12, atol=1e-12
    )


def test_layer_is_equivariant():
    ours, n = layer("2x0e+2x1o+2x1e+2x2e", "2x0e+2x1o+2x1e+2x2o"), EDGE_INDEX.shape[1]

    def updated(scalars: torch.Tensor, tensors: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        filters = o3.spherical_harmonics([0, 1, 2], vectors, normalize=True)
        return torch.cat(ours(scalars, tensors, edges_of(filters, torch.ones(n)), EDGE_INDEX, 4), dim=1)

    assert_equivariant(
        updated, ["5x0e", ours.irreps_in, "1o"], o3.Irreps("5x0e") + ours.irreps_out, n=n, tolerance=1e-11
    )


def test_embedding_is_equivariant_and_vanishes_at_the_cutoff():
    embedding, basis = (
        PairEmbedding(FILTERS, n_basis=4, latent=5, channels=3, hidden=(6,)),
        BesselBasis(3.0, 4),
    )
    species = torch.randn(4, 10)

    def embedded(vectors: torch.Tensor) -> torch.Tensor:
        r = vectors.norm(dim=1)
        filters = o3.spherical_harmonics([0, 1, 2], vectors, normalize=True)
        edges = Edges(basis(r), filters, None, polynomial_envelope(r / 3.0))
        return torch.cat(embedding(edges, EDGE_INDEX, species), dim=1)

    n = EDGE_INDEX.shape[1]
    assert_equivariant(embedded, ["1o"], o3.Irreps("5x0e") + embedding.irreps_out, n=n, tolerance=1e-11)
    directions = torch.nn.functional.normalize(torch.randn(n, 3), dim=1)
    assert embedded(2.0 * directions).abs().min(dim=1).values.sum() > 0
    assert not embedded(3.01 * directions).any()


def test_pairs_of_other_centres_do_not_contribute():
    """Features of pairs of one centre do not depend on the pairs of another, not even in the last bit."""
    ours = layer()
    scalars, tensors, edges = inputs(ours.irreps_in)
    before = ours(scalars, tensors, edges, EDGE_INDEX, 4)
    own = EDGE_INDEX[1] == 0
    changed = [torch.where(own[:, None], t, torch.randn_like(t)) for t in (scalars, tensors, edges.filters)]
    after = ours(*changed[:2], edges._replace(filters=changed[2]), EDGE_INDEX, 4)
    for x, y in zip(before, after, strict=True):
        assert torch.equal(x[own], y[own])
        assert not torch.isclose(x[~own], y[~own]).any()


def test_scalars_of_a_pair_depend_on_the_other_neighbours_of_its_centre():
    ours = layer()
    scalars, tensors, edges = inputs(ours.irreps_in)
    edges.filters.requires_grad_()
    new, _ = ours(scalars, tensors, edges, EDGE_INDEX, 4)
    (gradient,) = torch.autograd.grad(new[0].sum(), edges.filters)
    assert gradient[:3].abs().sum(dim=1).min() > 0
    assert not gradient[3:].any()


def test_edges_without_an_envelope_are_refused():
    ours = layer()
    scalars, tensors, edges = inputs(ours.irreps_in)
    with pytest.raises(ValueError, match=r"expected an envelope; build them with EdgeGeometry"):
        ours(scalars, tensors, edges._replace(envelope=None), EDGE_INDEX, 4)


def test_an_irrep_without_a_path_is_refused():
    with pytest.raises(ValueError, match="0o is in none of the inputs"):
        layer("3x0e+3x1o", "3x0e+3x0o")
