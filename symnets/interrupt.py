"""Deferred interruption: Ctrl-C and SIGTERM set a flag that a run checks between two steps."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Context that yields a function which returns whether SIGINT (Ctrl-C) or SIGTERM has been received.

    A second signal raises KeyboardInterrupt at once. Weights and optimizer state, or positions and momenta,
    are consistent only at the end of a step, so a run calls the function there. Outside the main thread
    Python delivers no signals, and the function always returns False.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    interrupted = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
