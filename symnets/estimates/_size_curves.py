"""Measurements against the number of weights of a net, and the jamming size N*."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray

from symnets.estimates._estimate import Estimate, from_resamples


@dataclass(frozen=True)
class SizeCurves:
    """Measurements against the number of weights N, for several seeds.

    Only seeds with finite values at every size are included: with different seeds at different sizes, a curve
    would show the scatter of seeds. A net that diverged has no value.

    Attributes:
        sizes: numbers of weights N, ascending, of shape (sizes,).
        values: arrays of shape (seeds, sizes), by name of the measurement.
        n_left_out: number of seeds not included, because a run is missing or diverged.
    """

    sizes: ndarray
    values: Mapping[str, ndarray]
    n_left_out: int = 0

    @classmethod
    def from_table(cls, table: pd.DataFrame, *columns: str) -> "SizeCurves":
        """Curves from a table of runs with columns `seed` and `n_weights`.

        Args:
            table: table of runs.
            columns: names of the measurements.

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
        """A note to append to a quantity, such as ", 2 of 20 seeds left out"; empty if all are included."""
        n = self.n_left_out
        return f", {n} of {n + self.n_seeds} seeds left out" if n else ""

    def mean(self, name: str) -> ndarray:
        """Mean over seeds, of shape (sizes,)."""
        return self.values[name].mean(0)

    def median(self, name: str) -> ndarray:
        """Median over seeds, of shape (sizes,); near jamming a single seed can dominate the mean."""
        return np.median(self.values[name], axis=0)

    def error(self, name: str) -> ndarray:
        """Standard error of the mean, of shape (sizes,); 0 for a single seed."""
        values = self.values[name]
        return values.std(0, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.zeros(values.shape[1])

    def estimate(
        self, statistic: Callable[["SizeCurves"], float], *, n_resamples: int = 500, seed: int = 0
    ) -> Estimate:
        """A statistic and its standard error, from seeds resampled with replacement (bootstrap).

        Resamples in which the statistic is not defined (NaN) are left out. The error is None if no more than
        half of them are left, or if there is one seed only.
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
    """Jamming size N*: where the median of N_Δ / N falls below `level` for the last time, as N grows.

    Geiger et al. 2019 (arXiv:1809.09349) shrink a net until N_Δ > 0.1 N and define N* as the last size before
    that; here the median over seeds is interpolated, linearly in log N. NaN if it never crosses the level.
    """
    unsatisfied = curves.median("unsatisfied_per_weight")
    above = np.flatnonzero(unsatisfied > level)
    if not len(above) or above[-1] + 1 == len(unsatisfied):
        return float("nan")
    k = above[-1]
    return float(np.exp(np.interp(level, unsatisfied[[k + 1, k]], np.log(curves.sizes[[k + 1, k]]))))
