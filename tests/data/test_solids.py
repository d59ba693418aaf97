"""Solids on voxels: volumes, orientation, smoothness."""

import math

import pytest
import torch

from symnets.data import SOLIDS, solids
from symnets.testing import random_rotation
from tests.voxels import cube_group


def test_all_solids_have_the_volume_of_their_sphere():
    found = solids(14, 33, shift=0.0, radius=(0.4, 0.45), dtype=torch.float64)
    volumes = found.voxels.sum((1, 2, 3, 4)) * (2 / 33) ** 3
    # A Gaussian filter keeps volumes; a function of the distance alone adds some where faces are curved.
    torch.testing.assert_close(volumes, 4 / 3 * math.pi * found.radii**3, rtol=0.08, atol=0)
    assert found.labels.bincount().tolist() == [2] * len(SOLIDS)


def test_volumes_of_sharp_solids_are_exact():
    generator = torch.Generator().manual_seed(0)
    points = 2.2 * (2 * torch.rand(500_000, 3, generator=generator, dtype=torch.float64) - 1)
    for name, distance in SOLIDS.items():
        volume = (distance(points[None]) < 0).double().mean() * 4.4**3
        # One point in 20 is inside: a standard deviation of 0.6 %.
        assert float(volume) == pytest.approx(4 / 3 * math.pi, rel=0.025), name


def test_distances_are_distances_beside_faces():
    """The gradient of a signed distance has length 1."""
    points = torch.randn(1, 200, 3, dtype=torch.float64).requires_grad_()
    for distance in SOLIDS.values():
        (slope,) = torch.autograd.grad(distance(points).sum(), points)
        torch.testing.assert_close(slope.norm(dim=-1), torch.ones(1, 200, dtype=torch.float64))


def test_rotated_boxes_have_rotated_voxels():
    upright = solids(7, 9, dtype=torch.float64)
    for element in list(cube_group())[::5]:
        rotated = solids(7, 9, rotation=element.matrix(), dtype=torch.float64)
        torch.testing.assert_close(rotated.voxels, element.of_grid(upright.voxels), rtol=0, atol=1e-12)
        torch.testing.assert_close(rotated.rotations, element.matrix() @ upright.rotations)


def test_orientations_are_rotations_and_upright_ones_are_not_rotated():
    found = solids(20, 3, dtype=torch.float64)
    unit = torch.eye(3, dtype=torch.float64).expand(20, 3, 3)
    torch.testing.assert_close(found.rotations @ found.rotations.mT, unit)
    assert (found.rotations.det() > 0).all()
    torch.testing.assert_close(solids(20, 3, orientation="upright", dtype=torch.float64).rotations, unit)
    turned = solids(20, 3, rotation=torch.as_tensor(random_rotation(1)), dtype=torch.float64)
    torch.testing.assert_close(turned.radii, found.radii)


def test_the_same_solids_on_a_finer_grid():
    coarse, fine = (solids(7, size, edge=0.2, dtype=torch.float64) for size in (5, 15))
    torch.testing.assert_close(fine.voxels[:, :, 1::3, 1::3, 1::3], coarse.voxels, rtol=0, atol=1e-12)
    assert torch.equal(coarse.labels, fine.labels)


def test_invalid_sizes_are_refused():
    with pytest.raises(ValueError, match="expected n >= 0 solids on at least 1 voxel"):
        solids(3, 0)
    with pytest.raises(ValueError, match="smallest <= largest"):
        solids(3, 5, radius=(0.5, 0.2))
