"""Curvature of models and losses whose second derivatives are missing or wrong in torch."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from symnets.data import Batch
from symnets.models import Dense
from symnets.observables import classification_error, margins, tangent_kernel
from symnets.observables.curvature import (
    GaussNewtonOperator,
    HessianOperator,
    ResidualOperator,
    h0_spectrum,
    hessian_split,
    inertia,
    spectrum,
)
from symnets.training import MSE, QuadraticHinge

SEED = torch.Generator().manual_seed(0)
X = torch.randn(7, 3, generator=SEED, dtype=torch.float64)
Y = torch.randn(7, generator=SEED, dtype=torch.float64)
LOSS = nn.MSELoss()


def net(first: nn.Module | None = None, activation: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 4) if first is None else first, activation or nn.Tanh(), nn.Linear(4, 1)
    ).double()


class NumpyTanh(torch.autograd.Function):
    """tanh with a backward pass that autograd cannot see."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    def backward(ctx, *grads):
        (x,) = ctx.saved_tensors
        return torch.from_numpy(grads[0].detach().numpy() * (1 - x.detach().tanh().numpy() ** 2))


class OnceTanh(NumpyTanh):
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *grads):
        (x,) = ctx.saved_tensors
        return grads[0] * (1 - x.tanh() ** 2)


class Called(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("function", [NumpyTanh.apply, OnceTanh.apply])
def test_a_matrix_that_differs_from_its_transpose_is_refused(function):
    wrong = net(activation=Called(function))
    with pytest.raises(ValueError, match=r"differs from its transpose by \d\d\.\d% of its norm"):
        hessian_split(wrong, LOSS, (X, Y))
    with pytest.warns(RuntimeWarning, match=r"differs from the difference quotient of the gradient by \d"):
        HessianOperator(wrong, LOSS, (X, Y))


def test_the_second_derivative_of_weight_norm_is_refused():
    wrong = net(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)))
    with pytest.raises(ValueError, match="differs from its transpose"):
        hessian_split(wrong, LOSS, (X, Y))
    with pytest.warns(RuntimeWarning, match="differs from its transpose by"):
        HessianOperator(wrong.float(), LOSS, (X.float(), Y.float()))


def test_a_symmetric_matrix_that_is_wrong_gives_a_warning():
    """If the function comes last, all second derivatives of the outputs are lost, and H and Hp are zero."""
    last = nn.Sequential(nn.Linear(3, 1), Called(NumpyTanh.apply)).double()
    with pytest.warns(RuntimeWarning, match=r"difference quotient of the gradient by 100.0%"):
        hessian_split(last, LOSS, (X, Y))


def test_kinks_are_not_taken_for_errors():
    """A ReLU at zero: the difference quotient grows as 1 / step there."""
    with torch.no_grad():
        kinked = net(activation=nn.ReLU())
        kinked[0].bias.zero_()
    x = torch.cat([X, torch.zeros(1, 3, dtype=torch.float64)])
    HessianOperator(kinked, LOSS, (x, torch.cat([Y, Y[:1]])))  # warnings are errors


