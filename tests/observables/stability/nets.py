"""Small nets, images and fields for tests of stability."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from symnets.diffeo import SineField
from symnets.observables import Stability, stability

SHAPE = (6, 7)
"""Rows and columns differ, so that exchanging them shows."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 30, channels: int = 2, seed: int = 1, shape: tuple[int, int] = SHAPE) -> Tensor:
    return torch.randn(n, channels, *shape, generator=generator(seed), dtype=torch.float64)


def field() -> SineField:
    return SineField(SHAPE, cutoff=2)


def measure(model: nn.Module, x: Tensor | None = None, **options: object) -> Stability:
    """D, G, R with a displacement that does not fold."""
    options = {"delta": 0.3, "n_draws": 2, "generator": generator()} | options
    return stability(model, images() if x is None else x, field(), **options)


def small_net(seed: int = 2, shape: tuple[int, int] = SHAPE) -> nn.Sequential:
    """Convolutions with a ReLU in place, and batch normalisation."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(2, 3, 3, dtype=torch.float64),
            nn.BatchNorm2d(3, dtype=torch.float64),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(3 * (shape[0] - 2) * (shape[1] - 2), 4, dtype=torch.float64),
        )


class Recorder(nn.Module):
    """Records the inputs and outputs of a net, outside of its lists, which observables restore."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.record = net, SimpleNamespace(inputs=[], outputs=[])

    @property
    def inputs(self) -> list[Tensor]:
        return self.record.inputs

    @property
    def outputs(self) -> list[Tensor]:
        return self.record.outputs

    def forward(self, x: Tensor) -> Tensor:
        self.inputs.append(x.clone())
        self.outputs.append(self.net(x))
        return self.outputs[-1]


class Stretch:
    """Random stretch in place of a deformation: x + ε s x with <s²> = 1, so that all averages are known."""

    shape = SHAPE

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def sample(self, n: int, *, delta: float, generator: torch.Generator) -> "Stretch":
        stretch = Stretch(self.epsilon)
        stretch.s = torch.tensor([0.5, 1.5])[torch.randint(0, 2, (n, 1, 1, 1), generator=generator)].sqrt()
        return stretch

    def warp(self, x: Tensor) -> Tensor:
        return x + self.epsilon * self.s * x
