"""Flow on a frozen kernel against the matrix exponential, and where it stops."""

import pytest
import torch
from torch import Tensor

from symnets.data import Batch
from symnets.models import Dense
from symnets.observables import tangent_kernel
from symnets.observables.kernels import kernel_flow, kernel_regression
from symnets.training import MSE, CrossEntropy, Hinge, QuadraticHinge, TrainState, gradient_flow


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X = draw(12, 3)
Y = X[:, 0].sign()
T = draw(7, 3, seed=1)
KERNEL, TEST_KERNEL = (torch.exp(-torch.cdist(x, X)) for x in (X, T))
TIMES = (0.0, 1.0, 10.0)


@pytest.mark.parametrize(("method", "accuracy"), [("eigenvectors", 1e-10), ("integrator", 1e-6)])
def test_flow_of_the_squared_error_is_the_matrix_exponential(method: str, accuracy: float) -> None:
    """f(t) = y + exp(-K t/n) (f(0) - y), and f(0) + K_test K^-1 (1 - exp(-K t/n)) (y - f(0)) elsewhere."""
    start, elsewhere = draw(12, seed=2), draw(7, seed=3)
    found = kernel_flow(
        KERNEL,
        Y,
        MSE(),
        TEST_KERNEL,
        max_time=100.0,
        times=TIMES,
        initial=start,
        test_initial=elsewhere,
        method=method,  # pyright: ignore
        accuracy=1e-9,
    )
    assert found.times.tolist() == [*TIMES, 100.0]
    assert found.verdict == "TIME"
    for k, t in enumerate(found.times.tolist()):
        expected = Y + torch.linalg.matrix_exp(-KERNEL * t / 12) @ (start - Y)
        torch.testing.assert_close(found.outputs[k], expected, rtol=0, atol=accuracy)
        there = elsewhere + TEST_KERNEL @ torch.linalg.solve(KERNEL, expected - start)
        torch.testing.assert_close(found.test_outputs[k], there, rtol=0, atol=10 * accuracy)  # pyright: ignore


def test_the_flow_ends_at_kernel_regression() -> None:
    found = kernel_flow(KERNEL, Y, MSE(), TEST_KERNEL)
    expected = kernel_regression(KERNEL, Y, TEST_KERNEL)
    torch.testing.assert_close(found.test_outputs[-1], expected.test_outputs)  # pyright: ignore
    singular = kernel_flow(X @ X.T, Y, MSE(), T @ X.T, times=[3.0])
    expected = kernel_regression(X @ X.T, Y, T @ X.T)
    torch.testing.assert_close(singular.test_outputs[-1], expected.test_outputs)  # pyright: ignore
    there = torch.linalg.matrix_exp(-X @ X.T * 3 / 12)
    torch.testing.assert_close(singular.outputs[0], Y - there @ Y)


@pytest.mark.parametrize("loss", [QuadraticHinge(), CrossEntropy(), Hinge()])
def test_flows_of_labels_stop_when_all_are_satisfied(loss) -> None:
    found = kernel_flow(KERNEL, Y, loss, tolerance=0.01)
    assert found.verdict == "SAT"
    assert float((1 - Y * found.outputs[-1]).max()) == pytest.approx(0.01, abs=1e-4)
    again = kernel_flow(KERNEL, Y, loss, tolerance=0.01, max_time=float(found.times[-1]) / 2)
    assert again.verdict == "TIME"
    assert float((1 - Y * again.outputs[-1]).max()) > 0.01
    done = kernel_flow(KERNEL, Y, loss, initial=2 * Y)
    assert (done.verdict, float(done.times[-1])) == ("SAT", 0.0)


def test_a_single_pattern_under_the_hinge_is_satisfied_at_a_known_time() -> None:
    """f = K t until 1 - tolerance."""
    found = kernel_flow(torch.tensor([[2.0]]), torch.tensor([1.0]), Hinge(), tolerance=0.1)
    assert float(found.times[-1]) == pytest.approx(0.45, rel=1e-4)
    margin = kernel_flow(torch.tensor([[2.0]]), torch.tensor([1.0]), Hinge(), tolerance=0.1, margin=0.5)
    assert float(margin.times[-1]) == pytest.approx(0.2, rel=1e-4)


def test_a_linear_net_under_gradient_flow_follows_its_kernel() -> None:
    """If only the last layer is trained, a net is linear in these weights and its kernel is constant."""
    net = Dense(3, 40, 1, members=1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    net.weights[0].requires_grad_(False)
    kernel, start = tangent_kernel(net, X)[0], net(X).detach()[0]
    state = TrainState(net, None, None)
    for _ in gradient_flow(state, QuadraticHinge(), Batch(X, Y), budget=2000, max_time=3.0, tolerance=1e-6):
        pass
    found = kernel_flow(kernel, Y, QuadraticHinge(), max_time=3.0, initial=start)
    # Steps of gradient_flow have errors of 1e-6 each.
    torch.testing.assert_close(found.outputs[-1], net(X).detach()[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": torch.nn.MSELoss()}, "derivatives d1 and d2"),
        ({"loss": QuadraticHinge(), "method": "eigenvectors"}, "expected a quadratic loss"),
        ({"loss": MSE(), "method": "integrator"}, "expected a finite time"),
        ({"loss": MSE(), "method": "other"}, "method: expected"),
        ({"loss": MSE(), "times": [2.0, 1.0]}, "expected ascending times"),
        ({"loss": MSE(), "test_initial": torch.zeros(3)}, r"test_initial: expected shape \(0,\)"),
        ({"loss": Hinge(), "tolerance": 0.0}, "expected more than 0 for a loss with a kink"),
    ],
)
def test_errors_say_what_was_expected(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kernel_flow(KERNEL, Y, **options)
