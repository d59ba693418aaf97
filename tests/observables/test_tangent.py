"""The tangent kernel against gradients of single patterns."""

import pytest
import torch
from torch import Tensor, nn

from symnets.models import Dense
from symnets.observables import tangent_kernel
from tests.naive.hessian import gradient_rows


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_kernel_is_products_of_gradients(activation: str, depth: int, bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    net = Dense(3, 5, depth, activation=activation, bias=bias, generator=generator, dtype=torch.float64)
    x = draw(7, 3)
    gradients = gradient_rows(net(x), list(net.parameters()))
    torch.testing.assert_close(tangent_kernel(net, x), gradients @ gradients.T, rtol=1e-12, atol=0)


def test_kernels_of_members() -> None:
    net, x = Dense(3, 5, 2, members=3, dtype=torch.float64), draw(7, 3)
    found, own = tangent_kernel(net, x), tangent_kernel(net, torch.stack([x, -x, 2 * x]))
    torch.testing.assert_close(found[1], tangent_kernel(net.member(1), x))
    torch.testing.assert_close(own[1], tangent_kernel(net.member(1), -x))


def test_an_output_axis_of_one_or_frozen_weights_go_through_autodiff() -> None:
    net, x = Dense(3, 5, 1, dtype=torch.float64), draw(7, 3)
    column = Dense(3, 5, 1, d_out=1, dtype=torch.float64)
    column.load_state_dict(net.state_dict())
    torch.testing.assert_close(tangent_kernel(column, x), tangent_kernel(net, x))
    net.weights[0].requires_grad_(False)
    gradients = gradient_rows(net(x), [net.weights[1]])
    torch.testing.assert_close(tangent_kernel(net, x), gradients @ gradients.T)


def test_kernel_of_a_linear_function_is_the_gram_matrix() -> None:
    x = draw(6, 3)
    found = tangent_kernel(nn.Linear(3, 1, dtype=torch.float64), x)
    torch.testing.assert_close(found, x @ x.T + 1)


def test_outputs_of_another_shape_are_refused() -> None:
    net = nn.Sequential(nn.Linear(3, 4, dtype=torch.float64), nn.Unflatten(1, (2, 2)))
    with pytest.raises(ValueError, match=r"expected .*\(n, outputs\).*got outputs of shape \(6, 2, 2\)"):
        tangent_kernel(net, draw(6, 3))
