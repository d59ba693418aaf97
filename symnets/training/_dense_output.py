"""Snapshots: weights on a clock of one's own, between the steps that an integrator happens to take."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.training._active_members import Moving, Weights, put_weights

Measure = Callable[[nn.Module], Tensor]


class Snapshots:
    """What each member was at given times; filled by `gradient_flow`, whose steps they do not change.

    Between two steps weights are interpolated by the cubic that has the flow's values and slopes at
    both ends, an error of fourth order in the step. A kink inside a step is smoothed over.

    Args:
        times: increasing, not negative.
        measure: what to keep of a model with members, a tensor with a member axis first, such as
            `lambda model: model(x)`; None keeps the trainable weights.

    Attributes:
        times: (times,).
        values: (times, S, ...), NaN where a member has not been: times to come, times before a
            resumed start, and times after its end.

    Example:
        >>> snapshots = Snapshots.on_log_clock(1e-2, 1e3, per_decade=4)
        >>> len(snapshots.times)
        21
    """

    def __init__(self, times: Sequence[float] | Tensor, *, measure: Measure | None = None) -> None:
        self.times: Float[Tensor, " times"] = torch.as_tensor(times, dtype=torch.float64)
        if self.times.ndim != 1 or bool((self.times < 0).any()) or bool((self.times.diff() <= 0).any()):
            raise ValueError(f"times: expected increasing numbers, none negative, got {times}")
        self.measure = measure
        self.values: Tensor = torch.empty(0)

    @classmethod
    def on_log_clock(
        cls, first: float, last: float, *, per_decade: int = 10, measure: Measure | None = None
    ) -> "Snapshots":
        """At times first · 10^(k / per_decade) up to last."""
        if not 0 < first <= last:
            raise ValueError(f"first, last: expected 0 < first <= last, got {first} and {last}")
        n = int(torch.tensor(last / first, dtype=torch.float64).log10() * per_decade + 1e-9) + 1
        return cls([first * 10 ** (k / per_decade) for k in range(n)], measure=measure)

    def begin(self, moving: Moving, weights: Weights) -> None:
        """Take what is asked for at time 0, of the members that are there."""
        time = moving.members.time[moving.members.moving]
        if len(self.times) and self.times[0] == 0 and bool((time == 0).any()):
            self._take(0, moving, (time == 0).nonzero()[:, 0], weights[time == 0])

    def passed(
        self,
        moving: Moving,
        start: Float[Tensor, " members"],
        end: Float[Tensor, " members"],
        weights: tuple[Weights, Weights],
        slopes: tuple[Weights, Weights],
    ) -> None:
        """Members went from `start` to `end`, with weights and slopes dw/dt at both (nobody: start = end)."""
        start, end = torch.stack([start, end]).cpu()
        first = int(torch.searchsorted(self.times, start.min(), right=True))
        last = int(torch.searchsorted(self.times, end.max(), right=True))
        for number in range(first, last):
            rows = ((start < self.times[number]) & (self.times[number] <= end)).nonzero()[:, 0]
            if len(rows):
                h = (end - start)[rows]
                u = (self.times[number] - start[rows]) / h
                self._take(number, moving, rows, _hermite(u, h, _at(weights, rows), _at(slopes, rows)))

    def _take(self, number: int, moving: Moving, rows: Tensor, weights: Weights) -> None:
        if self.measure is None:
            found = weights
        else:
            model = moving.model.select(rows)
            put_weights(model, weights)
            with torch.no_grad():
                found = self.measure(model)
        if not len(self.values):
            shape = (len(self.times), len(moving.members.moving), *found.shape[1:])
            self.values = torch.full(shape, torch.nan, dtype=found.dtype, device=found.device)
        self.values[number, moving.index[rows.to(moving.index.device)]] = found


def _at(pair: tuple[Weights, Weights], rows: Tensor) -> tuple[Weights, Weights]:
    return pair[0][rows], pair[1][rows]


def _hermite(
    u: Float[Tensor, " members"],
    h: Float[Tensor, " members"],
    weights: tuple[Weights, Weights],
    slopes: tuple[Weights, Weights],
) -> Weights:
    """The cubic with given values and slopes at u = 0 and 1, where time runs by h."""
    u, h = (column[:, None].to(weights[0]) for column in (u, h))
    v = 1 - u
    # At u = 1 to the bit the end, so that a snapshot at the last time is the final net.
    return (
        v**2 * (1 + 2 * u) * weights[0]
        + u**2 * (1 + 2 * v) * weights[1]
        + h * (u * v**2 * slopes[0] - u**2 * v * slopes[1])
    )
