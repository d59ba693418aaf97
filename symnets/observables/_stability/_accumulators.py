"""Records: what is kept of a layer while images go by, and the three numbers made of it.

The averages of the code published with the paper of 2021.

The records of all layers of a model.
"""

from functools import partial
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from symnets.observables._stability._features import OUTPUT, Seen, slices
from symnets.observables._stability._result import Interval, bootstrapped, delta_method, ratio

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


MAX_IMAGES = 5000
"""The matrix of all distances has the square of it."""
MAX_NUMBERS = 4 * 10**8
"""Differences that are kept, of a layer."""
REGULARISER = 1e-10


class CoordinateMedians:
    """Medians of each coordinate over images, summed over the coordinates:

        D = Σ_k median_x (f_k(τx) - f_k(x))² / (median_(x, z) ‖f(x) - f(z)‖² + 1e-10),

    G likewise, with the zeros x = z among the pairs and torch's lower median of an even number. With several
    draws, (x, τ) and (x, η) take the place of x. Not invariant under rotations of the outputs, and without
    an interval; kept to compare with published numbers. All is kept in the memory of the CPU, whatever the
    device of the layer: it is more than what a GPU has to spare.

    Raises:
        ValueError: more images, or more numbers to keep, than a median over all at once can take.
    """

    def __init__(self, n_images: int, n_draws: int, device: torch.device) -> None:
        if n_images > MAX_IMAGES:
            raise ValueError(
                f'average: "reference" compares all pairs of at most {MAX_IMAGES} images, got {n_images}; '
                'take fewer, or "mean" or "median", which need one pass'
            )
        self.n_images, self.n_draws = n_images, n_draws
        self.features: list[Tensor] = []
        self.squares: tuple[list[Tensor], list[Tensor]] = ([], [])

    def clean(self, start: int, features: Tensor) -> None:
        """Keeps the outputs."""
        numbers = features.shape[1] * self.n_images * (2 * self.n_draws + 1)
        if numbers > MAX_NUMBERS:
            raise ValueError(
                f'average: "reference" keeps every difference, here {numbers:,} numbers in a layer of '
                f"{features.shape[1]:,} outputs; {MAX_NUMBERS:,} is the limit. Take fewer images or draws"
            )
        self.features.append(features.clone() if features.device.type == "cpu" else features.cpu())

    def moved(self, kind: int, start: int, features: Tensor, clean: Tensor) -> None:
        """Keeps the squared differences."""
        self.squares[kind].append((features - clean).square().cpu())

    def r_so_far(self, n: int) -> float:
        """R of the images so far as a ratio of means."""
        deformed, noisy = (sum(float(part.sum()) for part in parts) for parts in self.squares)
        return ratio(deformed, noisy)

    def numbers(self, confidence: float, seed: int) -> Numbers:
        """D, G and R = D / G."""
        deformed, noisy = (_medians(torch.cat(squares)) for squares in self.squares)
        features = torch.cat(self.features)
        distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
        pair = float(distances.square_().flatten().median()) if len(features) > 1 else np.nan
        if not torch.any(features != features[0]):
            pair = np.nan  # 1e-10 is no distance
        pair += REGULARISER
        return (
            Interval(ratio(deformed, pair)),
            Interval(ratio(noisy, pair)),
            Interval(ratio(deformed, noisy)),
        )


def _medians(squares: Tensor) -> float:
    return float(squares.median(0).values.double().sum())


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
