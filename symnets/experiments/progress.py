"""How far a run has come, told from within to whoever listens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[float, str], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def report(fraction: float, text: str = "") -> None:
    """Tells that a fraction of the work is done, 0 to 1, and what is going on; nothing if nobody listens.

    Call it as often as you like: a listener looks at the clock before it does anything slow.
    """
    listener = _listener.get()
    if listener is not None:
        listener(fraction, text)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within, in this thread, `report` calls the listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
