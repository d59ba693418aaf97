"""Random fields on which every law is tested."""

import torch
from torch import Generator

from symnets.diffeo import BSplineField, Expansion, Field, GaussianField, SineField

FIELDS: dict[str, Field] = {
    "sines": SineField((16, 16), cutoff=3),
    "sines, rectangle": SineField((12, 21), cutoff=4, rule="half"),
    "sines, volume": SineField((9, 11, 8), cutoff=3),
    "B-splines": BSplineField((14, 18), spacing=4),
    "B-splines, volume": BSplineField((9, 11, 10), spacing=3),
    "Gaussian": GaussianField((14, 18), sigma=3),
    "Gaussian, volume": GaussianField((9, 11, 10), sigma=2.5),
}


def seeded(seed: int = 0) -> Generator:
    """A generator with a given seed."""
    return torch.Generator().manual_seed(seed)


def gentle(field: Field, n: int = 3, delta: float = 0.2, seed: int = 0) -> Expansion:
    """Deformations in float64 that do not fold."""
    return field.sample(n, delta=delta, generator=seeded(seed), bijective=True, dtype=torch.float64)
