"""A small net that reads digits and minds when they are bent, or learns not to; a study for the demo."""

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from symnets.data import Images, Loader, TensorPairs, load_images
from symnets.diffeo import SineField
from symnets.models import image_net
from symnets.observables import ClassificationError, classification_error
from symnets.observables.stability import Stability, stability
from symnets.training import (
    INTERRUPTED,
    Trainer,
    TrainState,
    cross_entropy,
    descend,
    learning_rate,
    max_steps,
)

STEPS, BATCH, N_IMAGES = 300, 64, 500
DELTA, CUTOFF = 0.5, 3.0  # pixels of the 8 that a digit has; one field in thirty folds


@dataclass(frozen=True)
class ReadsDigits:
    """A net that reads digits.

    Attributes:
        name: such as "after training".
        error: on digits that it was not trained on.
        stability: D, G and R of its logits on them; batch normalisations of the start take the statistics
            of each batch, for they have learned none, those of trained nets running ones.
        alike: the same with the statistics of each batch in all nets.
    """

    name: str
    error: ClassificationError
    stability: Stability
    alike: Stability


@dataclass(frozen=True)
class DeformedDigits:
    """Nets before training, after it, and after training on deformed digits.

    Attributes:
        nets: the three.
        images: digits that they were not trained on.
        field: of the deformations.
    """

    nets: tuple[ReadsDigits, ...]
    images: Float[Tensor, "n 1 8 8"]
    field: SineField

    def __str__(self) -> str:
        return ", ".join(f"{net.alike.R.value[-1]:.2f} {net.name}" for net in self.nets)


def deformed_digits(*, seed: int) -> DeformedDigits:
    """Trains a small VGG twice from the same start, on digits and on deformed digits, for some seconds.

    Args:
        seed: of initial weights, batches, deformations and noise.

    Raises:
        KeyboardInterrupt: Ctrl-C was heard.
    """
    train, test = load_images("digits", "train"), load_images("digits", "test")
    field, images = SineField((8, 8), cutoff=CUTOFF), test.scaled()[:N_IMAGES]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # that of the CPU alone
        start = image_net("vgg_bn", (1, 8, 8), width=0.5)

    def found(net: nn.Module, norm: Literal["running", "batch"]) -> Stability:
        random = Generator().manual_seed(seed)
        return stability(net, images, field, delta=DELTA, generator=random, batch_norm=norm)

    def measured(name: str, net: nn.Module) -> ReadsDigits:
        alike = found(net, "batch")
        usual = alike if net is start else found(net, "running")
        return ReadsDigits(name, classification_error(net, images, test.labels[:N_IMAGES]), usual, alike)

    nets = (
        measured("before training", start),
        measured("after training", _trained(start, train, None, seed)),
        measured("after training on deformed digits", _trained(start, train, field, seed)),
    )
    return DeformedDigits(nets, images, field)


def _trained(start: nn.Module, digits: Images, field: SineField | None, seed: int) -> nn.Module:
    """A copy that has learned digits; with a field, each time under new deformations."""

    def deformed(images: Tensor, generator: Generator) -> Tensor:
        assert field is not None
        drawn = field.sample(
            len(images), delta=DELTA, generator=generator, dtype=images.dtype, device=images.device
        )
        return drawn.warp(images)

    net = copy.deepcopy(start)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    schedule = learning_rate(optimizer, STEPS, decay="cosine", warmup=STEPS // 10)
    examples = TensorPairs(digits.scaled(), digits.labels, None if field is None else deformed)
    loader = Loader(examples, BATCH, shuffle=True, seed=seed)
    state = TrainState(net, optimizer, schedule)
    history = Trainer(max_steps(STEPS)).fit(descend(state, cross_entropy, loader))
    if history.reason == INTERRUPTED:
        raise KeyboardInterrupt
    return net.eval()
