"""Tasks of Gaussian points: labels follow their rule, are equally probable, and depend on x_∥ only."""

import inspect
import math
from itertools import pairwise

import pytest
import torch
from scipy.special import gammainc, ndtr

from symnets.data import POINT_TASKS, binary_task, covariance_matrix, decision_rule, gaussian_field

RULES = ("stripe", "interfaces", "xor", "cylinder", "sphere", "teacher")
POINTS = (*RULES, "gaussian_field")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def on_first_axis(first: list[float], dim: int = 3) -> torch.Tensor:
    x = torch.ones(len(first), dim, dtype=torch.float64)
    x[:, 0] = torch.tensor(first, dtype=torch.float64)
    return x


def thresholds(name: str, dim: int = 4, **options: int) -> list[float]:
    """Where the label changes along the first axis (the other coordinates are zero), by bisection."""
    rule = decision_rule(name, dim, **options)

    def labels(first: torch.Tensor) -> torch.Tensor:
        x = torch.zeros(len(first), dim, dtype=torch.float64)
        x[:, 0] = first
        return rule.labels(x)

    grid = torch.linspace(-6, 6, 601, dtype=torch.float64)
    changes = labels(grid).diff().nonzero()[:, 0]
    low, high = grid[changes], grid[changes + 1]
    left = labels(low)
    for _ in range(52):  # to the resolution of float64
        middle = (low + high) / 2
        before = labels(middle) == left
        low, high = torch.where(before, middle, low), torch.where(before, high, middle)
    return high.tolist()


def test_the_stripe_is_the_published_one() -> None:
    low, high = thresholds("stripe")
    assert low == pytest.approx(-0.3, abs=1e-12)
    assert high == pytest.approx(1.18549, abs=1e-5)
    assert ndtr(high) - ndtr(low) == pytest.approx(0.5, abs=1e-12)
    assert decision_rule("stripe", 3).labels(on_first_axis([-0.4, -0.2, 1.1, 1.2])).tolist() == [-1, 1, 1, -1]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_each_sign_has_half_of_the_mass_between_interfaces(n: int) -> None:
    planes = thresholds("interfaces", n_interfaces=n)
    assert len(planes) == n
    cumulative = [0.0, *(float(ndtr(p)) for p in planes), 1.0]
    masses = [b - a for a, b in pairwise(cumulative)]
    assert sum(masses[1::2]) == pytest.approx(0.5, abs=1e-12)
    for same_sign in (masses[::2], masses[1::2]):
        assert same_sign == pytest.approx([same_sign[0]] * len(same_sign), abs=1e-12)
    assert decision_rule("interfaces", 3, n_interfaces=n).labels(on_first_axis([-9.0])).item() == -1


@pytest.mark.parametrize(
    ("name", "dim", "options", "degrees"),
    [
        ("cylinder", 5, {}, 2),
        ("cylinder", 5, {"relevant_dim": 3}, 3),
        ("sphere", 5, {}, 5),
        ("sphere", 2, {}, 2),
    ],
)
def test_the_radius_is_the_median_of_the_chi_squared_law(
    name: str, dim: int, options: dict[str, int], degrees: int
) -> None:
    """P(|x|² < m) = γ(k/2, m/2) / Γ(k/2) = 1/2."""
    inner, outer = thresholds(name, dim, **options)
    assert inner == pytest.approx(-outer, abs=1e-12)
    assert gammainc(degrees / 2, outer**2 / 2) == pytest.approx(0.5, abs=1e-12)
    if degrees == 2:
        assert outer**2 == pytest.approx(2 * math.log(2), abs=1e-12)


def test_xor_is_the_sign_of_a_product() -> None:
    x = torch.tensor([[1.0, 2.0, -1.0], [-1.0, 2.0, 1.0], [-1.0, -1.0, 1.0]])
    assert decision_rule("xor", 3).labels(x).tolist() == [1, -1, 1]
    assert decision_rule("xor", 3, relevant_dim=3).labels(x).tolist() == [-1, -1, 1]


def test_a_teacher_is_balanced_to_the_error_of_its_median() -> None:
    """The median of 2^16 points leaves 1/2 ± 0.002; on 40,000 fresh points one standard error is 0.0025."""
    rule = decision_rule("teacher", 5, seed=3)
    x = torch.randn(40_000, 5, generator=generator(), dtype=torch.float64)
    assert (rule.labels(x) > 0).double().mean().item() == pytest.approx(0.5, abs=0.012)
    other = decision_rule("teacher", 5, seed=4).labels(x)
    assert 0.1 < (rule.labels(x) == other).double().mean() < 0.9


@pytest.mark.parametrize("name", RULES)
def test_labels_follow_the_rule_and_depend_on_the_relevant_directions_only(name: str) -> None:
    options = {"relevant_dim": 3} if name in ("teacher", "cylinder", "xor") else {}
    task = binary_task(name, n_train=200, n_test=50, dim=6, seed=2, **options)
    rule = decision_rule(name, 6, seed=2, **options)
    assert torch.equal(task.y_train, rule.labels(task.x_train))
    assert torch.equal(task.y_test, rule.labels(task.x_test))
    basis = task.relevant
    assert basis is not None
    torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1], dtype=torch.float64))
    noise = torch.randn(200, 6, generator=generator(), dtype=torch.float64)
    moved = task.x_train + 5 * (noise - noise @ basis @ basis.T)
    assert torch.equal(rule.labels(moved), task.y_train)
    assert (rule.labels(task.x_train + 5 * noise @ basis @ basis.T) != task.y_train).any()


