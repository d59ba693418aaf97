"""Measurements by net, seed and number of training images: averages over seeds, errors by resampling."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray
from scipy.stats import spearmanr

GEOMETRIC = ("R", "D", "G", "R_init", "D_init", "G_init")
"""Averaged on the logarithmic scale over seeds, as published; all else by its mean."""


@dataclass(frozen=True)
class NetCurves:
    """Measurements of one data set.

    Runs that are missing, or diverged, are NaN; averages over seeds are of those that are there.

    Attributes:
        nets: names.
        sizes: P, ascending.
        values: by name, (nets, seeds, sizes).
    """

    nets: tuple[str, ...]
    sizes: ndarray
    values: Mapping[str, ndarray]

    @classmethod
    def of(cls, table: pd.DataFrame, *columns: str) -> "NetCurves":
        """Columns of a table with columns `net`, `seed` and `n_train`."""
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
        """Runs that are there."""
        return int(np.isfinite(next(iter(self.values.values()))).sum())

    def cells(self, name: str) -> ndarray:
        """(nets, sizes): average over seeds; geometric of D, G and R."""
        values, there = self._scaled(name)
        count = there.sum(1)
        mean = values.sum(1) / np.maximum(count, 1)
        return np.where(count > 0, np.exp(mean) if name in GEOMETRIC else mean, np.nan)

    def scatter(self, name: str) -> ndarray:
        """(nets, sizes): standard error of the average, relative for D, G and R; 0 of a single seed."""
        values, there = self._scaled(name)
        count = there.sum(1)
        mean = values.sum(1) / np.maximum(count, 1)
        squares = np.where(there, (values - mean[:, None]) ** 2, 0.0).sum(1)
        return np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))

    def _scaled(self, name: str) -> tuple[ndarray, ndarray]:
        """Values on the scale on which they are averaged, 0 where there is none, and where there is one."""
        values = self.values[name]
        if name in GEOMETRIC:
            values = np.log(np.where(values > 0, values, np.nan))
        there = np.isfinite(values)
        return np.where(there, values, 0.0), there

    def at(self, size: float) -> "NetCurves":
        """Those of one P."""
        chosen = self.sizes == size
        return NetCurves(self.nets, self.sizes[chosen], {k: v[..., chosen] for k, v in self.values.items()})

    def net(self, name: str) -> "NetCurves":
        """Those of one net."""
        row = [self.nets.index(name)]
        return NetCurves((name,), self.sizes, {k: v[row] for k, v in self.values.items()})

    def estimate(
        self, statistic: Callable[["NetCurves"], float], *, n_resamples: int = 200, seed: int = 0
    ) -> tuple[float, float | None]:
        """A statistic and its standard error, from nets drawn with replacement and for each its seeds.

        Sizes are never resampled: those of a net and seed hang together. With one net its seeds alone are
        drawn. Resamples in which the statistic is not defined (NaN) are left out; None if hardly any is left.
        """
        measured = float(statistic(self))
        shape = next(iter(self.values.values())).shape
        if shape[0] * shape[1] < 2:
            return measured, None
        rng = np.random.default_rng(seed)
        drawn = []
        for _ in range(n_resamples):
            nets = rng.integers(shape[0], size=(shape[0], 1))
            seeds = rng.integers(shape[1], size=shape[:2])
            names = tuple(self.nets[k] for k in nets[:, 0])
            values = {name: value[nets, seeds] for name, value in self.values.items()}
            drawn.append(statistic(NetCurves(names, self.sizes, values)))
        defined = np.array(drawn)[np.isfinite(drawn)]
        return measured, float(defined.std(ddof=1)) if 2 * len(defined) > n_resamples else None


def rank_correlation(x: str, y: str) -> Callable[[NetCurves], float]:
    """Spearman's of two averages over all cells."""

    def statistic(curves: NetCurves) -> float:
        a, b = _pairs(curves, x, y)
        if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
            return float("nan")
        return float(np.asarray(spearmanr(a, b))[0])

    return statistic


def log_correlation(x: str, y: str) -> Callable[[NetCurves], float]:
    """Pearson's of the logarithms of two averages over all cells; those that are 0 are left out."""

    def statistic(curves: NetCurves) -> float:
        a, b = _pairs(curves, x, y)
        positive = (a > 0) & (b > 0)
        a, b = np.log(a[positive]), np.log(b[positive])
        if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
            return float("nan")
        return float(np.corrcoef(a, b)[0, 1])

    return statistic


def _pairs(curves: NetCurves, x: str, y: str) -> tuple[ndarray, ndarray]:
    a, b = curves.cells(x).ravel(), curves.cells(y).ravel()
    there = np.isfinite(a) & np.isfinite(b)
    return a[there], b[there]
