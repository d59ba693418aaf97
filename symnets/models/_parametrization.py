"""Parametrisations of a net (powers of the width that multiply weights) and exact conversion between them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal

from symnets.models._members import Net, with_parameters
from symnets.nn import modification

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
    """Raise ValueError for an unknown parametrisation."""
    if parametrization not in PARAMETRIZATIONS:
        raise ValueError(
            f"parametrization: expected one of {', '.join(PARAMETRIZATIONS)}, got {parametrization!r}"
        )


@dataclass(frozen=True)
class Conversion(Generic[Net]):
    """The same function in another parametrisation, with learning rates that give the same dynamics.

    Attributes:
        model: net of the new parametrisation, equal to the old one as a function.
        rates: factor of the learning rate of each parameter, in the order of `model.parameters()`.
            Gradient descent with rate η on the old net and with `rates[k]` η on parameter k of the
            new net gives the same function at every step; gradient flow does at every time.
    """

    model: Net
    rates: tuple[float, ...]

    def groups(self, learning_rate: float) -> list[dict]:
        """Parameter groups for an optimizer with steps linear in the gradient: SGD, also with momentum."""
        return [
            {"params": [p], "lr": rate * learning_rate}
            for p, rate in zip(self.model.parameters(), self.rates, strict=True)
        ]


def convert(model: Net, parametrization: Parametrization) -> Conversion[Net]:
    """Convert a `Dense` or `Convolutional`, with all its members, exactly to another parametrisation.

    With c = s_old / s_new of a layer, W_new = c W_old and η_new = c² η_old: since ∂L/∂W_old = c ∂L/∂W_new, a
    step -η ∂L/∂W_old of W_old is a step -c² η ∂L/∂W_new of W_new. Biases have no factor and keep their rate.

    If all c are equal, rescaling time by c² has the same effect as the rates.

    Raises:
        ValueError: a net of another class, or one with hooks or other changes, to which the formulas do not
            apply.
    """
    from symnets.models import Convolutional, Dense  # both import this module

    net: Any = model
    if problem := modification(model, Convolutional if isinstance(model, Convolutional) else Dense):
        raise ValueError(f"model: expected an unmodified Dense or Convolutional, but {problem}")
    fan_in = [math.prod(w.shape[1 if net.members is None else 2 :]) for w in net.weights]
    scales = layer_scales(parametrization, fan_in)
    ratios = [old / new for old, new in zip(net.scales, scales, strict=True)]
    weights = [ratio * w for ratio, w in zip(ratios, net.weights, strict=True)]
    twin = with_parameters(net, [*weights, *net.biases], net.members)
    twin.parametrization, twin.scales = parametrization, scales
    rates = [ratio**2 for ratio in ratios] + [1.0] * len(net.biases)
    return Conversion(twin, tuple(rates))


def alpha_tilde(alpha: float, width: int) -> float:
    """α̃ = √h α: the predictor α f of an ntk net equals α̃ f of the mean_field net with the same weights.

    The crossover from feature to lazy training lies at α̃ = O(1), whatever the width
    (Geiger et al. 2020, arXiv:1906.08034). Both predictors have the same weights and gradients, and so the
    same dynamics.
    """
    return width**0.5 * alpha
