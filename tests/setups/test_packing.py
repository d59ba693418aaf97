"""Harmonic spheres: energy, gradient and minima agree with the formula over all pairs."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad

from symnets.setups import random_packing, relax_packing
from symnets.setups._packing import HarmonicEnergy, Packing
from tests.naive.spheres import energy


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_energy_and_gradient_are_those_of_all_pairs(dim: int) -> None:
    packing = random_packing(20, dim, 0.9, np.random.default_rng(dim))
    positions = torch.tensor(packing.positions, requires_grad=True)
    expected = energy(positions, torch.tensor(packing.diameters))
    (gradient,) = torch.autograd.grad(expected, positions)
    value, measured = HarmonicEnergy(packing)(packing.positions.ravel())
    assert value == pytest.approx(expected.item(), rel=1e-12)
    assert measured.reshape(20, dim) == pytest.approx(gradient.numpy(), abs=1e-11)


def test_the_neighbour_list_is_renewed_when_spheres_move() -> None:
    """Positions far from those at which pairs were listed, also outside the box."""
    rng = np.random.default_rng(0)
    packing = random_packing(30, 2, 0.9, rng)
    listed, elsewhere = HarmonicEnergy(packing), rng.random((30, 2)) + 3
    fresh = HarmonicEnergy(Packing(elsewhere, packing.diameters))
    assert listed(elsewhere.ravel())[0] == pytest.approx(fresh(elsewhere.ravel())[0], rel=1e-12)


def test_forces_are_minus_the_slope_of_the_energy() -> None:
    packing = random_packing(20, 2, 0.9, np.random.default_rng(4))
    function = HarmonicEnergy(packing)
    # Differences over 1e-8 of an energy of order one are accurate to about 1e-7.
    error = check_grad(
        lambda x: function(x)[0], lambda x: function(x)[1], packing.positions.ravel(), epsilon=1e-8
    )
    assert error < 1e-5


def test_packing_fraction_is_the_volume_of_the_balls() -> None:
    diameters = np.array([0.1, 0.2])
    assert Packing(np.zeros((2, 1)), diameters).phi == pytest.approx(0.3)
    assert Packing(np.zeros((2, 2)), diameters).phi == pytest.approx(math.pi * (0.05**2 + 0.1**2))
    assert Packing(np.zeros((2, 3)), diameters).phi == pytest.approx(4 / 3 * math.pi * (0.05**3 + 0.1**3))
    assert Packing(np.zeros((2, 3)), diameters).at(0.3).phi == pytest.approx(0.3)


def test_half_of_the_spheres_are_1_4_times_as_large() -> None:
    sizes, counts = np.unique(
        random_packing(40, 2, 0.8, np.random.default_rng(0)).diameters, return_counts=True
    )
    assert counts.tolist() == [20, 20]
    assert sizes[1] / sizes[0] == pytest.approx(1.4)


def test_dilute_spheres_are_sat() -> None:
    minimum = relax_packing(random_packing(64, 2, 0.7, np.random.default_rng(0)))
    assert minimum.verdict == "SAT"
    assert energy(torch.tensor(minimum.packing.positions), torch.tensor(minimum.packing.diameters)) < 1e-18


def test_dense_spheres_are_unsat() -> None:
    minimum = relax_packing(random_packing(64, 2, 0.95, np.random.default_rng(0)))
    assert minimum.verdict == "UNSAT"
    assert minimum.imbalance < 1e-5
    start = torch.tensor(minimum.packing.positions)
    diameters = torch.tensor(minimum.packing.diameters)
    assert energy(start, diameters).item() == pytest.approx(minimum.energy, rel=1e-9)
    for shake in 1e-3 * torch.randn(3, 64, 2, generator=torch.Generator().manual_seed(0)).double():
        assert energy(start + shake, diameters) > minimum.energy
