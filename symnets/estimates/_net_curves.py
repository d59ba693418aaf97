"""Measurements of several nets against the number of training images, and their correlations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray
from scipy.stats import spearmanr

from symnets.estimates._estimate import Estimate, from_resamples

GEOMETRIC = ("R", "D", "G", "R_init", "D_init", "G_init")
"""Measurements whose averages over seeds are geometric, as published; other averages are arithmetic."""

_Arrays = Callable[[str], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class NetCurves:
    """Measurements of several nets against the number of training images P, for several seeds.

    Runs that are missing or diverged are NaN; averages are over the seeds that are left.

    Attributes:
        nets: names of the nets.
        sizes: P, ascending, of shape (sizes,).
        values: arrays of shape (nets, seeds, sizes), by name of the measurement.
    """

    nets: tuple[str, ...]
    sizes: ndarray
    values: Mapping[str, ndarray]

    @classmethod
    def from_table(cls, table: pd.DataFrame, *columns: str) -> "NetCurves":
        """Curves from a table of runs with columns `net`, `seed`, `n_train` and `verdict`.

        Args:
            table: table of runs.
            columns: names of the measurements.
        """
        runs = table[table["verdict"] != "DIVERGED"]
        nets, seeds, sizes = (list(dict.fromkeys(runs[name])) for name in ("net", "seed", "n_train"))
        sizes = sorted(sizes)
        values = {name: np.full((len(nets), len(seeds), len(sizes)), np.nan) for name in columns}
        for _, line in runs.iterrows():
            at = nets.index(line["net"]), seeds.index(line["seed"]), sizes.index(line["n_train"])
            for name in columns:
                values[name][at] = line[name]
        return cls(tuple(nets), np.array(sizes), values)

    @property
    def n_runs(self) -> int:
        """Number of runs with a value."""
        return int(np.isfinite(next(iter(self.values.values()))).sum())

    def mean(self, name: str) -> ndarray:
        """Average over seeds, of shape (nets, sizes); geometric for D, G and R."""
        values, there = self._scaled(name)
        count = there.sum(1)
        mean = values.sum(1) / np.maximum(count, 1)
        return np.where(count > 0, np.exp(mean) if name in GEOMETRIC else mean, np.nan)

    def error(self, name: str) -> ndarray:
        """Standard error of the average, (nets, sizes); relative for D, G and R, 0 for a single seed."""
        values, there = self._scaled(name)
        count = there.sum(1)
        mean = values.sum(1) / np.maximum(count, 1)
        squares = np.where(there, (values - mean[:, None]) ** 2, 0.0).sum(1)
        return np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))

    def _scaled(self, name: str) -> tuple[ndarray, ndarray]:
        """Values on the scale on which they are averaged, 0 where missing, and a mask of existing values."""
        values = self.values[name]
        if name in GEOMETRIC:
            values = np.log(np.where(values > 0, values, np.nan))
        there = np.isfinite(values)
        return np.where(there, values, 0.0), there

    def at(self, size: float) -> "NetCurves":
        """The curves at one P."""
        chosen = self.sizes == size
        return NetCurves(self.nets, self.sizes[chosen], {k: v[..., chosen] for k, v in self.values.items()})

    def net(self, name: str) -> "NetCurves":
        """The curves of one net."""
        row = [self.nets.index(name)]
        return NetCurves((name,), self.sizes, {k: v[row] for k, v in self.values.items()})

    def estimate(
        self, statistic: Callable[["NetCurves"], float], *, n_resamples: int = 200, seed: int = 0
    ) -> Estimate:
        """A statistic and its standard error, from nets and seeds resampled with replacement (bootstrap).

        Nets are resampled first, then the seeds of each. Sizes are not resampled, because the values of a net
        and seed are correlated across sizes. With one net only seeds are resampled. Resamples in which the
        statistic is not defined (NaN) are left out; the error is None if no more than half of them are left.
        """
        value = float(statistic(self))
        shape = next(iter(self.values.values())).shape
        if shape[0] * shape[1] < 2:
            return Estimate(value)
        rng = np.random.default_rng(seed)
        resamples = []
        for _ in range(n_resamples):
            nets = rng.integers(shape[0], size=(shape[0], 1))
            seeds = rng.integers(shape[1], size=shape[:2])
            names = tuple(self.nets[k] for k in nets[:, 0])
            values = {name: array[nets, seeds] for name, array in self.values.items()}
            resamples.append(float(statistic(NetCurves(names, self.sizes, values))))
        return from_resamples(value, resamples)


def rank_correlation(x: str, y: str) -> Callable[[NetCurves], float]:
    """Spearman's rank correlation, over nets and sizes, of two averages; a statistic for `estimate`.

    Args:
        x: name of one measurement.
        y: name of the other.
    """

    def statistic(curves: NetCurves) -> float:
        a, b = _pairs(curves, x, y)
        if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
            return float("nan")
        return float(np.asarray(spearmanr(a, b))[0])

    return statistic


def log_correlation(x: str, y: str) -> Callable[[NetCurves], float]:
    """Pearson's correlation, over nets and sizes, of the logarithms of two averages; for `estimate`.

    Points where one of the averages is not positive are left out.

    Args:
        x: name of one measurement.
        y: name of the other.
    """

    def statistic(curves: NetCurves) -> float:
        a, b = _pairs(curves, x, y)
        positive = (a > 0) & (b > 0)
        a, b = np.log(a[positive]), np.log(b[positive])
        if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
            return float("nan")
        return float(np.corrcoef(a, b)[0, 1])

    return statistic


def _pairs(curves: NetCurves, x: str, y: str) -> tuple[ndarray, ndarray]:
    a, b = curves.mean(x).ravel(), curves.mean(y).ravel()
    there = np.isfinite(a) & np.isfinite(b)
    return a[there], b[there]


Seeds = Sequence[Mapping[str, ndarray]]
"""For each seed, the arrays of its run by name."""


def by_net(table: pd.DataFrame, arrays: _Arrays) -> Iterator[tuple[str, Seeds]]:
    """Iterates over nets and data sets: the label "net, data" and the arrays of its seeds.

    Args:
        table: table of runs with columns `net`, `data` and `verdict`; diverged runs are left out.
        arrays: function from the name of a run, its index in the table, to its arrays by name.
    """
    runs: Any = table.query("verdict != 'DIVERGED'")
    for (net, data), mine in runs.groupby(["net", "data"], sort=False):
        yield f"{net}, {data}", [arrays(str(name)) for name in mine.index]
