"""Jammed packings: contacts, pressure, and the jamming point."""

import numpy as np
import pytest

from symnets.setups import count_contacts, decompress_packing, random_packing, relax_packing
from symnets.setups._packing import Packing


def test_rods_on_a_ring_jam_when_they_fill_it() -> None:
    """Exact in one dimension: phi_J = 1, n contacts, an energy of (1 - 1/phi)^2 / 2 in each contact."""
    n, phi = 12, 1.1
    ring = Packing((np.arange(n)[:, None] + 0.01 * np.sin(np.arange(n))[:, None]) / n, np.full(n, phi / n))
    minimum = relax_packing(ring)
    measured = count_contacts(minimum)
    assert minimum.verdict == "UNSAT"
    assert (measured.n_contacts, measured.n_effective, measured.n_rattlers) == (n, n, 0)
    assert measured.energy == pytest.approx((1 - 1 / phi) ** 2 / 2, rel=1e-9)
    # Each contact pushes with (1 - 1/phi) / sigma; in units of the diameter that is the pressure.
    assert measured.pressure == pytest.approx(1 - 1 / phi, rel=1e-9)
    *_, last = decompress_packing(minimum, to=1e-6)
    assert last.phi_jamming == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("dim", "phi"), [(2, 0.9), (3, 0.72)])
def test_a_packing_at_jamming_is_isostatic(dim: int, phi: float) -> None:
    """The number of contacts equals that of degrees of freedom exactly, without a fit."""
    states = list(
        decompress_packing(relax_packing(random_packing(40, dim, phi, np.random.default_rng(1))), to=3e-6)
    )
    first, last = states[0].contacts, states[-1].contacts
    assert last.n_contacts == last.n_effective == dim * (40 - last.n_rattlers - 1) + 1
    assert first.n_contacts > 1.1 * first.n_effective
    assert states[-1].excess < 3e-6


def test_the_estimate_of_the_jamming_point_is_where_energy_appears() -> None:
    *_, last = decompress_packing(
        relax_packing(random_packing(48, 2, 0.9, np.random.default_rng(2))), to=1e-5
    )
    packing = last.minimum.packing
    assert relax_packing(packing.at(last.phi_jamming - 1e-7)).verdict == "SAT"
    assert relax_packing(packing.at(last.phi_jamming + 1e-7)).verdict == "UNSAT"


def test_a_packing_that_becomes_unstable_is_followed_into_the_next() -> None:
    """These 128 discs become unstable at an excess of 2.5e-4 and jam again at a higher phi_J."""
    states = list(
        decompress_packing(relax_packing(random_packing(128, 2, 0.9, np.random.default_rng(2))), to=1e-5)
    )
    assert states[-1].phi_jamming > min(state.phi_jamming for state in states) + 1e-4
    assert states[-1].contacts.n_contacts == states[-1].contacts.n_effective
    assert len(states) < 25


def test_the_slope_is_that_of_the_relaxed_energy() -> None:
    """Compared with central differences of minima 1e-6 apart."""
    minimum = relax_packing(random_packing(48, 2, 0.9, np.random.default_rng(3)))
    step = 1e-6
    up, down = (relax_packing(minimum.packing.at(0.9 + sign * step)).energy for sign in (1, -1))
    assert count_contacts(minimum).slope == pytest.approx((up - down) / (2 * step), rel=1e-6)


def test_pressure_is_minus_the_slope_of_energy_with_volume() -> None:
    """phi V is constant: -dE/dV = phi dE/dphi / V, with V = 1, in units of the smallest diameter^d."""
    minimum = relax_packing(random_packing(48, 3, 0.75, np.random.default_rng(3)))
    measured = count_contacts(minimum)
    unit = minimum.packing.diameters.min() ** 3
    assert measured.pressure == pytest.approx(0.75 * measured.slope * unit, rel=1e-12)


def test_rattlers_do_not_count() -> None:
    """A small sphere in a hole of a jammed packing changes neither contacts nor degrees of freedom."""
    jammed = relax_packing(random_packing(48, 2, 0.86, np.random.default_rng(5)))
    before, packing = count_contacts(jammed), jammed.packing
    # The emptiest of many places in the box.
    places = np.random.default_rng(0).random((4000, 2))
    apart = places[:, None] - packing.positions
    apart -= np.round(apart)
    room = (np.linalg.norm(apart, axis=2) - packing.diameters / 2).min(1)
    assert room.max() > 0
    hole = places[room.argmax()]
    crowded = Packing(np.vstack((packing.positions, hole)), np.append(packing.diameters, room.max()))
    after = count_contacts(relax_packing(crowded))
    assert (after.n_contacts, after.n_effective) == (before.n_contacts, before.n_effective)
    assert after.n_rattlers == before.n_rattlers + 1


def test_an_unjammed_packing_has_no_contacts() -> None:
    measured = count_contacts(relax_packing(random_packing(32, 2, 0.7, np.random.default_rng(0))))
    assert (measured.n_contacts, measured.pressure, measured.n_effective) == (0, 0.0, 63)


def test_only_a_jammed_packing_is_decompressed() -> None:
    with pytest.raises(ValueError, match="expected a jammed packing"):
        next(decompress_packing(relax_packing(random_packing(32, 2, 0.7, np.random.default_rng(0))), to=1e-4))
