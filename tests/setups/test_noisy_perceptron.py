"""Perceptrons by SGD without idle steps: the distribution of plain SGD, and scaling with the temperature."""

import numpy as np
import pytest
from numpy import ndarray
from numpy.random import Generator

from symnets.setups import interface_points, train_perceptron


def plain_sgd(
    x: ndarray, y: ndarray, temperature: float, batch_size: int, generator: Generator
) -> tuple[ndarray, int]:
    """Every step of SGD, satisfied batches included."""
    signed, weights, steps = y[:, None] * x / x.shape[1] ** 0.5, np.zeros(x.shape[1]), 0
    while (signed @ weights < 1).any():
        batch = signed[generator.integers(len(y), size=batch_size)]
        weights = weights + temperature * batch[batch @ weights < 1].sum(0)
        steps += 1
    return weights, steps


@pytest.mark.parametrize("batch_size", [1, 3])
def test_skipping_satisfied_steps_keeps_the_distribution_of_sgd(batch_size: int) -> None:
    """Means over 150 trainings of each kind on the same points, within 5 standard errors."""
    x, y = interface_points(8, 3, 1.0, np.random.default_rng(4))
    plain, skipping = [], []
    for seed in range(150):
        weights, steps = plain_sgd(x, y, 1.0, batch_size, np.random.default_rng([seed, 0]))
        plain.append([*weights, steps])
        found = train_perceptron(x, y, 1.0, batch_size=batch_size, generator=np.random.default_rng([seed, 1]))
        assert found.satisfied
        assert found.time == batch_size * found.steps
        skipping.append([*found.weights, found.steps])
    a, b = np.array(plain), np.array(skipping)
    error = np.sqrt((a.var(0, ddof=1) + b.var(0, ddof=1)) / 150)
    assert (np.abs(a.mean(0) - b.mean(0)) < 5 * error).all()


def test_without_margin_weights_are_proportional_to_the_temperature() -> None:
    """Margin and T of equal ratio give the same batches and proportional weights; powers of two are exact."""
    x, y = interface_points(50, 4, 1.0, np.random.default_rng(0))
    one = train_perceptron(x, y, 1.0, margin=0.25, generator=np.random.default_rng(1))
    other = train_perceptron(x, y, 4.0, margin=1.0, generator=np.random.default_rng(1))
    assert np.array_equal(4 * one.weights, other.weights)
    assert (one.steps, 4 * one.time) == (other.steps, other.time)


def test_training_ends_when_all_patterns_are_satisfied_or_the_updates_are_used_up() -> None:
    x, y = interface_points(200, 5, 1.0, np.random.default_rng(0))
    found = train_perceptron(x, y, 0.5, generator=np.random.default_rng(1))
    assert found.satisfied
    assert (y * (x @ found.weights) / 5**0.5 >= 1 - 1e-12).all()
    assert found.updates <= found.steps
    assert found.signal**2 + found.noise**2 == pytest.approx(np.sum(found.weights**2))
    few = train_perceptron(x, y, 0.5, generator=np.random.default_rng(1), max_updates=3)
    assert not few.satisfied
    assert few.updates == 3


@pytest.mark.parametrize("chi", [0.0, 1.0, 3.0])
def test_points_have_the_density_of_the_interface(chi: float) -> None:
    """<x_1²> = 1 + χ, and the smallest |x_1| of groups of 64 points scales as their distribution predicts."""
    n = 40_000
    x, y = interface_points(n, 2, chi, np.random.default_rng(2))
    assert np.array_equal(np.sign(x[:, 0]), y)
    squares = x**2
    for column, expected in ((0, 1 + chi), (1, 1.0)):
        error = squares[:, column].std() / n**0.5
        assert abs(squares[:, column].mean() - expected) < 5 * error
    assert abs(y.mean()) < 5 / n**0.5
    nearest = [np.quantile(np.abs(x[:, 0]), p) for p in (0.001, 0.1)]
    assert nearest[1] / nearest[0] == pytest.approx(100 ** (1 / (1 + chi)), rel=0.25)