@pytest.mark.parametrize("function", [hessian_split, HessianOperator, GaussNewtonOperator, h0_spectrum])
@pytest.mark.parametrize("model", [net(), Dense(3, 4, 1, dtype=torch.float64)], ids=["any", "dense"])
class TestInput:
    def test_weight_decay_in_the_loss_is_refused(self, function, model):
        def decayed(f, y):
            return (f - y) ** 2 + 0.1 * sum((p**2).sum() for p in model.parameters())

        with pytest.raises(ValueError, match="depends on the parameters themselves"):
            function(model, decayed, (X, Y))

    def test_models_and_batches_without_derivatives_are_refused(self, function, model):
        coarse, fixed = copy.deepcopy(model).bfloat16(), copy.deepcopy(model).requires_grad_(False)
        for other, batch, match in [
            (coarse, (X.bfloat16(), Y.bfloat16()), "float32 or float64, got torch.bfloat16"),
            (fixed, (X, Y), "requires_grad=True, found none"),
            (nn.Flatten(), (X, Y), "requires_grad=True, found none"),
            (model, (X[:0], Y[:0]), "at least one example, got an empty batch"),
            (model, [], "at least one batch, got none"),
            (model, {"x": X, "y": Y}, "got a dict with keys x, y"),
            (model, X, "got a Tensor"),
            (model, (X.numpy(), Y.numpy()), "got a numpy array; use torch.from_numpy"),
        ]:
            with pytest.raises(ValueError, match=match):
                function(other, LOSS, batch)
        with torch.autocast("cpu"), pytest.raises(ValueError, match=r"autocast: .*enabled=False"):
            function(model, LOSS, (X, Y))

    def test_targets_may_be_columns_and_numbers_of_any_dtype(self, function, model):
        def value(batch, loss=LOSS):
            result = function(model, loss, batch)
            if hasattr(result, "hp"):
                return result.h
            return (
                result.eigenvalues if hasattr(result, "eigenvalues") else result @ torch.ones(result.shape[0])
            )

        signs = Y.sign()
        expected = value((X, signs))
        for targets in (signs[:, None], signs.int(), signs.float()):
            torch.testing.assert_close(value([X, targets]), expected, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(
            value((X, signs[:, None].long()), QuadraticHinge()), value((X, signs), QuadraticHinge())
        )
        for labels in ((signs + 1) / 2, signs > 0):
            with pytest.raises(ValueError, match=r"expected \+1 and -1, got .* 2\.0 \* labels - 1"):
                value((X, labels), QuadraticHinge())


def test_margins_and_classes_take_the_same_labels():
    model = Dense(3, 4, 1, dtype=torch.float64)
    expected = margins(model, (X, Y.sign())).gaps
    for labels in (Y.sign()[:, None], Y.sign().int(), Y.sign().float()):
        assert torch.equal(margins(model, [X, labels]).gaps, expected)
    with pytest.raises(ValueError, match=r"got .*2\.0 \* labels - 1"):
        margins(model, (X, Y > 0))
    classes = (Y > 0).long()
    many = nn.Linear(3, 2).double()
    found = classification_error(many, X, classes[:, None].int())
    assert found == classification_error(many, X, classes)
    with pytest.raises(ValueError, match=r"class indices \(torch.int64\), got torch.float64"):
        classification_error(many, X, classes.double())


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 1)

    def forward(self, x):
        q = self.first(x)[None, None]
        return self.last(nn.functional.scaled_dot_product_attention(q, q, q))[0, 0]


def test_operations_without_second_derivative_are_named_with_the_remedy():
    torch.manual_seed(0)
    model = Attention().double()
    with pytest.raises(ValueError, match=r"no second derivative in torch .*sdpa_kernel\(SDPBackend.MATH\)"):
        hessian_split(model, LOSS, (X, Y))
    with sdpa_kernel(SDPBackend.MATH):
        h = hessian_split(model, LOSS, (X, Y)).h
    torch.testing.assert_close(h, h.T, rtol=1e-12, atol=1e-14)


def test_outputs_without_gradient_are_refused():
    model = net(activation=Called(lambda x: x.tanh()))
    model.forward = torch.no_grad()(model.forward)
    with pytest.raises(ValueError, match="outputs do not depend on its parameters"):
        ResidualOperator(model, LOSS, (X, Y))


def test_what_does_not_fit_into_memory_is_refused_before_it_is_tried():
    wide = Dense(1000, 300, 3)
    with pytest.raises(MemoryError, match=r"480,300 x 480,300 numbers .* GiB are free; use HessianOperator"):
        hessian_split(wide, MSE(), Batch(X, Y))
    with pytest.raises(MemoryError, match=r"kernel of 1000000 x 1000000 points .* take fewer points"):
        tangent_kernel(nn.Linear(3, 1), torch.zeros(1_000_000, 3))


def test_eigenvalues_of_half_precision_are_computed_in_float32():
    for dtype in (torch.float16, torch.bfloat16):
        assert spectrum(2 * torch.eye(3, dtype=dtype)).eigenvalues.tolist() == [2.0] * 3
        assert int(inertia(torch.eye(3, dtype=dtype)).n_positive) == 3
