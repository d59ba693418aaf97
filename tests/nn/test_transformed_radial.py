"""Distances transformed by the elements of a pair, Gaussians of MACE, and densities of neighbours."""

import math

import pytest
import torch
from ase import Atoms
from ase.data import covalent_radii

from symnets.data import from_ase
from symnets.models import MACE
from symnets.nn import (
    AgnesiTransform,
    BesselBasis,
    Density,
    EdgeGeometry,
    GaussianBasis,
    PairKinds,
    SoftTransform,
    TransformedBasis,
    tabulate,
)

SPECIES = (1, 8, 29)
CUTOFF = 4.0


def test_kinds_number_unordered_pairs_and_know_their_radii():
    kinds = PairKinds(SPECIES)
    z = torch.tensor(SPECIES)
    first, second = torch.cartesian_prod(z, z).T
    found = kinds(torch.stack([first, second]))
    assert torch.equal(found, kinds(torch.stack([second, first])))
    assert found.unique().tolist() == list(range(6))
    sums = covalent_radii[first.numpy()] + covalent_radii[second.numpy()]
    like = torch.zeros(1, dtype=torch.float64)
    assert torch.equal(kinds.lengths(like)[found], torch.from_numpy(sums))


def test_agnesi_transform_at_its_limits_and_at_the_bond_length():
    """At s = 1, half of the sum of radii, x = 1 / (1 + a/2); at 0 it is 1, at infinity 0."""
    r = torch.tensor([1e-9, 0.75, 1e6], dtype=torch.float64, requires_grad=True)
    x = AgnesiTransform().double()(r, torch.full_like(r, 1.5))
    expected = torch.tensor([1.0, 1 / (1 + 1.0805 / 2), 0.0], dtype=torch.float64)
    torch.testing.assert_close(x, expected, rtol=1e-6, atol=1e-5)
    (slope,) = torch.autograd.grad(x.sum(), r)
    assert slope.isfinite().all()
    assert (slope <= 0).all()


def test_soft_transform_is_constant_below_and_the_distance_above_the_bond_length():
    length = torch.tensor([1.2, 1.2], dtype=torch.float64)
    r = torch.tensor([0.05, 3.5], dtype=torch.float64)
    low, far = SoftTransform().double()(r, length).tolist()
    assert math.isclose(low, 0.75 * 1.2, rel_tol=1e-2)
    assert math.isclose(far, 3.5, rel_tol=1e-6)


@pytest.mark.parametrize("transform", [AgnesiTransform(), SoftTransform()])
def test_a_transformed_basis_depends_on_the_elements_and_ends_at_the_cutoff(transform):
    functions = BesselBasis(CUTOFF, 3, envelope=torch.ones_like)
    basis = TransformedBasis(functions, transform, cutoff=CUTOFF, species=SPECIES).double()
    r = torch.tensor([1.0, 1.0, CUTOFF], dtype=torch.float64)
    light, heavy, end = basis(r, torch.tensor([0, 5, 5]))
    assert not torch.allclose(light, heavy)
    assert torch.equal(end, torch.zeros(3, dtype=torch.float64))


def test_wide_gaussians_have_their_maxima_from_zero_to_the_cutoff():
    basis = GaussianBasis(CUTOFF, 5, envelope=torch.ones_like, wide=True)
    centres = torch.linspace(0, CUTOFF, 5)
    rows = basis(centres)
    torch.testing.assert_close(rows.diagonal(), torch.ones(5))
    torch.testing.assert_close(rows.diagonal(1), torch.full((4,), math.exp(-0.5)))
    with pytest.raises(ValueError, match="expected at least 2 Gaussians"):
        GaussianBasis(CUTOFF, 1, wide=True)


def test_density_counts_neighbours_smoothly():
    """With large weights every neighbour well within the cutoff counts 1, and none at the cutoff."""
    edges = EdgeGeometry(CUTOFF, 1, 4).double()
    density = Density(4).double()
    torch.nn.init.constant_(density.network.weights[0], 100.0)
    near = Atoms("H3", [(0, 0, 0), (1, 0, 0), (0, 1, 0)])
    graph = from_ase(near, CUTOFF, dtype=torch.float64)
    found = density(edges(graph), graph.edge_index, 3)
    torch.testing.assert_close(found, torch.full((3, 1), 2.0, dtype=torch.float64), rtol=1e-6, atol=0)
    at_the_cutoff = from_ase(Atoms("H2", [(0, 0, 0), (0, 0, CUTOFF - 1e-4)]), CUTOFF, dtype=torch.float64)
    assert density(edges(at_the_cutoff), at_the_cutoff.edge_index, 2).abs().max() < 1e-6


def test_tables_of_too_many_pairs_of_elements_are_refused():
    model = MACE(
        range(1, 90), lmax=1, correlation=1, channels=64, radial_hidden=(4,), distance_transform="agnesi"
    )
    with pytest.raises(ValueError, match=r"4005 pairs of 89 elements: its tables would take .* GiB; keep"):
        tabulate(model, CUTOFF, 2000)
