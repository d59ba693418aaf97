"""Curvature operators against dense matrices."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.sparse import identity
from scipy.sparse.linalg import aslinearoperator, cg
from torch import Tensor, nn

from symnets.data import Batch
from symnets.models import Dense
from symnets.observables.curvature import (
    CurvatureOperator,
    GaussNewtonOperator,
    HessianOperator,
    ResidualOperator,
    hessian_split,
)
from symnets.training import MSE, CrossEntropy, Hinge, QuadraticHinge
from tests.naive.hessian import hessian_rows


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def net_of(activation: str = "tanh", **options: object) -> Dense:
    generator = torch.Generator().manual_seed(0)
    return Dense(3, 4, 2, activation=activation, generator=generator, dtype=torch.float64, **options)  # pyright: ignore


def data(n: int = 11) -> Batch:
    return Batch(draw(n, 3, seed=1), draw(n, seed=2).sign())


def dense(operator: CurvatureOperator) -> Tensor:
    return torch.from_numpy(operator @ np.eye(operator.shape[0]))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("loss", [QuadraticHinge(), CrossEntropy(), Hinge(), MSE()])
def test_operators_are_the_closed_forms(activation: str, loss: object) -> None:
    net, batch = net_of(activation, bias=True), data()
    split = hessian_split(net, loss, batch)  # pyright: ignore
    for operator, matrix in [
        (HessianOperator, split.h),
        (GaussNewtonOperator, split.h0),
        (ResidualOperator, split.hp),
    ]:
        found = dense(operator(net, loss, batch))
        torch.testing.assert_close(found, matrix, rtol=1e-10, atol=1e-14)


def test_operators_compose() -> None:
    net, batch = net_of(), data()
    split = hessian_split(net, MSE(), batch)
    h, h0 = HessianOperator(net, MSE(), batch), GaussNewtonOperator(net, MSE(), batch)
    n = split.n_params
    shifted = 2 * h - h0 + 0.3 * aslinearoperator(identity(n)) @ h.T
    expected = (2 * split.h - split.h0 + 0.3 * split.h).numpy()
    vector, vectors = draw(n).numpy(), draw(n, 3).numpy()
    np.testing.assert_allclose(shifted @ vector, expected @ vector, atol=1e-12)
    np.testing.assert_allclose(shifted @ vectors, expected @ vectors, atol=1e-12)
    np.testing.assert_allclose(h.rmatvec(vector), split.h.numpy() @ vector, atol=1e-12)


def test_newton_step_by_conjugate_gradients() -> None:
    net, batch = net_of(), data()
    n = sum(p.numel() for p in net.parameters())
    damped = GaussNewtonOperator(net, MSE(), batch) + 0.1 * aslinearoperator(identity(n))
    step, info = cg(damped, np.ones(n), rtol=1e-12)
    assert info == 0
    matrix = hessian_split(net, MSE(), batch).h0.numpy() + 0.1 * np.eye(n)
    np.testing.assert_allclose(step, np.linalg.solve(matrix, np.ones(n)), rtol=1e-9)


class Answer(NamedTuple):
    """Outputs in more than one tensor."""

    value: Tensor
    slope: Tensor


class Potential(nn.Module):
    """A scalar and its derivative in the input, both fitted; with a buffer that changes in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net_of()
        self.norm = nn.BatchNorm1d(3, affine=False, dtype=torch.float64)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Answer:
        x = x.detach().requires_grad_()
        value = self.net(self.norm(x))
        (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        return Answer(value, slope)


def answer_loss(outputs: Answer, targets: Tensor) -> Tensor:
    return (outputs.value - targets) ** 2 + (outputs.slope**2).sum(1)


def test_outputs_may_be_anything_that_the_loss_takes() -> None:
    net, (x, y) = Potential(), data()
    found = dense(HessianOperator(net, answer_loss, Batch(x, y)))
    expected = hessian_rows(answer_loss(net(x), y).mean(), list(net.parameters()))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)
    with pytest.raises(ValueError, match="outputs in one tensor, got Answer"):
        GaussNewtonOperator(net, answer_loss, Batch(x, y))


def test_model_and_random_state_are_left_as_found() -> None:
    net, state = Potential(), torch.get_rng_state()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    HessianOperator(net, answer_loss, data())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert net.training


def test_operator_has_its_own_copy_of_the_weights() -> None:
    net, batch = net_of(), data()
    operator = HessianOperator(net, MSE(), batch)
    before = dense(operator)
    for p in net.parameters():
        p.data.zero_()
    assert torch.equal(dense(operator), before)


