"""The training of an image net.

On a GPU all images are in its memory before the first step, are deformed and shifted there, and nothing
waits for it between two looks at the loss. In float32, torch by default rounds the factors of convolutions to
TF32 there, 11 binary digits of 24 (`torch.backends.cudnn.allow_tf32`), but not those of products of matrices
(`torch.backends.cuda.matmul.allow_tf32`); symnets leaves both as they are. Two trainings of a seed differ in
rounding there, since some of cuDNN's sums have no fixed order.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.config import fingerprint
from symnets.data import Batch, Loader, TensorPairs
from symnets.device import usable_device
from symnets.models import image_net
from symnets.observables import classification_error
from symnets.setups._classifier import ClassifierConfig, augmentation, classified_images
from symnets.setups._dense_nets import seeded_generator
from symnets.sweeps import Scalar, checkpoint, report_progress
from symnets.training import (
    Callback,
    History,
    Observable,
    Record,
    Trainer,
    TrainState,
    cross_entropy,
    descend,
    diverged,
    every,
    first_of,
    learning_rate,
    max_steps,
)

Precision = Literal["float32", "bfloat16"]
N_CLASSES = 10
SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "fashion-mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
"""Channels, rows and columns of the images."""


@dataclass(frozen=True)
class Trained:
    """An image net at the end of its training.

    Attributes:
        net: after the last step, in eval mode, on the device of the config.
        initial: before the first, there too.
        train: images and classes it was trained on, there too.
        test: others.
        history: what was recorded on the way.
        row: verdict, errors, numbers of parameters and steps.
    """

    net: nn.Module
    initial: nn.Module
    train: Batch
    test: Batch
    history: History
    row: dict[str, Scalar]


def initial_net(config: ClassifierConfig) -> nn.Module:
    """The net of a config before it is trained, on its device; torch's global generators are left as found.

    Weights are drawn on the CPU, the same ones for any device.
    """
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which seeds the generators of all GPUs, too.
        torch.default_generator.manual_seed(seeded_generator(config.seed, 0).initial_seed())
        net = image_net(config.net, SHAPES[config.data], N_CLASSES, width=config.width)
    return net.to(usable_device(config.device))


def train_classifier(
    config: ClassifierConfig,
    callbacks: Sequence[Callback] = (),
    *,
    observables: Mapping[str, Observable] | None = None,
    record: Record | None = None,
    precision: Precision = "float32",
) -> Trained:
    """Train an image net.

    Args:
        config: which, on what, and how long.
        callbacks: told of every step. With one that does not keep what it remembers
            (`training.checkpoint.Stateful`) a run that is killed begins anew.
        observables: measured on the way, into the history.
        record: after which steps; only at the end by default.
        precision: of the steps, see `MixedPrecision`; with "bfloat16" `state.model` is one. Whatever is
            measured is measured in float32. No field of the config, whose runs are those of float32.

    Raises:
        KeyboardInterrupt: Ctrl-C was heard.
        ValueError: the device cannot be used here.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision: expected one of {get_args(Precision)}, got {precision!r}")
    net = initial_net(config)
    train, test = classified_images(config, usable_device(config.device))
    initial = copy.deepcopy(net).eval()
    optimizer = _optimizer(net, config)
    schedule = learning_rate(optimizer, config.steps, decay="cosine", warmup=config.steps // 10)
    state = TrainState(net if precision == "float32" else MixedPrecision(net), optimizer, schedule)
    # A training that was begun on one device goes on on another.
    said = {name: value for name, value in vars(config).items() if name != "device"}
    kept = checkpoint(state, fingerprint(said | {"precision": precision}), callbacks)
    examples = TensorPairs(train.inputs, train.targets, augmentation(config, train.inputs.shape[1:]))
    loader = Loader(examples, config.batch_size, shuffle=True, seed=config.seed)
    trainer = Trainer(
        first_of(max_steps(config.steps), diverged()),
        observables=observables or {},
        record=record or every(10 * config.steps),
        callbacks=[Tell(config.steps), *callbacks, *kept],
        on_interrupt="raise",
    )
    if state.step < config.steps:
        trainer.fit(descend(state, cross_entropy, loader))
    net.eval()
    return Trained(net, initial, train, test, state.history, _row(config, state, train, test))


def _optimizer(net: nn.Module, config: ClassifierConfig) -> torch.optim.Optimizer:
    # On a GPU small nets are a matter of how many calls a step takes: one for all weights.
    fused = True if next(net.parameters()).device.type == "cuda" else None
    if config.optimiser == "adamw":
        return torch.optim.AdamW(
            net.parameters(), lr=config.rate, weight_decay=config.weight_decay, fused=fused
        )
    return torch.optim.SGD(
        net.parameters(),
        lr=config.rate,
        momentum=0.9,
        weight_decay=config.weight_decay,
        nesterov=True,
        fused=fused,
    )


def _row(config: ClassifierConfig, state: TrainState, train: Batch, test: Batch) -> dict[str, Scalar]:
    """What every experiment tells of a training; errors of a net that diverged are those of chance."""
    on_train, on_test = (classification_error(state.model, *part) for part in (train, test))
    if not math.isfinite(state.loss):
        verdict = "DIVERGED"
    else:
        verdict = "FITTED" if on_train.error <= config.fitted_below else "UNFITTED"
    return {
        "verdict": verdict,
        "n_params": sum(parameter.numel() for parameter in state.model.parameters()),
        "train_error": on_train.error,
        "test_error": on_test.error,
        "test_error_sd": on_test.standard_error,
        "final_loss": state.loss,
        "steps_done": state.step,
    }


class MixedPrecision(nn.Module):
    """A net whose training steps compute convolutions and linear maps in bfloat16, forwards and backwards.

    What torch's autocast does not think safe is computed in float32; weights, their gradients and the logits
    are float32. In eval mode it is the net itself: D, G and R are made of differences of outputs, of which
    bfloat16 with its 8 binary digits would leave little. Deformations of images are never in bfloat16.

    Args:
        net: an image net.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n classes"]:
        """Logits."""
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.training):
            return self.net(images).to(images.dtype)


class Tell(Callback):
    """Tells the sweep how far a training has come."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def after_step(self, state: TrainState) -> None:
        """Fraction of the steps, and the loss of the last batch; on a GPU, where something has read it."""
        if isinstance(state.last_loss, Tensor):
            return
        report_progress(min(state.step / self.steps, 1.0), f"step {state.step:,}, loss {state.loss:.3g}")
