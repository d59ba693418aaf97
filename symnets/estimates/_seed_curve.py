"""Curves of a quantity along an axis, one for each seed, and their power law."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from symnets.estimates._estimate import Estimate
from symnets.estimates._power_law import fit_power_law_seeds


@dataclass(frozen=True)
class SeedCurve:
    """A quantity at several points of an axis, for each seed.

    Attributes:
        x: the points, ascending.
        values: values of the quantity at these points, for each seed.
    """

    x: Float[ndarray, " points"]
    values: Float[ndarray, "seeds points"]

    @classmethod
    def from_table(cls, table: pd.DataFrame, axis: str, quantity: str) -> "SeedCurve":
        """The curve of the rows of a table; seeds that lack a point are left out.

        Args:
            table: with the columns "seed", `axis` and `quantity`; one row for each seed and point.
            axis: name of the column of x.
            quantity: name of the column of values; NaN counts as a missing point.
        """
        wide = table.pivot(index="seed", columns=axis, values=quantity).dropna()
        return cls(wide.columns.to_numpy(dtype=float), wide.to_numpy(dtype=float))

    def between(self, low: float, high: float = np.inf) -> "SeedCurve":
        """The part of the curve with low <= x <= high."""
        inside = (low <= self.x) & (self.x <= high)
        return SeedCurve(self.x[inside], self.values[:, inside])

    @property
    def mean(self) -> Float[ndarray, " points"]:
        """Mean over seeds."""
        return self.values.mean(0)

    @property
    def error(self) -> Float[ndarray, " points"] | None:
        """Standard error of the mean; None with a single seed."""
        n = len(self.values)
        return self.values.std(0, ddof=1) / n**0.5 if n > 1 else None

    @property
    def exponent(self) -> Estimate:
        """Exponent a of the power law x^a fitted to the means, with its error by resampling of seeds.

        NaN with fewer than three points or seeds, or where a mean is not positive.
        """
        if min(self.values.shape) < 3 or not (self.mean > 0).all():
            return Estimate(float("nan"))
        return fit_power_law_seeds(self.x, self.values).exponent
