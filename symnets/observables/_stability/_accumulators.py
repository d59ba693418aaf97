"""Accumulators of the statistics of each layer during the pass over the images, which give D, G and R."""

from functools import partial
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from symnets.observables._stability._features import OUTPUT, OnFeatures, row_chunks
from symnets.observables._stability._result import Interval, bootstrapped, delta_method, ratio

Estimates = tuple[Interval, Interval, Interval]
"""D, G and R of a layer, each with its confidence interval."""


class Accumulator(Protocol):
    """Accumulated statistics of one layer."""

    def add_clean(self, start: int, features: Tensor) -> None:
        """Adds the outputs f(x) of images number start, start + 1, ..."""
        ...

    def add_perturbed(self, kind: int, start: int, features: Tensor, clean: Tensor) -> None:
        """Adds the outputs of the same images, deformed (kind 0) or noisy (kind 1), compared with f(x)."""
        ...

    def r_so_far(self, n: int) -> float:
        """R of the first n images, as a ratio of means."""
        ...

    def estimates(self, confidence: float, seed: int) -> Estimates:
        """D, G and R with their confidence intervals; the seed is that of the bootstrap."""
        ...


class SquaredDistances:
    """‖f(τx) - f(x)‖² and ‖f(x + η) - f(x)‖² of each image, averaged over its draws; O(images) numbers.

    They are stored on the device of the layer, so that there is no synchronisation before the end.

    Attributes:
        distances: squared distances under deformations (row 0) and noise (row 1), float64.
    """

    def __init__(self, n_images: int, n_draws: int, device: torch.device) -> None:
        self.n_draws = n_draws
        self.distances = torch.zeros(2, n_images, dtype=torch.float64, device=device)

    def add_perturbed(self, kind: int, start: int, features: Tensor, clean: Tensor) -> None:
        """Adds the squared distances of one draw."""
        for rows, before in zip(row_chunks(features), row_chunks(clean), strict=True):
            norm = torch.linalg.vector_norm(rows - before, dim=1, dtype=torch.float64)
            self.distances[kind, start : start + len(rows)] += norm.square() / self.n_draws
            start += len(rows)

    def r_so_far(self, n: int) -> float:
        """R of the first n images, as a ratio of means."""
        return ratio(*self.distances[:, :n].sum(1).tolist())


class Means(SquaredDistances):
    """Accumulator of average="mean"; stores O(features) numbers besides the squared distances.

    The mean squared distance of two of the P images is twice the trace of the covariance,

        1/(P (P - 1)) Σ_(x ≠ z) ‖f(x) - f(z)‖² = 2/(P - 1) Σ_x ‖f(x) - m‖²,

    updated with each batch (Welford; Chan, Golub, LeVeque 1983, doi:10.1080/00031305.1983.10483115). For the
    confidence interval, the contribution 2 ‖f(x) - m‖² of an image uses the mean m of the images so far.
    """

    def __init__(self, n_images: int, n_draws: int, device: torch.device) -> None:
        super().__init__(n_images, n_draws, device)
        self.contributions = torch.zeros(n_images, dtype=torch.float64, device=device)
        self.count, self.scatter = 0, torch.zeros((), dtype=torch.float64, device=device)
        self.origin: Tensor | None = None
        self.mean: Tensor | None = None

    def add_clean(self, start: int, features: Tensor) -> None:
        """Adds images to the mean and to the scatter Σ ‖f(x) - m‖²."""
        if self.origin is None or self.mean is None:
            # Relative to the first image, so that the scatter of a constant output is exactly 0.
            self.origin = features[0].double().clone()
            self.mean = torch.zeros_like(self.origin)
        for rows in row_chunks(features):
            rows = rows.double() - self.origin
            centre, n = rows.mean(0), len(rows)
            step = centre - self.mean
            self.scatter += (rows - centre).square().sum()
            self.scatter += (step @ step) * n * self.count / (n + self.count)
            self.count += n
            self.mean += step * (n / self.count)
        centre = self.origin + self.mean
        # The mean includes the image itself, which reduces its squared distance by the factor 1 - 1/count.
        factor = 2 * self.count / max(self.count - 1, 1)
        for rows in row_chunks(features):
            distance = (rows.double() - centre).square().sum(1)
            self.contributions[start : start + len(rows)] = factor * distance
            start += len(rows)

    def estimates(self, confidence: float, seed: int) -> Estimates:
        """Ratios of means, with intervals by the delta method."""
        deformed, noisy = self.distances.cpu().numpy()
        pairs = self.contributions.cpu().numpy()
        pair = 2 * float(self.scatter) / (self.count - 1) if self.count > 1 else np.nan
        d = delta_method(ratio(deformed.mean(), pair), deformed, pairs, confidence)
        g = delta_method(ratio(noisy.mean(), pair), noisy, pairs, confidence)
        return d, g, delta_method(ratio(deformed.mean(), noisy.mean()), deformed, noisy, confidence)


