"""Perceptron trained by SGD on data whose density vanishes at the interface of the two labels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.random import Generator


def interface_points(
    n: int, dim: int, chi: float, generator: Generator
) -> tuple[Float[ndarray, "n dim"], Float[ndarray, " n"]]:
    """Points and labels y = sign(x_1), where x_1 has the density |x_1|^χ exp(-x_1²/2) up to a factor.

    All other coordinates are standard normal. χ = 0 is a Gaussian cloud. The larger χ, the fewer points there
    are at the interface x_1 = 0: the smallest |x_1| of n points is of order n^(-1/(1 + χ)).

    Args:
        n: number of points.
        dim: d, input dimension.
        chi: χ > -1, exponent of the density at the interface.
        generator: random generator of the points.
    """
    x = generator.standard_normal((n, dim))
    y = generator.choice([-1.0, 1.0], n)
    x[:, 0] = y * np.sqrt(2 * generator.gamma((1 + chi) / 2, size=n))
    return x, y


@dataclass(frozen=True)
class NoisyPerceptron:
    """A perceptron f(x) = w · x / √d at the end of SGD.

    Attributes:
        weights: w, (dim,).
        time: t, learning rate times the number of steps.
        steps: number of steps, including those whose batch was satisfied.
        updates: number of steps that changed w.
        satisfied: whether all patterns are satisfied; if not, the largest number of updates was reached.
    """

    weights: Float[ndarray, " dim"]
    time: float
    steps: int
    updates: int
    satisfied: bool

    @property
    def signal(self) -> float:
        """Weight w_1 along the direction that determines the labels."""
        return float(self.weights[0])

    @property
    def noise(self) -> float:
        """Norm |w_⊥| of the weights along all other directions."""
        return float(np.linalg.norm(self.weights[1:]))


def train_perceptron(
    x: Float[ndarray, "n dim"],
    y: Float[ndarray, " n"],
    temperature: float,
    *,
    generator: Generator,
    batch_size: int = 1,
    margin: float = 1.0,
    max_updates: int = 1_000_000,
) -> NoisyPerceptron:
    """SGD of a perceptron from w = 0 on the hinge loss max(0, margin - y f), until it satisfies all patterns.

    A step takes `batch_size` patterns at random, with replacement, and changes the weights by

        w ← w + T Σ_(unsatisfied μ of the batch) y_μ x_μ / √d,     T = learning rate / batch size.

    Steps whose batch is satisfied do nothing. The number of such steps in a row has a geometric distribution
    and is sampled at once, so that the result has the distribution of plain SGD at the cost of the other
    steps alone. When less than one pattern of a batch is unsatisfied on average, only T matters: batches of
    another size with the same T give the same updates.

    Args:
        x: points.
        y: labels, +1 or -1.
        temperature: T, learning rate divided by the batch size.
        generator: random generator of the batches.
        batch_size: number of patterns per step.
        margin: value of y f at which a pattern is satisfied.
        max_updates: largest number of steps that change the weights.
    """
    n, dim = x.shape
    signed = y[:, None] * x / dim**0.5
    weights, margins = np.zeros(dim), np.zeros(n)
    steps = updates = 0
    while updates < max_updates:
        unsatisfied = np.flatnonzero(margins < margin)
        if not len(unsatisfied):
            break
        fraction = len(unsatisfied) / n
        steps += int(
            generator.geometric(-np.expm1(batch_size * np.log1p(-fraction)) if fraction < 1 else 1.0)
        )
        count = 0
        while count == 0:  # given that at least one pattern of the batch is unsatisfied
            count = 1 if batch_size == 1 else int(generator.binomial(batch_size, fraction))
        chosen = signed[unsatisfied[generator.integers(len(unsatisfied), size=count)]]
        step = temperature * chosen.sum(0)
        weights += step
        margins += signed @ step
        updates += 1
    satisfied = bool((signed @ weights >= margin - 1e-9 * (1 + np.abs(weights).max())).all())
    return NoisyPerceptron(weights, temperature * batch_size * steps, steps, updates, satisfied)
