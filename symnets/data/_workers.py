"""Worker processes that compute a function of items ahead of their use, in the order of the items."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset


class Workers:
    """Processes that compute `make(item)` for the items of a list, a few items ahead of their use.

    The processes start with the first list and are used again for later lists. Results come in the order of
    the items. The global random state is neither read nor advanced. Ctrl-C and signals to this process and
    its group do not reach the workers, so that an interrupted training can complete its step; the workers end
    with this process.

    Args:
        make: function of an item; where Python does not fork processes it must be picklable.
        n: number of processes.
    """

    def __init__(self, make: Callable[[Any], Any], n: int) -> None:
        self._items = _CurrentItems()
        self._loader = DataLoader(
            _ItemResults(make),
            batch_size=None,
            sampler=self._items,  # pyright: ignore[reportArgumentType] (any iterable will do)
            num_workers=n,
            collate_fn=_as_it_is,
            worker_init_fn=_leave_group,
            persistent_workers=True,
            generator=torch.Generator(),
        )

    def map(self, items: Sequence[Any]) -> Iterator[Any]:
        """Results for the items, in their order; the iteration over an earlier list cannot be continued.

        Raises:
            ChildProcessError: a worker ended, for example because the machine's memory was full.
        """
        self._items.current = items
        try:
            with warnings.catch_warnings():
                # Python 3.12 warns when a process with threads, such as that of a progress bar, is forked.
                # The workers use none of these threads.
                warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
                results = iter(self._loader)
            for result in results:
                if isinstance(result, Exception):
                    raise result
                yield result
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise ChildProcessError(
                f"a process that reads data ahead has ended ({str(error).partition(chr(10))[0]}); if memory "
                "is full, set data.workers lower"
            ) from error


class _ItemResults(Dataset):
    """Dataset of `make(item)`; an error that a user can act on is returned, so that it keeps its message."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make

    def __getitem__(self, item: Any) -> Any:
        try:
            return self.make(item)
        except (ValueError, OSError) as error:
            return error


class _CurrentItems:
    """Sampler of the current list, which may change between iterations."""

    current: Sequence[Any] = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.current)


def _as_it_is(result: Any) -> Any:
    return result


def _leave_group(worker: int) -> None:
    """Move a worker out of the process group to which a terminal or torchrun sends its signals."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
