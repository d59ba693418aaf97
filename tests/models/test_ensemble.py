"""Ensembles of arbitrary modules, called and selected."""

import pytest
import torch
from torch import nn

from symnets.models import Ensemble
from symnets.models._ensemble import mean_prediction


class WithBuffer(nn.Module):
    """A module with a buffer and a parameter of no axis."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
        self.scale = nn.Parameter(torch.rand((), dtype=torch.float64))
        self.register_buffer("offset", torch.rand(1, dtype=torch.float64))

    def forward(self, x):
        return (self.scale * self.net(x) + self.offset)[:, 0]


@pytest.fixture
def models():
    return [WithBuffer(seed) for seed in range(3)]


@pytest.fixture
def x():
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_outputs_and_gradients_are_those_of_the_modules(models, x):
    ensemble = Ensemble(models)
    f = ensemble(x)
    expected = torch.stack([model(x) for model in models])
    torch.testing.assert_close(f, expected, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(mean_prediction(f), expected.mean(0), rtol=1e-13, atol=1e-14)
    f.square().sum().backward()
    expected.square().sum().backward()
    for index, p in enumerate(ensemble.parameters()):
        theirs = [list(model.parameters())[index].grad for model in models]
        torch.testing.assert_close(p.grad, torch.stack(theirs), rtol=1e-12, atol=1e-14)


def test_selected_members_are_copies_with_their_buffers(models, x):
    ensemble = Ensemble(models)
    before = ensemble(x).detach()
    part = ensemble.select(torch.tensor([2, 0]))
    assert part.members == 2
    torch.testing.assert_close(part(x), before[[2, 0]], rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(part.member(1)(x), models[0](x), rtol=1e-13, atol=1e-14)
    with torch.no_grad():
        for tensor in (*part.parameters(), *part.buffers()):
            tensor.zero_()
    assert torch.equal(ensemble(x), before)
    assert torch.equal(Ensemble(models)(x), before)


def test_a_member_is_a_module_of_its_own(models, x):
    ensemble = Ensemble(models)
    with torch.no_grad():
        next(ensemble.parameters()).add_(1.0)
    single = ensemble.member(1)
    assert type(single) is WithBuffer
    torch.testing.assert_close(single(x), ensemble(x)[1], rtol=1e-13, atol=1e-14)


def test_modules_that_differ_are_refused():
    with pytest.raises(ValueError, match="number 1"):
        Ensemble([nn.Linear(2, 2), nn.Linear(2, 3)])
    with pytest.raises(ValueError, match="at least one"):
        Ensemble([])


def test_what_is_frozen_stays_so(models):
    for model in models:
        model.scale.requires_grad_(False)
    flags = [p.requires_grad for p in models[0].parameters()]
    ensemble = Ensemble(models)
    for other in (ensemble, ensemble.select([1]), ensemble.member(2)):
        assert [p.requires_grad for p in other.parameters()] == flags