class Medians(SquaredDistances):
    """Accumulator of average="median": medians over P images, and over ⌊P/2⌋ disjoint pairs of them."""

    def __init__(self, n_images: int, n_draws: int, device: torch.device) -> None:
        super().__init__(n_images, n_draws, device)
        self.pairs = torch.zeros(n_images // 2, dtype=torch.float64, device=device)
        self.unpaired: Tensor | None = None

    def add_clean(self, start: int, features: Tensor) -> None:
        """Adds the distances of consecutive images, whose order is random."""
        if self.unpaired is not None:
            features, start = torch.cat([self.unpaired, features]), start - 1
        n = len(features) // 2
        self.unpaired = features[2 * n :].clone() if len(features) % 2 else None
        first = start // 2
        for even, odd in zip(
            row_chunks(features[0 : 2 * n : 2]), row_chunks(features[1 : 2 * n : 2]), strict=True
        ):
            norm = torch.linalg.vector_norm(even - odd, dim=1, dtype=torch.float64)
            self.pairs[first : first + len(even)] = norm.square()
            first += len(even)

    def estimates(self, confidence: float, seed: int) -> Estimates:
        """Ratios of medians, with intervals by the bootstrap over pairs of images."""
        deformed, noisy = self.distances.cpu().numpy()
        return bootstrapped(deformed, noisy, self.pairs.cpu().numpy(), confidence, seed)


MAX_IMAGES = 5000
"""Largest number of images of average="reference", which computes the matrix of all distances."""
MAX_STORED = 4 * 10**8
"""Largest number of outputs and differences that average="reference" stores for a layer."""
REGULARISER = 1e-10
"""Added to the median pair distance, as in the code published with Petrini et al. 2021."""


class CoordinateMedians:
    """Accumulator of average="reference": the averages of the code published with Petrini et al. 2021.

    Medians over images of each coordinate, summed over the coordinates:

        D = Σ_k median_x (f_k(τx) - f_k(x))² / (median_(x, z) ‖f(x) - f(z)‖² + 1e-10),

    G likewise. Pairs include x = z, with distance 0, and the median of an even number of values is the lower
    one, as in torch. With several draws, the median is over all (x, τ) or (x, η). The result is not invariant
    under rotations of the outputs and has no confidence interval; it serves to compare with published
    numbers. All outputs are stored in CPU memory, whatever the device of the layer, because of their size.

    Raises:
        ValueError: too many images, or too many numbers to store.
    """

    def __init__(self, n_images: int, n_draws: int, device: torch.device) -> None:
        if n_images > MAX_IMAGES:
            raise ValueError(
                f'average: "reference" compares all pairs of at most {MAX_IMAGES} images, got {n_images}; '
                'pass fewer images, or average="mean" or "median"'
            )
        self.n_images, self.n_draws = n_images, n_draws
        self.features: list[Tensor] = []
        self.squares: tuple[list[Tensor], list[Tensor]] = ([], [])

    def add_clean(self, start: int, features: Tensor) -> None:
        """Stores the outputs."""
        numbers = features.shape[1] * self.n_images * (2 * self.n_draws + 1)
        if numbers > MAX_STORED:
            raise ValueError(
                f'average: "reference" stores at most {MAX_STORED:,} numbers, got {numbers:,} for a layer of '
                f"{features.shape[1]:,} outputs; pass fewer images or draws"
            )
        self.features.append(features.clone() if features.device.type == "cpu" else features.cpu())

    def add_perturbed(self, kind: int, start: int, features: Tensor, clean: Tensor) -> None:
        """Stores the squared differences."""
        self.squares[kind].append((features - clean).square().cpu())

    def r_so_far(self, n: int) -> float:
        """R of the images so far, as a ratio of means."""
        deformed, noisy = (sum(float(part.sum()) for part in parts) for parts in self.squares)
        return ratio(deformed, noisy)

    def estimates(self, confidence: float, seed: int) -> Estimates:
        """D, G and R = D / G, without intervals."""
        deformed, noisy = (_medians(torch.cat(squares)) for squares in self.squares)
        features = torch.cat(self.features)
        distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
        pair = float(distances.square_().flatten().median()) if len(features) > 1 else np.nan
        if not torch.any(features != features[0]):
            pair = np.nan  # all outputs are equal: the regulariser alone is not a distance
        pair += REGULARISER
        return (
            Interval(ratio(deformed, pair)),
            Interval(ratio(noisy, pair)),
            Interval(ratio(deformed, noisy)),
        )


def _medians(squares: Tensor) -> float:
    return float(squares.median(0).values.double().sum())


Average = Literal["mean", "median", "reference"]
"""Average over images: mean, median, or the medians of the code published with Petrini et al. 2021."""
ACCUMULATORS: dict[str, type[Means] | type[Medians] | type[CoordinateMedians]] = {
    "mean": Means,
    "median": Medians,
    "reference": CoordinateMedians,
}


class Accumulators:
    """One accumulator for each layer, made at the first output of that layer.

    Args:
        average: kind of accumulator.
        n_images: total number of images.
        n_draws: deformations, and noises, of each image.
    """

    def __init__(self, average: Average, n_images: int, n_draws: int) -> None:
        self.make = partial(ACCUMULATORS[average], n_images, n_draws)
        self.by_layer: dict[str, Accumulator] = {}
        self._clean: dict[str, Tensor] = {}

    def on_clean(self, start: int) -> OnFeatures:
        """Callback that adds f(x) of a batch, and stores it for the comparison with perturbed outputs."""
        self._clean = {}
        return partial(self._add_clean, start)

    def on_perturbed(self, kind: int, start: int) -> OnFeatures:
        """Callback that adds the outputs of the deformed (kind 0) or noisy (kind 1) batch."""
        return partial(self._add_perturbed, kind, start)

    def r_so_far(self, n: int) -> float:
        """R of the model's output over the first n images, as a ratio of means."""
        return self.by_layer[OUTPUT].r_so_far(n)

    def _add_clean(self, start: int, name: str, features: Tensor) -> None:
        if name not in self.by_layer:
            self.by_layer[name] = self.make(features.device)
        # A copy, because a later layer may modify its input in place.
        self._clean[name] = features.clone()
        self.by_layer[name].add_clean(start, features)

    def _add_perturbed(self, kind: int, start: int, name: str, features: Tensor) -> None:
        if name in self._clean:  # else the calls differ, and Features raises an error
            self.by_layer[name].add_perturbed(kind, start, features, self._clean[name])