@pytest.mark.parametrize("name", POINTS)
def test_training_points_are_nested_and_test_points_do_not_depend_on_the_seed(name: str) -> None:
    small = binary_task(name, n_train=21, n_test=30, dim=3, seed=4)
    large = binary_task(name, n_train=64, n_test=30, dim=3, seed=4)
    other = binary_task(name, n_train=64, n_test=30, dim=3, seed=5)
    assert torch.equal(large.x_train[:21], small.x_train)
    assert torch.equal(large.y_train[:21], small.y_train)
    assert torch.equal(large.x_test, other.x_test)
    assert torch.equal(large.y_test, small.y_test)
    assert torch.equal(large.y_test, other.y_test) == (name not in ("teacher", "gaussian_field"))
    assert not torch.equal(large.x_train, other.x_train)
    assert not torch.isin(large.x_train, large.x_test).any()
    again = binary_task(name, n_train=64, n_test=30, dim=3, seed=4)
    assert torch.equal(again.y_train, large.y_train)


@pytest.mark.parametrize("name", POINTS)
def test_a_float32_task_is_the_rounded_float64_task(name: str) -> None:
    double = binary_task(name, n_train=40, n_test=20, dim=3, seed=0)
    single = binary_task(name, n_train=40, n_test=20, dim=3, seed=0, dtype=torch.float32)
    assert torch.equal(single.x_train, double.x_train.float())
    assert torch.equal(single.y_train, double.y_train.float())
    assert torch.equal(single.y_test, double.y_test.float())
    assert single.relevant is not None
    assert single.relevant.dtype == torch.float32


def test_points_are_gaussian_and_differ_from_weights_of_the_same_seed() -> None:
    x = binary_task("stripe", n_train=20_000, dim=4, seed=1).x_train
    assert x.mean(0).abs().max() < 4 / 20_000**0.5
    assert (x.T @ x / 20_000 - torch.eye(4, dtype=x.dtype)).abs().max() < 4 * (2 / 20_000) ** 0.5
    weights = torch.randn(20_000, 4, generator=generator(1), dtype=torch.float64)
    assert not torch.allclose(x[:5], weights[:5])


@pytest.mark.parametrize("covariance", ["laplace", "matern32", "gaussian"])
def test_a_field_has_its_covariance(covariance: str) -> None:
    """From 2,000 copies of three points far apart; standard errors are at most (2/2000)^(1/2)."""
    x = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 2.0]], dtype=torch.float64)
    far = torch.cat([x + 1e4 * k for k in range(40)])
    g = generator()
    fields = torch.cat(
        [gaussian_field(far, generator=g, covariance=covariance, length=1.5).view(40, 3) for _ in range(50)]
    )
    expected = covariance_matrix(x, x, covariance, length=1.5)
    assert (fields.T @ fields / 2000 - expected).abs().max() < 4 * (2 / 2000) ** 0.5
    r = 1 / 3
    value = {
        "laplace": math.exp(-r),
        "matern32": (1 + 3**0.5 * r) * math.exp(-(3**0.5) * r),
        "gaussian": math.exp(-(r**2) / 2),
    }
    assert expected[0, 1].item() == pytest.approx(value[covariance], rel=1e-14)
    assert torch.equal(covariance_matrix(x[:1], x, covariance, length=1.5), expected[:1])


def test_a_field_of_more_points_continues_that_of_the_first() -> None:
    x = torch.randn(70, 3, generator=generator(), dtype=torch.float64)
    short, long = (gaussian_field(x[:n], generator=generator(1)) for n in (37, 70))
    torch.testing.assert_close(long[:37], short, rtol=1e-10, atol=1e-10)


def test_a_field_task_depends_on_its_relevant_coordinates() -> None:
    """A field of one coordinate has the same sign at points that are close in it."""
    task = binary_task("gaussian_field", n_train=400, dim=4, seed=0, relevant_dim=1, covariance="gaussian")
    order = task.x_train[:, 0].argsort()
    changes = (task.y_train[order].diff() != 0).sum()
    assert 1 <= changes < 15  # a random order would give 200
    assert task.relevant is not None
    assert task.relevant.shape == (4, 1)


def test_every_name_is_described_and_can_be_made() -> None:
    assert {"random", *POINTS} == set(POINT_TASKS)
    assert binary_task("random", n_train=4, dim=3, seed=0).relevant is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relevant_dim": 2}, "'stripe' has 1 relevant dimensions, got 2"),
        ({"name": "cylinder", "relevant_dim": 6}, "expected 1 to dim=5"),
        ({"name": "xor", "dim": 1}, "expected 1 to dim=1 for 'xor', got 2"),
        ({"name": "gaussian_field", "relevant_dim": 6}, "expected 1 to dim=5"),
        ({"name": "interfaces", "n_interfaces": 0}, "n_interfaces: expected at least 1"),
        ({"n_train": 0}, "n_train >= 1"),
        ({"seed": -1}, "seed"),
        ({"name": "strip"}, "did you mean 'stripe'"),
    ],
)
def test_bad_input_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):  # unwrap: without the type checks of the tests
        inspect.unwrap(binary_task)(**{"name": "stripe", "n_train": 10, "dim": 5, "seed": 0} | options)


def test_unknown_rules_and_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one of stripe"):
        inspect.unwrap(decision_rule)("strip", 3)
    point = torch.zeros(1, 1)
    with pytest.raises(ValueError, match="covariance: expected one of"):
        inspect.unwrap(covariance_matrix)(point, point, "cubic")
    with pytest.raises(ValueError, match="length: expected more than 0"):
        covariance_matrix(point, point, length=0.0)