def test_a_model_without_gradient_mode_and_float32() -> None:
    net, (x, y) = net_of().float(), data()
    with torch.no_grad():
        operator = HessianOperator(net, MSE(), Batch(x.float(), y.float()))
        product = operator @ np.ones(operator.shape[0])
    assert operator.dtype == np.float32
    exact = hessian_split(net_of(), MSE(), Batch(x, y)).h.numpy().sum(1)
    np.testing.assert_allclose(product, exact, atol=1e-5 * np.abs(exact).max())


def test_linear_functions_have_no_residual() -> None:
    operator = ResidualOperator(nn.Linear(3, 1, dtype=torch.float64), MSE(), data())
    assert not dense(operator).any()


def test_bad_input_is_refused() -> None:
    batch = data()
    with pytest.raises(ValueError, match=r"expected a single net, got members; take model\.member"):
        HessianOperator(net_of(members=2), MSE(), batch)
    with pytest.raises(ValueError, match="requires_grad=True, found none"):
        HessianOperator(net_of().requires_grad_(False), MSE(), batch)
    operator = HessianOperator(net_of(), MSE(), batch)
    with pytest.raises(ValueError, match="expected real numbers, got complex"):
        operator @ np.full(operator.shape[0], 1j)
    with pytest.raises(ValueError, match="mismatch"):
        operator @ np.ones(3)


@pytest.mark.parametrize("operator", [HessianOperator, GaussNewtonOperator, ResidualOperator])
def test_several_batches_are_the_mean_over_all_examples(operator: type[CurvatureOperator]) -> None:
    net, (x, y) = net_of(), data()
    parts = [(x[:4], y[:4]), Batch(x[4:6], y[4:6]), [x[6:], y[6:]]]
    for loss in (QuadraticHinge(), nn.MSELoss()):
        whole = dense(operator(net, loss, (x, y)))
        torch.testing.assert_close(dense(operator(net, loss, iter(parts))), whole, rtol=1e-12, atol=1e-15)
        found = hessian_split(net, loss, iter(parts))  # pyright: ignore
        torch.testing.assert_close(found.h, hessian_split(net, loss, (x, y)).h, rtol=1e-12, atol=1e-15)


def test_several_batches_have_the_same_random_numbers_in_each_product() -> None:
    """With dropout the operator is linear only if every product uses the same masks."""
    net, (x, y) = Potential(), data()
    operator = HessianOperator(net, answer_loss, [(x[:6], y[:6]), (x[6:], y[6:])])
    state, v = torch.get_rng_state(), draw(operator.shape[0])
    first = operator @ v
    torch.rand(3)
    torch.testing.assert_close(operator @ (2 * v), 2 * first, rtol=1e-12, atol=1e-14)
    torch.set_rng_state(state)


def test_a_tensor_gives_the_tensor_of_the_numpy_product() -> None:
    operator = HessianOperator(net_of(), MSE(), data())
    n = operator.shape[0]
    vector, columns = draw(n), draw(n, 3)
    assert torch.equal(operator @ vector, torch.from_numpy(operator @ vector.numpy()))
    assert torch.equal(operator.matvec(vector), operator @ vector)
    assert torch.equal(operator @ columns, torch.from_numpy(operator @ columns.numpy()))
    assert torch.equal(operator.matmat(columns), operator @ columns)
    assert (operator @ vector.float()).dtype == torch.float64
    with pytest.raises(ValueError, match=rf"expected shape \({n},\)"):
        operator @ vector[1:]


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_losses_of_torch_have_the_hessian_of_their_mean(reduction: str) -> None:
    net, (x, y) = net_of(), data()
    loss = nn.MSELoss(reduction=reduction)
    expected = 2 * hessian_split(net, MSE(), Batch(x, y)).h  # (f - y)² is twice ours
    torch.testing.assert_close(hessian_split(net, loss, (x, y)).h, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(dense(HessianOperator(net, loss, (x, y))), expected, rtol=1e-10, atol=1e-14)


def test_weighted_cross_entropy_has_the_hessian_of_its_weighted_mean() -> None:
    torch.manual_seed(0)
    net, x, labels = nn.Linear(3, 3).double(), draw(7, 3), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64))
    found = dense(HessianOperator(net, loss, (x, labels)))
    torch.testing.assert_close(found, hessian_rows(loss(net(x), labels), list(net.parameters())))


def test_a_sum_and_a_loss_that_couples_patterns_are_refused() -> None:
    net, (x, y) = net_of(), data()
    with pytest.raises(ValueError, match="reduction='mean' or 'none', got 'sum'"):
        HessianOperator(net, nn.MSELoss(reduction="sum"), (x, y))
    with pytest.raises(ValueError, match="couples"):
        hessian_split(net, lambda f, t: ((f - t).mean()) ** 2, (x, y))
    with pytest.raises(ValueError, match="at least one batch"):
        HessianOperator(net, MSE(), [])
    with pytest.raises(ValueError, match=r"expected \(inputs, targets\), got a Tensor"):
        HessianOperator(net, MSE(), [x, y, x])
