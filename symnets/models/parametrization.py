"""Parametrisations of a net: where the powers of the width stand, and how to go from one to another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from symnets.models.dense import Dense

Parametrization = Literal["ntk", "standard", "mean_field"]
PARAMETRIZATIONS = ("ntk", "standard", "mean_field")


def layer_scales(parametrization: str, fan_in: Sequence[int]) -> list[float]:
    """Factor s of each layer in z = s W a + b, first layer first.

        standard     s = 1                   W ~ N(0, 1/n)
        ntk          s = n^(-1/2)            W ~ N(0, 1)
        mean_field   as ntk, last layer 1/n  W ~ N(0, 1)

    with n the fan-in. Only the last layer distinguishes mean_field from ntk
    (Geiger et al. 2020, arXiv:1906.08034).
    """
    check_parametrization(parametrization)
    if parametrization == "standard":
        return [1.0] * len(fan_in)
    scales = [n**-0.5 for n in fan_in]
    if parametrization == "mean_field":
        scales[-1] = 1 / fan_in[-1]
    return scales


def initial_deviation(parametrization: str, fan_in: int) -> float:
    """Standard deviation of the initial weights of a layer."""
    return fan_in**-0.5 if parametrization == "standard" else 1.0


def check_parametrization(parametrization: str) -> None:
    """Refuse what is none."""
    if parametrization not in PARAMETRIZATIONS:
        raise ValueError(
            f"parametrization: expected one of {', '.join(PARAMETRIZATIONS)}, got {parametrization!r}"
        )


@dataclass(frozen=True)
class Conversion:
    """The same function in another parametrisation, and how to move it along the same path.

    Attributes:
        model: net of the new parametrisation, equal to the old one as a function.
        rates: factor of the learning rate of each parameter, in the order of `model.parameters()`.
            Gradient descent with rate η on the old net and with `rates[k]` η on parameter k of the
            new net go through the same functions, step by step; gradient flow, at the same times.
    """

    model: "Dense"
    rates: tuple[float, ...]

    def groups(self, learning_rate: float) -> list[dict]:
        """Parameter groups for a torch optimiser without memory of scale (SGD, with momentum too)."""
        return [
            {"params": [p], "lr": rate * learning_rate}
            for p, rate in zip(self.model.parameters(), self.rates, strict=True)
        ]


def convert(model: "Dense", parametrization: Parametrization) -> Conversion:
    """Exact conversion. With c = s_old / s_new of a layer, W_new = c W_old and η_new = c² η_old.

    For ∂L/∂W_old = c ∂L/∂W_new: a step -η ∂L/∂W_old of W_old is one of -c² η ∂L/∂W_new of W_new.
    Biases carry no factor and keep their rate.

    When all c are equal, rescaling time by c² does the same as the rates.
    """
    twin = type(model)(
        model.d_in,
        model.width,
        model.depth,
        d_out=model.d_out,
        activation=model.activation.name,
        parametrization=parametrization,
        bias=bool(len(model.biases)),
        members=model.members,
        dtype=model.weights[0].dtype,
    ).to(model.weights[0].device)
    ratios = [old / new for old, new in zip(model.scales, twin.scales, strict=True)]
    with torch.no_grad():
        for new, old, ratio in zip(twin.weights, model.weights, ratios, strict=True):
            new.copy_(ratio * old)
        for new, old in zip(twin.biases, model.biases, strict=True):
            new.copy_(old)
    rates = [ratio**2 for ratio in ratios] + [1.0] * len(model.biases)
    return Conversion(twin, tuple(rates))


def alpha_tilde(alpha: float, width: int) -> float:
    """α̃ = √h α: the predictor α f of an ntk net equals α̃ f of the mean_field net with the same weights.

    The crossover from feature to lazy training lies at α̃ = O(1), whatever the width
    (Geiger et al. 2020, arXiv:1906.08034). Weights, gradients, and so times, are the same on both sides.
    """
    return width**0.5 * alpha
