"""The radial functions SevenNet is built on, against closed forms."""

import pytest
import torch

from symnets.data import from_ase
from symnets.nn import BesselBasis, EdgeGeometry, SineBasis, SpeciesLinear, xplor_envelope


def test_xplor_has_its_published_form() -> None:
    on, cutoff = 4.5, 5.0
    r = torch.linspace(0.1, 6, 60, dtype=torch.float64)
    numerator = (cutoff**2 - r**2) ** 2 * (cutoff**2 + 2 * r**2 - 3 * on**2)
    between = numerator / (cutoff**2 - on**2) ** 3
    expected = torch.where(r < on, 1.0, torch.where(r < cutoff, between, 0.0))
    torch.testing.assert_close(xplor_envelope(r, on, cutoff), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("r", "value"), [(4.5, 1.0), (5.0, 0.0)])
def test_xplor_is_level_at_both_ends(r: float, value: float) -> None:
    for side in (-1e-9, 0.0, 1e-9):
        x = torch.tensor(r + side, dtype=torch.float64, requires_grad=True)
        u = xplor_envelope(x, 4.5, 5.0)
        (slope,) = torch.autograd.grad(u, x)
        assert u.item() == pytest.approx(value, abs=1e-14)
        assert slope.item() == pytest.approx(0.0, abs=1e-7)  # |u''| ~ 26 / Å², times 1e-9 Å


def test_sine_basis_is_the_bessel_basis() -> None:
    r = torch.linspace(0.5, 5.5, 11, dtype=torch.float64)
    ours, bessel = SineBasis(5.0, 4, p=5).double(), BesselBasis(5.0, 4, p=5).double()
    with torch.no_grad():
        bessel.frequencies.copy_(ours.wave_numbers * 5.0)
    torch.testing.assert_close(ours(r), bessel(r))


def test_filters_without_parity_are_even() -> None:
    from ase.build import molecule

    graph = from_ase(molecule("H2O"), 4.0)
    even = EdgeGeometry(4.0, 2, 4, parity=False)
    assert str(even.irreps_filter) == "1x0e+1x1e+1x2e"
    assert torch.equal(even(graph).filters, EdgeGeometry(4.0, 2, 4)(graph).filters)


def test_species_linear_with_one_map_does_not_depend_on_species() -> None:
    """In SevenNet's self-connection all species have the same weights."""
    layer, x = SpeciesLinear("3x0e+2x1e", "4x0e+2x1e", 1), torch.randn(5, 9)
    assert torch.equal(layer(x, torch.tensor([3, 0, 7, 1, 2])), layer(x, torch.zeros(5, dtype=torch.long)))
