"""Stability of a digit classifier to deformations, before training and after two trainings."""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from symnets.data import Images, Loader, TensorPairs, load_images
from symnets.diffeo import SineField
from symnets.models import image_net
from symnets.observables import ClassificationError, Stability, classification_error, stability
from symnets.training import Trainer, TrainState, cross_entropy, descend, learning_rate, max_steps

STEPS, BATCH_SIZE, N_IMAGES = 300, 64, 500
DELTA, CUTOFF = 0.5, 3.0
"""Typical displacement in pixels of the 8 x 8 images, and cutoff of the field; 3 % of these fields fold."""


@dataclass(frozen=True)
class DigitNet:
    """Error and stability of one digit classifier, measured on test images.

    Attributes:
        name: such as "trained on digits".
        error: fraction of wrong classes.
        batch_statistics: D, G and R of the logits, with the batch statistics in batch normalisations. This is
            the same rule before and after training, so these values can be compared.
        running_statistics: D, G and R with the running statistics, as the net is used; None before training,
            when there are no running statistics.
    """

    name: str
    error: ClassificationError
    batch_statistics: Stability
    running_statistics: Stability | None


@dataclass(frozen=True)
class DigitStability:
    """Stability of a digit classifier with initial weights, after training on digits, and on deformed digits.

    Attributes:
        nets: the three nets in this order.
        images: the test images.
        field: the random field of the deformations.
    """

    nets: tuple[DigitNet, ...]
    images: Float[Tensor, "n 1 8 8"]
    field: SineField

    def __str__(self) -> str:
        return ", ".join(f"{net.batch_statistics.R.value[-1]:.2f} {net.name}" for net in self.nets)


def digit_stability(*, seed: int) -> DigitStability:
    """Train a small VGG twice from the same initial weights, on digits and on deformed digits.

    Both trainings take some seconds. The images have 8 x 8 pixels.

    Args:
        seed: seed of the initial weights, batches, deformations and noise.

    Raises:
        KeyboardInterrupt: a training was interrupted.
    """
    train, test = load_images("digits", "train"), load_images("digits", "test")[:N_IMAGES]
    images, field = test.scaled(), SineField((8, 8), cutoff=CUTOFF)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPU
        initial = image_net("vgg_bn", (1, 8, 8), width=0.5)

    def measure(name: str, net: nn.Module) -> DigitNet:
        batch, running = (
            stability(
                net,
                images,
                field,
                delta=DELTA,
                generator=Generator().manual_seed(seed),
                batch_norm=statistics,
            )
            for statistics in ("batch", "running")
        )
        error = classification_error(net, images, test.labels)
        return DigitNet(name, error, batch, None if net is initial else running)

    nets = (
        measure("with initial weights", initial),
        measure("trained on digits", _trained(initial, train, None, seed)),
        measure("trained on deformed digits", _trained(initial, train, field, seed)),
    )
    return DigitStability(nets, images, field)


def _trained(initial: nn.Module, digits: Images, field: SineField | None, seed: int) -> nn.Module:
    """A copy trained on digits; with a field, every batch is deformed anew."""

    def deformed(images: Tensor, generator: Generator) -> Tensor:
        assert field is not None
        deformations = field.sample(
            len(images), delta=DELTA, generator=generator, dtype=images.dtype, device=images.device
        )
        return deformations.warp(images)

    net = copy.deepcopy(initial)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    schedule = learning_rate(optimizer, STEPS, decay="cosine", warmup=STEPS // 10)
    examples = TensorPairs(digits.scaled(), digits.labels, None if field is None else deformed)
    loader = Loader(examples, BATCH_SIZE, shuffle=True, seed=seed)
    state = TrainState(net, optimizer, schedule)
    Trainer(max_steps(STEPS), on_interrupt="raise").fit(descend(state, cross_entropy, loader))
    return net.eval()
