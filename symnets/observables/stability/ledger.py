"""The records of all layers of a model."""

from functools import partial
from typing import Literal

from torch import Tensor

from symnets.observables.stability.features import Seen
from symnets.observables.stability.layers import OUTPUT
from symnets.observables.stability.records import Means, Medians, Record
from symnets.observables.stability.reference import CoordinateMedians

Average = Literal["mean", "median", "reference"]
RECORDS: dict[str, type[Means] | type[Medians] | type[CoordinateMedians]] = {
    "mean": Means,
    "median": Medians,
    "reference": CoordinateMedians,
}


class Ledger:
    """A record for each layer, made when its name is first heard.

    Args:
        average: kind of record.
        n_images: in all.
        n_draws: of each image.
    """

    def __init__(self, average: Average, n_images: int, n_draws: int) -> None:
        self.make = partial(RECORDS[average], n_images, n_draws)
        self.records: dict[str, Record] = {}
        self._clean: dict[str, Tensor] = {}

    def clean(self, start: int) -> Seen:
        """Takes down f(x) of a batch, and keeps it for what comes."""
        self._clean = {}
        return partial(self._take_clean, start)

    def moved(self, kind: int, start: int) -> Seen:
        """Takes down how far the batch was moved, by deformations (kind 0) or by noise (kind 1)."""
        return partial(self._take_moved, kind, start)

    def r_so_far(self, n: int) -> float:
        """R of the output over the first n images, as a ratio of means."""
        return self.records[OUTPUT].r_so_far(n)

    def _take_clean(self, start: int, name: str, features: Tensor) -> None:
        if name not in self.records:
            self.records[name] = self.make(features.device)
        # A copy: a later layer may work in place.
        self._clean[name] = features.clone()
        self.records[name].clean(start, features)

    def _take_moved(self, kind: int, start: int, name: str, features: Tensor) -> None:
        if name in self._clean:  # else the calls differ, which Features tells
            self.records[name].moved(kind, start, features, self._clean[name])
