"""The tangent kernel of dense nets against the scalar products of gradients of single patterns."""

import pytest
import torch
from torch import Tensor, nn

from symnets.models import Dense
from symnets.observables import tangent_kernel
from tests.naive.tangent_kernel import product_of_rows

CLOSE = {"rtol": 1e-12, "atol": 1e-13}  # entries are of order one, and sums of some hundred products


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(**options) -> Dense:
    """A net of two hidden layers, whose biases are not zero."""
    arguments = {"activation": "tanh", "bias": True} | options
    generator = torch.Generator().manual_seed(3)
    net = Dense(3, 6, 2, generator=generator, dtype=torch.float64, **arguments)
    for k, b in enumerate(net.biases):
        b.data.copy_(draw(*b.shape, seed=k))
    return net


X1, X2 = draw(9, 3), draw(5, 3, seed=1)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("parametrization", ["ntk", "standard", "mean_field"])
@pytest.mark.parametrize("bias", [False, True])
def test_kernel_is_products_of_gradients(activation: str, parametrization: str, bias: bool) -> None:
    net = dense(activation=activation, parametrization=parametrization, bias=bias)
    torch.testing.assert_close(tangent_kernel(net, X1), product_of_rows(net, X1), **CLOSE)
    torch.testing.assert_close(tangent_kernel(net, X1, X2), product_of_rows(net, X1, X2), **CLOSE)


@pytest.mark.parametrize("outputs", ["full", "trace", "sum"])
@pytest.mark.parametrize("d_out", [1, 3])
def test_conventions_of_several_outputs(outputs: str, d_out: int) -> None:
    net = dense(d_out=d_out, activation="relu")
    for x2 in (None, X2):
        found = tangent_kernel(net, X1, x2, outputs=outputs)
        torch.testing.assert_close(found, product_of_rows(net, X1, x2, outputs), **CLOSE)


def test_the_sum_is_the_kernel_of_the_scaled_sum_of_outputs() -> None:
    class Summed(nn.Module):
        def __init__(self, net: Dense) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x).sum(-1) / 3**0.5

    net = dense(d_out=3)
    torch.testing.assert_close(
        tangent_kernel(net, X1, outputs="sum"), tangent_kernel(Summed(net), X1), **CLOSE
    )


@pytest.mark.parametrize("d_out", [None, 2])
def test_kernels_of_members(d_out: int | None) -> None:
    net = dense(members=3, d_out=d_out)
    found = tangent_kernel(net, X1, X2)
    own = tangent_kernel(net, torch.stack([X1, -X1, 2 * X1]))
    for s, x in enumerate((X1, -X1, 2 * X1)):
        torch.testing.assert_close(found[s], product_of_rows(net.member(s), X1, X2), **CLOSE)
        torch.testing.assert_close(own[s], product_of_rows(net.member(s), x), **CLOSE)


def test_an_output_axis_of_one_has_the_kernel_of_a_scalar() -> None:
    scalar, column = dense(), dense(d_out=1)
    column.load_state_dict(scalar.state_dict())
    torch.testing.assert_close(tangent_kernel(column, X1), tangent_kernel(scalar, X1), rtol=0, atol=0)


@pytest.mark.parametrize("frozen", [["weights.0"], ["weights.2", "biases.1"], ["weights.1", "biases.1"]])
def test_frozen_parameters_are_left_out(frozen: list[str]) -> None:
    net = dense(d_out=2)
    for name in frozen:
        net.get_parameter(name).requires_grad_(False)
    torch.testing.assert_close(tangent_kernel(net, X1, X2), product_of_rows(net, X1, X2), **CLOSE)


def test_tiles_and_blocks_do_not_change_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("_terms", "_kernel"):
        monkeypatch.setattr(f"symnets.observables._tangent_kernel.{module}.TILE", 4)
    for options in ({}, {"d_out": 3}, {"members": 2}):
        net = dense(**options)
        for x2 in (None, X2):
            found = tangent_kernel(net, X1, x2, max_bytes=1)  # blocks of four points
            expected = net if "members" not in options else net.member(1)
            found = found if "members" not in options else found[1]
            torch.testing.assert_close(found, product_of_rows(expected, X1, x2), **CLOSE)


def test_kernels_of_one_set_are_exactly_symmetric() -> None:
    kernel = tangent_kernel(dense(d_out=2), draw(300, 3))
    assert torch.equal(kernel, kernel.transpose(0, 1).mT)


def test_float32_has_the_rounding_of_float32() -> None:
    net = dense()
    exact = tangent_kernel(net, X1)
    assert float((tangent_kernel(net.float(), X1.float()) - exact).abs().max() / exact.abs().max()) < 1e-5


def test_points_of_another_shape_and_no_point_are_refused() -> None:
    for x, message in ((draw(4, 2), "expected shape"), (draw(0, 3), "at least one point")):
        with pytest.raises(ValueError, match=message):
            tangent_kernel(dense(), x)
        with pytest.raises(ValueError, match=message):
            tangent_kernel(dense(), X1, x)
    with pytest.raises(ValueError, match="expected 'full', 'trace' or 'sum', got 'mean'"):
        tangent_kernel(dense(), X1, outputs="mean")  # pyright: ignore[reportArgumentType]
