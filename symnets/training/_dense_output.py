"""Dense output of gradient flow: weights, or functions of the net, at requested times."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.training._active_members import ActiveMembers, Weights, set_weights

Measure = Callable[[nn.Module], Tensor]


class DenseOutput:
    """Weights of the members, or a function of them, at requested times; filled by `gradient_flow`.

    Within a step of the flow, weights are interpolated by the cubic with the values and slopes of both ends;
    the error is of fourth order in the step. A kink within a step is smoothed. The steps themselves do not
    change.

    Args:
        times: increasing, not negative.
        measure: function of a model with members that returns a tensor with a member axis first, such as
            `lambda model: model(x)`; None records the trainable weights.

    Attributes:
        times: requested times, (times,).
        values: weights or measurements at these times, (times, S, ...). They are NaN at times that a member
            has not reached, before a resumed start, and after the end of the member.

    Raises:
        ValueError: the times are negative or do not increase.

    Example:
        >>> output = DenseOutput.log_spaced(1e-2, 1e3, per_decade=4)
        >>> len(output.times)
        21
    """

    def __init__(self, times: Sequence[float] | Tensor, *, measure: Measure | None = None) -> None:
        self.times: Float[Tensor, " times"] = torch.as_tensor(times, dtype=torch.float64)
        if self.times.ndim != 1 or bool((self.times < 0).any()) or bool((self.times.diff() <= 0).any()):
            raise ValueError(f"times: expected increasing numbers >= 0, got {times}")
        self.measure = measure
        self.values: Tensor = torch.empty(0)

    @classmethod
    def log_spaced(
        cls, first: float, last: float, *, per_decade: int = 10, measure: Measure | None = None
    ) -> "DenseOutput":
        """Dense output at times first · 10^(k / per_decade) up to last.

        Raises:
            ValueError: `first` is not positive, or larger than `last`.
        """
        if not 0 < first <= last:
            raise ValueError(f"first, last: expected 0 < first <= last, got {first} and {last}")
        n = int(torch.tensor(last / first, dtype=torch.float64).log10() * per_decade + 1e-9) + 1
        return cls([first * 10 ** (k / per_decade) for k in range(n)], measure=measure)

    def start(self, active: ActiveMembers, weights: Weights) -> None:
        """Record the members at time 0, if time 0 is requested."""
        time = active.members.time[active.members.active]
        if len(self.times) and self.times[0] == 0 and bool((time == 0).any()):
            self._record(0, active, (time == 0).nonzero()[:, 0], weights[time == 0])

    def record(
        self,
        active: ActiveMembers,
        start: Float[Tensor, " members"],
        end: Float[Tensor, " members"],
        weights: tuple[Weights, Weights],
        slopes: tuple[Weights, Weights],
    ) -> None:
        """Record the requested times of a step from `start` to `end`, with weights and slopes dw/dt at both.

        Members whose trial was refused have start = end.
        """
        start, end = torch.stack([start, end]).cpu()
        first = int(torch.searchsorted(self.times, start.min(), right=True))
        last = int(torch.searchsorted(self.times, end.max(), right=True))
        for number in range(first, last):
            rows = ((start < self.times[number]) & (self.times[number] <= end)).nonzero()[:, 0]
            if len(rows):
                h = (end - start)[rows]
                u = (self.times[number] - start[rows]) / h
                self._record(number, active, rows, _hermite(u, h, _at(weights, rows), _at(slopes, rows)))

    def _record(self, number: int, active: ActiveMembers, rows: Tensor, weights: Weights) -> None:
        if self.measure is None:
            values = weights
        else:
            model = active.model.select(rows)
            set_weights(model, weights)
            with torch.no_grad():
                values = self.measure(model)
        if not len(self.values):
            shape = (len(self.times), len(active.members.active), *values.shape[1:])
            self.values = torch.full(shape, torch.nan, dtype=values.dtype, device=values.device)
        self.values[number, active.index[rows.to(active.index.device)]] = values


def _at(pair: tuple[Weights, Weights], rows: Tensor) -> tuple[Weights, Weights]:
    return pair[0][rows], pair[1][rows]


def _hermite(
    u: Float[Tensor, " members"],
    h: Float[Tensor, " members"],
    weights: tuple[Weights, Weights],
    slopes: tuple[Weights, Weights],
) -> Weights:
    """Cubic Hermite interpolation between u = 0 and 1, a time h apart, with given values and slopes dw/dt."""
    u, h = (column[:, None].to(weights[0]) for column in (u, h))
    v = 1 - u
    # Exact at u = 1, so that the values at the last time are those of the final net.
    return (
        v**2 * (1 + 2 * u) * weights[0]
        + u**2 * (1 + 2 * v) * weights[1]
        + h * (u * v**2 * slopes[0] - u**2 * v * slopes[1])
    )
