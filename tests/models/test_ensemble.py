"""Ensembles of arbitrary modules, called and selected."""

import copy

import pytest
import torch
from torch import nn

from symnets.models import Ensemble


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


def test_frozen_parameters_are_frozen_in_the_ensemble_and_its_members(models):
    for model in models:
        model.scale.requires_grad_(False)
    flags = [p.requires_grad for p in models[0].parameters()]
    ensemble = Ensemble(models)
    for other in (ensemble, ensemble.select([1]), ensemble.member(2)):
        assert [p.requires_grad for p in other.parameters()] == flags


def seeded(make, n=3):
    models = []
    for seed in range(n):
        torch.manual_seed(seed)
        models.append(make().double())
    return models


class Tied(nn.Module):
    """A weight that two layers share, a layer that is used twice, and a buffer that files do not contain."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.again = nn.Sequential(self.first, nn.Tanh(), self.first)
        self.register_buffer("scale", torch.rand(1), persistent=False)

    def forward(self, x):
        return self.second(self.again(x)) * self.scale


class Running(nn.Module):
    """A buffer that the module replaces instead of changing it in place."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x):
        y = self.linear(x)
        self.mean = 0.9 * self.mean + 0.1 * y.mean(0).detach()
        return y - self.mean


@pytest.mark.parametrize(
    ("make", "train"),
    [
        (Tied, False),
        (Running, True),
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)), False),
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), True),
        (lambda: nn.utils.parametrizations.orthogonal(nn.Linear(3, 3)), False),
        (lambda: nn.TransformerEncoderLayer(3, 1, 4, dropout=0.0, batch_first=True), False),
    ],
    ids=["tied", "running", "eval", "batch norm", "parametrised", "attention"],
)
@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch's, of attention inside vmap
def test_outputs_buffers_and_gradients_are_those_of_the_members(make, train, x):
    models = [model.train(train) for model in seeded(make)]
    ensemble = Ensemble(models)
    assert ensemble.training == train
    for _ in range(2):  # with the buffers that the first call left
        expected = torch.stack([model(x) for model in models])
        torch.testing.assert_close(ensemble(x), expected, rtol=1e-12, atol=1e-13)
    ensemble(x).square().sum().backward()
    torch.stack([model(x) for model in models]).square().sum().backward()
    for p, *theirs in zip(ensemble.parameters(), *(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(p.grad, torch.stack([q.grad for q in theirs]), rtol=1e-10, atol=1e-13)
    restored = Ensemble(seeded(make)).train(train)
    restored.load_state_dict(ensemble.state_dict())
    for member, model in zip([0, 1, 2], models, strict=True):
        for net in (ensemble.member(member), ensemble.select([1, member]).member(1)):
            assert all(torch.equal(a, b) for a, b in zip(net.buffers(), model.buffers(), strict=True))
            torch.testing.assert_close(net.eval()(x), copy.deepcopy(model).eval()(x), rtol=1e-12, atol=1e-13)


def test_modes_and_dtypes_of_parts_are_kept(x):
    models = [nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)) for _ in range(2)]
    for model in models:
        model[1].eval()
    ensemble = Ensemble(models)
    assert [part.training for part in ensemble.member(1).modules()] == [True, True, False]
    assert ensemble.double().member(0)(x).dtype == torch.float64
    assert [part.training for part in ensemble.eval().member(1).modules()] == [False] * 3


class Caching(nn.Linear):
    def forward(self, input):
        self.hidden = super().forward(input)
        return self.hidden


def hooked():
    model = nn.Linear(3, 2)
    model.register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


def patched():
    model = nn.Linear(3, 2)
    forward = model.forward
    model.forward = lambda input: 2 * forward(input)
    return model


@pytest.mark.parametrize(
    ("models", "match"),
    [
        ([nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)], "number 1 .* attribute negative_slope of it differs"),
        ([nn.Sequential(nn.Dropout(p)) for p in (0.1, 0.2)], "attribute p of 0 differs"),
        ([nn.Linear(2, 2), nn.Linear(2, 2).eval()], "attribute training of it differs"),
        ([nn.Linear(2, 2), nn.Linear(2, 2).double()], "weight has another dtype"),
        ([nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)], "weight has another requires_grad"),
        ([nn.Tanh(), nn.ReLU()], "it is a ReLU, and a Tanh in number 0"),
        ([nn.LazyLinear(2)] * 2, "uninitialised parameters; call it once"),
        ([hooked()], "number 0 .* it has hooks; remove them"),
        ([patched()], "attribute forward of it .* refers to parts of a module"),
    ],
)
def test_modules_that_one_ensemble_cannot_represent_are_refused(models, match):
    with pytest.raises(ValueError, match=match):
        Ensemble(models)


def test_ties_that_differ_are_refused():
    one, other = Tied().double(), Tied().double()
    other.second.weight = nn.Parameter(other.second.weight.detach().clone())
    with pytest.raises(ValueError, match=r"second.weight is not tied to the same tensors as in number 0"):
        Ensemble([one, other])


def test_modules_that_vmap_cannot_evaluate_are_refused_at_the_call(x):
    ensemble = Ensemble([Caching(3, 2).double() for _ in range(2)])
    with pytest.raises(ValueError, match="hidden keeps a tensor of the forward pass"):
        ensemble(x)
    assert not hasattr(ensemble.member(0), "hidden")
    with pytest.raises(RuntimeError, match=r"vmap cannot go through LSTM .* ensemble.member\(s\)"):
        Ensemble([nn.LSTM(3, 2).double()])(x)
    with pytest.raises(RuntimeError, match="Expected size for"):
        Ensemble([nn.Linear(2, 2).double()])(x)
