"""Records: what is kept of a layer while images go by, and the three numbers made of it."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from symnets.observables.stability.features import slices
from symnets.observables.stability.intervals import Interval, bootstrapped, delta_method, ratio

Numbers = tuple[Interval, Interval, Interval]
"""D, G and R."""


class Record(Protocol):
    """What is kept of one layer."""

    def clean(self, start: int, features: Tensor) -> None:
        """Outputs f(x) of images number start, start + 1, ..."""
        ...

    def moved(self, kind: int, start: int, features: Tensor, clean: Tensor) -> None:
        """Outputs of the same images, deformed (kind 0) or noisy (kind 1), next to f(x)."""
        ...

    def r_so_far(self, n: int) -> float:
        """R of the first n images as a ratio of means."""
        ...

    def numbers(self, confidence: float, seed: int) -> Numbers:
        """D, G, R with their intervals."""
        ...


class SquaredDistances:
    """‖f(τx) - f(x)‖² and ‖f(x + η) - f(x)‖² of each image, means over its draws; O(images) numbers.

    They stay on the device of the layer, so that nothing waits for it before the end.

    Attributes:
        moved_by: of the two kinds, float64.
    """

    def __init__(self, n_images: int, n_draws: int, device: torch.device) -> None:
        self.n_draws = n_draws
        self.moved_by = torch.zeros(2, n_images, dtype=torch.float64, device=device)

    def moved(self, kind: int, start: int, features: Tensor, clean: Tensor) -> None:
        """Adds a draw."""
        for rows, before in zip(slices(features), slices(clean), strict=True):
            norm = torch.linalg.vector_norm(rows - before, dim=1, dtype=torch.float64)
            self.moved_by[kind, start : start + len(rows)] += norm.square() / self.n_draws
            start += len(rows)

    def r_so_far(self, n: int) -> float:
        """R of the first n images as a ratio of means."""
        return ratio(*self.moved_by[:, :n].sum(1).tolist())


class Means(SquaredDistances):
    """Averages are means; 1 + O(features) numbers more.

    The mean squared distance of two images is twice the trace of the covariance,

        1/(P (P - 1)) Σ_(x ≠ z) ‖f(x) - f(z)‖² = 2/(P - 1) Σ_x ‖f(x) - m‖²,

    summed as images come (Welford; Chan, Golub, LeVeque 1983, doi:10.1080/00031305.1983.10483115). For the
    interval each image's share of it, 2 ‖f(x) - m‖², is taken with the mean m of the images so far.
    """

    def __init__(self, n_images: int, n_draws: int, device: torch.device) -> None:
        super().__init__(n_images, n_draws, device)
        self.shares = torch.zeros(n_images, dtype=torch.float64, device=device)
        self.count, self.scatter = 0, torch.zeros((), dtype=torch.float64, device=device)
        self.origin: Tensor | None = None
        self.mean: Tensor | None = None

    def clean(self, start: int, features: Tensor) -> None:
        """Adds images to the mean and the scatter."""
        if self.origin is None or self.mean is None:
            # From the first image: a constant output then has scatter 0, not that of rounding.
            self.origin = features[0].double().clone()
            self.mean = torch.zeros_like(self.origin)
        for rows in slices(features):
            rows = rows.double() - self.origin
            centre, n = rows.mean(0), len(rows)
            step = centre - self.mean
            self.scatter += (rows - centre).square().sum()
            self.scatter += (step @ step) * n * self.count / (n + self.count)
            self.count += n
            self.mean += step * (n / self.count)
        centre = self.origin + self.mean
        # The mean contains the image itself, which makes its distance smaller by 1 - 1/count.
        factor = 2 * self.count / max(self.count - 1, 1)
        for rows in slices(features):
            distance = (rows.double() - centre).square().sum(1)
            self.shares[start : start + len(rows)] = factor * distance
            start += len(rows)

    def numbers(self, confidence: float, seed: int) -> Numbers:
        """Ratios of means, with intervals by the delta method."""
        deformed, noisy, shares = *self.moved_by.cpu().numpy(), self.shares.cpu().numpy()
        pair = 2 * float(self.scatter) / (self.count - 1) if self.count > 1 else np.nan
        d, g = (
            delta_method(ratio(mine.mean(), pair), mine, shares, confidence) for mine in (deformed, noisy)
        )
        return d, g, delta_method(ratio(deformed.mean(), noisy.mean()), deformed, noisy, confidence)


class Medians(SquaredDistances):
    """Averages are medians over images; that of pairs, over ⌊P/2⌋ pairs of which no two share an image."""

    def __init__(self, n_images: int, n_draws: int, device: torch.device) -> None:
        super().__init__(n_images, n_draws, device)
        self.pairs = torch.zeros(n_images // 2, dtype=torch.float64, device=device)
        self.waiting: Tensor | None = None

    def clean(self, start: int, features: Tensor) -> None:
        """Pairs the images as they come: their order is random already."""
        if self.waiting is not None:
            features, start = torch.cat([self.waiting, features]), start - 1
        n = len(features) // 2
        self.waiting = features[2 * n :].clone() if len(features) % 2 else None
        first = start // 2
        for even, odd in zip(slices(features[0 : 2 * n : 2]), slices(features[1 : 2 * n : 2]), strict=True):
            norm = torch.linalg.vector_norm(even - odd, dim=1, dtype=torch.float64)
            self.pairs[first : first + len(even)] = norm.square()
            first += len(even)

    def numbers(self, confidence: float, seed: int) -> Numbers:
        """Ratios of medians, with intervals by the bootstrap over pairs of images."""
        deformed, noisy = self.moved_by.cpu().numpy()
        return bootstrapped(deformed, noisy, self.pairs.cpu().numpy(), confidence, seed)
