"""The averages of the code published with the paper of 2021."""

import numpy as np
import torch
from torch import Tensor

from symnets.observables.stability.intervals import Interval, ratio
from symnets.observables.stability.records import Numbers

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
