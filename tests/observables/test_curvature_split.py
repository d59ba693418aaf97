"""H0 and Hp against double backward passes, row by row."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from symnets.data import Batch
from symnets.models import Dense, Ensemble
from symnets.observables.curvature import _dense_split as dense_split
from symnets.observables.curvature import hessian_split
from symnets.training import MSE, CrossEntropy, Exponential, Hinge, QuadraticHinge, SoftHinge
from tests.naive.hessian import split_rows

LOSSES = [QuadraticHinge(), Hinge(), SoftHinge(), CrossEntropy(), Exponential(), MSE()]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net_of(activation: str = "tanh", depth: int = 2, **options: object) -> Dense:
    """A small net with random biases, which are zero by default."""
    options = {"generator": generator(), "dtype": torch.float64} | options
    net = Dense(3, 4, depth, activation=activation, **options)  # pyright: ignore
    for b in net.biases:
        b.data.copy_(torch.randn(b.shape, generator=generator(7), dtype=torch.float64))
    return net


def data(n: int = 11) -> Batch:
    x = torch.randn(n, 3, generator=generator(1), dtype=torch.float64)
    return Batch(x, torch.randn(n, generator=generator(2), dtype=torch.float64).sign())


def assert_equal(found: Tensor, expected: Tensor, relative: float = 1e-10) -> None:
    """Equality in the Frobenius norm; both may vanish.

    Autodiff has s (1 - s) for the slope of a sigmoid, which is good to rounding of 1, not of itself.
    """
    assert (found - expected).norm() <= relative * expected.norm() + 1e-14


@pytest.mark.parametrize(
    ("activation", "depth", "bias"),
    [
        *product(["relu", "tanh", "swish"], [1, 2, 3], [False, True]),
        ("linear", 2, True),
        ("gelu", 2, True),
        ("erf", 4, True),
    ],
)
def test_closed_form_is_autodiff(activation: str, depth: int, bias: bool) -> None:
    net, (x, y) = net_of(activation, depth, bias=bias), data()
    for loss in LOSSES:
        found = hessian_split(net, loss, Batch(x, y))
        h0, hp = split_rows(net, loss, x, y)
        assert_equal(found.h0, h0)
        assert_equal(found.hp, hp)
        assert torch.equal(found.h, found.h.T)


@pytest.mark.parametrize("parametrization", ["standard", "mean_field"])
def test_split_includes_the_scales_of_the_parametrization(parametrization: str) -> None:
    net, (x, y) = net_of("swish", 3, bias=True, parametrization=parametrization), data()
    found = hessian_split(net, QuadraticHinge(), Batch(x, y))
    for matrix, expected in zip((found.h0, found.hp), split_rows(net, QuadraticHinge(), x, y), strict=True):
        assert_equal(matrix, expected)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_portions_of_patterns_and_units_add_up(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, batch = net_of(activation, 3, bias=True), data(300)
    whole = hessian_split(net, MSE(), batch)
    monkeypatch.setattr(dense_split, "SMALL", 0)  # two to seven patterns at once
    parts = hessian_split(net, MSE(), batch)
    assert_equal(parts.h0, whole.h0, 1e-13)
    assert_equal(parts.hp, whole.hp, 1e-13)


def test_matrices_of_more_than_one_strip_are_complete() -> None:
    net = Dense(5, 14, 2, bias=True, activation="tanh", generator=generator(), dtype=torch.float64)
    x = torch.randn(6, 5, generator=generator(1), dtype=torch.float64)
    y = torch.ones(6, dtype=torch.float64)
    found = hessian_split(net, MSE(), Batch(x, y))
    assert found.n_params == 309  # strips of 256
    for matrix, expected in zip((found.h0, found.hp), split_rows(net, MSE(), x, y), strict=True):
        assert_equal(matrix, expected)


def test_float32_agrees_to_rounding() -> None:
    net, (x, y) = net_of("tanh", 3, bias=True), data()
    exact = hessian_split(net, CrossEntropy(), Batch(x, y))
    found = hessian_split(net.float(), CrossEntropy(), Batch(x.float(), y.float()))
    assert found.h0.dtype == torch.float32
    assert_equal(found.h0.double(), exact.h0, 1e-5)  # some hundred roundings of 6e-8
    assert_equal(found.hp.double(), exact.hp, 1e-5)


def test_members_are_split_one_by_one() -> None:
    net, (x, y) = net_of("tanh", 2, bias=True, members=3), data()
    shared = hessian_split(net, QuadraticHinge(), Batch(x, y))
    xs, ys = torch.stack([x, x.flip(0), -x]), torch.stack([y, y, -y])
    own = hessian_split(net, QuadraticHinge(), Batch(xs, ys))
    for s in range(3):
        h0, hp = split_rows(net.member(s), QuadraticHinge(), x, y)
        assert_equal(shared.h0[s], h0)
        assert_equal(shared.hp[s], hp)
        assert_equal(own.hp[s], split_rows(net.member(s), QuadraticHinge(), xs[s], ys[s])[1])


def module(outputs: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Softplus(), nn.Linear(4, outputs)).double()


@pytest.mark.parametrize("loss", LOSSES)
def test_any_module_is_split_by_autodiff(loss: object) -> None:
    net, (x, y) = module(), data()
    found = hessian_split(net, loss, Batch(x, y))  # pyright: ignore
    h0, hp = split_rows(nn.Sequential(net, nn.Flatten(0)), loss, x, y)  # pyright: ignore
    assert_equal(found.h0, h0)
    assert_equal(found.hp, hp)


def test_both_ways_agree_on_one_net() -> None:
    net, batch = net_of("swish", 2, bias=True), data()

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

    closed, autodiff = (hessian_split(m, CrossEntropy(), batch) for m in (net, Wrapped()))
    assert_equal(autodiff.h0, closed.h0)
    assert_equal(autodiff.hp, closed.hp)


def test_members_of_any_module() -> None:
    nets, batch = [module(), module()], data()
    nets[1][0].weight.data.mul_(2)  # pyright: ignore
    found = hessian_split(Ensemble(nets), MSE(), batch)
    for s in range(2):
        assert_equal(found.h[s], hessian_split(nets[s], MSE(), batch).h, 1e-13)


def test_several_outputs_have_the_gauss_newton_matrix() -> None:
    net, (x, _) = module(3), data()
    y = torch.arange(len(x)) % 3
    found = hessian_split(net, lambda f, t: F.cross_entropy(f, t, reduction="none"), Batch(x, y))
    parameters = {k: p.detach() for k, p in net.named_parameters()}

    def call(p: dict) -> Tensor:
        return torch.func.functional_call(net, p, (x,))

    def blocks(tree: dict, rows: int) -> Tensor:
        return torch.cat([tree[k].reshape(rows, -1) for k in parameters], 1)

    jacobian = blocks(torch.func.jacrev(call)(parameters), 33).view(11, 3, -1)
    p = call(parameters).softmax(1)
    bend = torch.diag_embed(p) - p[:, :, None] * p[:, None]  # second derivative of the cross-entropy
    assert_equal(found.h0, torch.einsum("nai,nab,nbj->ij", jacobian, bend, jacobian) / 11)
    hessian = torch.func.hessian(lambda p: F.cross_entropy(call(p), y))(parameters)
    rows = [blocks(hessian[k], parameters[k].numel()) for k in parameters]
    assert_equal(found.h, torch.cat(rows))


def test_frozen_parameters_have_no_row() -> None:
    net, batch = net_of("tanh", 2), data()
    whole = hessian_split(net, MSE(), batch)
    net.weights[0].requires_grad_(False)
    part = hessian_split(net, MSE(), batch)
    assert_equal(part.hp, whole.hp[12:, 12:])
    assert_equal(part.h0, whole.h0[12:, 12:])
    members = net_of("tanh", 2, members=2)
    whole = hessian_split(members, MSE(), batch)
    members.weights[0].requires_grad_(False)
    assert_equal(hessian_split(members, MSE(), batch).hp, whole.hp[:, 12:, 12:])


def test_a_loss_without_derivatives_is_differentiated() -> None:
    net, batch = net_of("tanh", 2), data()
    found = hessian_split(net, lambda f, y: 0.5 * (f - y) ** 2, batch)
    assert_equal(found.h, hessian_split(net, MSE(), batch).h)


def test_a_reduced_loss_is_the_mean() -> None:
    net, batch = net_of("tanh", 2), data()
    found = hessian_split(net, lambda f, y: (0.5 * (f - y) ** 2).mean(), batch)
    assert_equal(found.h, hessian_split(net, MSE(), batch).h)


def test_net_is_left_as_found() -> None:
    net, batch = net_of("relu", 2), data()
    before = [p.detach().clone() for p in net.parameters()]
    state = torch.get_rng_state()
    hessian_split(net, MSE(), batch)
    assert all(torch.equal(a, b) and a.requires_grad for a, b in zip(net.parameters(), before, strict=True))
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_bad_input_is_refused() -> None:
    net, (x, y) = net_of("relu", 2), data()
    with pytest.raises(ValueError, match=r"targets \(n,\) with n >= 1, got \(11, 3\) and \(5,\)"):
        hessian_split(net, MSE(), Batch(x, y[:5]))
    with pytest.raises(ValueError, match=r"expected inputs in torch\.float64 as in the model, got"):
        hessian_split(net, MSE(), Batch(x.float(), y))
    with pytest.raises(ValueError, match="one value per example"):
        hessian_split(net, lambda f, t: (f - t)[:, None] ** 2, Batch(x, y))
    with pytest.raises(ValueError, match="requires_grad=True, found none"):
        hessian_split(net.requires_grad_(False), MSE(), Batch(x, y))
