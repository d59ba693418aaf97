"""Compression λ of made-up weights: the published ratio, members, wrappers, and rotated bases."""

import math

import pytest
import torch
from torch import nn

from symnets.models import Dense, Scaled
from symnets.observables import compression

FIRST = torch.eye(4, dtype=torch.float64)[:, :1]


def made_up(scales: list[float], units: int = 6, *, members: int | None = None) -> Dense:
    """A net whose first weights have components ±scale along each axis."""
    net = Dense(len(scales), units, 1, members=members, bias=True, dtype=torch.float64)
    signs = torch.randint(0, 2, net.weights[0].shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    net.weights[0].data = signs.double() * torch.tensor(scales, dtype=torch.float64)
    return net


def test_it_is_the_published_ratio() -> None:
    """rms(ω_1) / mean_j rms(ω_j): the mean of the sizes, not of their squares."""
    measured = compression(made_up([6.0, 1.0, 2.0, 3.0]), FIRST)
    assert measured.relevant_rms.item() == pytest.approx(6, abs=1e-14)
    assert measured.irrelevant_rms.item() == pytest.approx(2, abs=1e-14)
    assert measured.factor.item() == pytest.approx(3, abs=1e-14)


def test_random_weights_are_not_compressed() -> None:
    """An rms over h = 20,000 Gaussian numbers has a relative error of (2h)^(-1/2) = 0.5 %."""
    net = Dense(4, 20_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert compression(net, FIRST).factor.item() == pytest.approx(1, abs=0.03)


def test_members_and_wrappers_have_the_compression_of_their_nets() -> None:
    net = made_up([6.0, 1.0, 2.0, 3.0], members=3)
    net.weights[0].data[1, :, 0] *= 2
    assert compression(net, FIRST).factor.tolist() == pytest.approx([3, 6, 3])
    assert compression(Scaled(net, 1e-3), FIRST).factor.tolist() == pytest.approx([3, 6, 3])
    assert compression(net.member(1), FIRST).factor.shape == ()


def test_it_does_not_depend_on_the_basis_of_isotropic_subspaces() -> None:
    """Orthogonal columns: rms(ω · r) is 5 for every direction of the first two axes, and 1 in the others."""
    linear = nn.Linear(4, 4, bias=False).double()
    hadamard = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    linear.weight.data = hadamard.double() * torch.tensor([5.0, 5.0, 1.0, 1.0])
    turn = math.cos(0.3), math.sin(0.3)
    rotated = torch.tensor([[turn[0], -turn[1]], [turn[1], turn[0]], [0, 0], [0, 0]], dtype=torch.float64)
    for basis in (torch.eye(4, dtype=torch.float64)[:, :2], rotated):
        assert compression(linear, basis).factor.item() == pytest.approx(5, rel=1e-12)


def test_a_wrong_basis_is_refused() -> None:
    net = made_up([1.0, 1.0, 1.0, 1.0])
    for basis, message in (
        (torch.eye(5)[:, :1], r"first weights of shape \(units, 5\)"),
        (torch.eye(4), "1 to 3 of 4 directions, got 4"),
        (torch.ones(4, 1), "orthonormal"),
    ):
        with pytest.raises(ValueError, match=message):
            compression(net, basis)
    with pytest.raises(ValueError, match="got None"):
        compression(nn.ReLU(), FIRST)
