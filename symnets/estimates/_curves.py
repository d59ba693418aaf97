"""Curves against the size of a net: all seeds, their means, and errors by resampling seeds.

Measurements by net, seed and number of training images: averages over seeds, errors by resampling.

_Arrays of runs that differ in their seed alone, and averages over them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray
from scipy.stats import spearmanr

from symnets.estimates._estimate import Estimate, from_resamples


@dataclass(frozen=True)
class SizeCurves:
    """Measurements by seed and number of weights.

    Only seeds with finite values at every size are in it: a curve through other seeds at each size would show
    the seeds, and a net that diverged has no value.

    Attributes:
        sizes: (sizes,), N ascending.
        values: by name, (seeds, sizes).
        n_left_out: seeds that are not in it: a run is missing, or diverged.
    """

    sizes: ndarray
    values: Mapping[str, ndarray]
    n_left_out: int = 0

    @classmethod
    def from_table(cls, table: pd.DataFrame, *columns: str) -> "SizeCurves":
        """Columns of a table with columns `seed` and `n_weights`.

        Raises:
            ValueError: no seed has a run with finite values at every size.
        """
        sizes = np.unique(table["n_weights"].to_numpy())
        seeds = np.unique(table["seed"].to_numpy())
        values = {name: np.full((len(seeds), len(sizes)), np.nan) for name in columns}
        at = (
            np.searchsorted(seeds, table["seed"].to_numpy()),
            np.searchsorted(sizes, table["n_weights"].to_numpy()),
        )
        for name in columns:
            values[name][at] = table[name].to_numpy(dtype=float)
        complete = np.all([np.isfinite(matrix).all(1) for matrix in values.values()], axis=0)
        if not complete.any():
            expected = f"a seed with finite {', '.join(columns)} at all of {len(sizes)} sizes"
            raise ValueError(f"table: expected {expected}, found none")
        chosen = {name: matrix[complete] for name, matrix in values.items()}
        return cls(sizes, chosen, int((~complete).sum()))

    @property
    def n_seeds(self) -> int:
        """Number of seeds."""
        return len(next(iter(self.values.values())))

    @property
    def left_out(self) -> str:
        """ ", 2 of 20 seeds left out", or nothing if all are there; to be put behind what was measured."""
        n = self.n_left_out
        return f", {n} of {n + self.n_seeds} seeds left out" if n else ""

    def mean(self, name: str) -> ndarray:
        """(sizes,): mean over seeds."""
        return self.values[name].mean(0)

    def median(self, name: str) -> ndarray:
        """(sizes,): median over seeds; near jamming one seed alone can carry a mean."""
        return np.median(self.values[name], axis=0)

    def error(self, name: str) -> ndarray:
        """(sizes,): standard error of the mean; 0 of a single seed."""
        values = self.values[name]
        return values.std(0, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.zeros(values.shape[1])

    def estimate(
        self, statistic: Callable[["SizeCurves"], float], *, n_resamples: int = 500, seed: int = 0
    ) -> Estimate:
        """A statistic and its standard error, from seeds resampled with replacement (bootstrap).

        Resamples in which the statistic is not defined (NaN) are left out. The error is None if hardly any is
        left, or if there is one seed only.
        """
        value = float(statistic(self))
        if self.n_seeds < 2:
            return Estimate(value)

        def resampled(chosen: ndarray) -> float:
            return statistic(SizeCurves(self.sizes, {k: v[chosen] for k, v in self.values.items()}))

        rng = np.random.default_rng(seed)
        resamples = [resampled(rng.integers(self.n_seeds, size=self.n_seeds)) for _ in range(n_resamples)]
        return from_resamples(value, resamples)


def jamming_size(curves: SizeCurves, *, level: float = 0.1) -> float:
    """N*: where the median of N_Δ / N falls through `level` for the last time, as N grows.

    Geiger et al. 2019 (arXiv:1809.09349) shrink a net until N_Δ > 0.1 N and call the last one before that
    N*; here the median over seeds is interpolated, linearly in log N. NaN if it never falls through.
    """
    unsatisfied = curves.median("unsatisfied_per_weight")
    above = np.flatnonzero(unsatisfied > level)
    if not len(above) or above[-1] + 1 == len(unsatisfied):
        return float("nan")
    k = above[-1]
    return float(np.exp(np.interp(level, unsatisfied[[k + 1, k]], np.log(curves.sizes[[k + 1, k]]))))


GEOMETRIC = ("R", "D", "G", "R_init", "D_init", "G_init")
"""Averaged on the logarithmic scale over seeds, as published; all else by its mean."""

_Arrays = Callable[[str], Mapping[str, np.ndarray]]


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
    def from_table(cls, table: pd.DataFrame, *columns: str) -> "NetCurves":
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

    def mean(self, name: str) -> ndarray:
        """(nets, sizes): average over seeds; geometric of D, G and R."""
        values, there = self._scaled(name)
        count = there.sum(1)
        mean = values.sum(1) / np.maximum(count, 1)
        return np.where(count > 0, np.exp(mean) if name in GEOMETRIC else mean, np.nan)

    def error(self, name: str) -> ndarray:
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
    ) -> Estimate:
        """A statistic and its standard error, from nets and seeds resampled with replacement (bootstrap).

        First nets are resampled, then the seeds of each. Sizes are not: the values of a net and seed are
        correlated across sizes. With one net only seeds are resampled. Resamples in which the statistic is
        not defined (NaN) are left out. The error is None if hardly any is left.
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
    a, b = curves.mean(x).ravel(), curves.mean(y).ravel()
    there = np.isfinite(a) & np.isfinite(b)
    return a[there], b[there]


Seeds = Sequence[Mapping[str, ndarray]]
"""The arrays of each seed."""


def by_net(table: pd.DataFrame, arrays: _Arrays) -> Iterator[tuple[str, Seeds]]:
    """ "net, data" and the arrays of its seeds, for each net and data set; diverged runs are left out."""
    runs: Any = table.query("verdict != 'DIVERGED'")
    for (net, data), mine in runs.groupby(["net", "data"], sort=False):
        yield f"{net}, {data}", [arrays(str(name)) for name in mine.index]
