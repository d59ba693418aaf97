"""Stop rules: when training ends, and why."""

import math
from collections.abc import Callable

from torch import Tensor

from symnets.training._state import TrainState

StopRule = Callable[[TrainState], str | None]
"""State -> the reason to stop, or None to continue. A pure function of the state."""


def max_steps(n: int) -> StopRule:
    """Stop rule: after n updates."""
    return lambda state: f"{n} steps done" if state.step >= n else None


def wall_time(seconds: float, *, since: float = 0.0) -> StopRule:
    """Stop rule: after a number of seconds of training, summed over all sessions of a resumed run.

    Args:
        seconds: the limit.
        since: seconds that do not count; pass `state.seconds` of a restored state to limit the new session
            alone.
    """
    return lambda state: f"{seconds:.0f} s of wall time used" if state.seconds - since >= seconds else None


def below(observable: str, value: float) -> StopRule:
    """Stop rule: once the last recorded value of an observable is below `value`."""

    def rule(state: TrainState) -> str | None:
        values = state.history.values(observable)
        return f"{observable} = {values[-1]:.4g} < {value:g}" if values and values[-1] < value else None

    return rule


def no_improvement(observable: str, patience: int) -> StopRule:
    """Stop rule: when the last `patience` records did not lower the best value of an observable.

    A value that is NaN or infinite lowers nothing.
    """

    def rule(state: TrainState) -> str | None:
        n, best = len(state.history.values(observable)), state.history.best(observable)
        if best is None:
            return f"{observable} was NaN or infinite in {n} records" if n >= patience else None
        return f"{observable} did not improve in {patience} records" if n - 1 - best >= patience else None

    return rule


CHECK_EVERY = 20
"""Steps between two checks of a loss on a GPU."""


def diverged() -> StopRule:
    """Stop rule: when the loss is not finite.

    Reading a loss on a GPU waits for the GPU. Such a loss is therefore checked every `CHECK_EVERY` steps, and
    at steps where something else has already read it.
    """

    def rule(state: TrainState) -> str | None:
        if isinstance(state.last_loss, Tensor) and state.step % CHECK_EVERY:
            return None
        if state.step and not math.isfinite(state.loss):
            return f"the loss became {state.loss} at step {state.step}; try a lower learning rate"
        return None

    return rule


def first_of(*rules: StopRule) -> StopRule:
    """Stop rule: as soon as one of the rules gives a reason."""
    return lambda state: next((reason for rule in rules if (reason := rule(state))), None)


def all_finished() -> StopRule:
    """Stop rule: when no member of an ensemble is active; the reason counts the verdicts."""

    def rule(state: TrainState) -> str | None:
        members = state.members
        if members is None or bool(members.active.any()):
            return None
        counts = {verdict: members.verdicts.count(verdict) for verdict in dict.fromkeys(members.verdicts)}
        return ", ".join(f"{n} {verdict}" for verdict, n in counts.items())

    return rule
