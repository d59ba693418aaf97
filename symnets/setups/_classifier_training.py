"""Training of image classifiers.

On a GPU all images are in its memory before the first step and are augmented there, and steps are queued
without synchronisation between two reads of the loss. On a GPU torch by default rounds the float32 factors of
convolutions to TF32, which has 11 binary digits instead of 24 (`torch.backends.cudnn.allow_tf32`), but not
those of matrix products (`torch.backends.cuda.matmul.allow_tf32`); symnets changes neither setting. Two
trainings of a seed on a GPU differ by rounding, since some sums of cuDNN have no fixed order.
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
from symnets.device import model_device, usable_device
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
class TrainedClassifier:
    """A classifier after its training.

    Attributes:
        net: the trained net, in eval mode, on the device of the configuration.
        initial: the net before training, on the same device.
        train: training images and classes, on the same device.
        test: test images and classes, on the same device.
        history: recorded observables.
        row: verdict, errors, numbers of parameters and steps.
    """

    net: nn.Module
    initial: nn.Module
    train: Batch
    test: Batch
    history: History
    row: dict[str, Scalar]


def initial_classifier(config: ClassifierConfig) -> nn.Module:
    """The initial net of a configuration, on its device; torch's global generators are not changed.

    Weights are sampled on the CPU and are the same for any device.
    """
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which also seeds the generators of all GPUs.
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
) -> TrainedClassifier:
    """Train a classifier.

    Args:
        config: architecture, images and training.
        callbacks: called after each step. Unless all of them have `state_dict` and `load_state_dict`, a run
            that was killed starts again from the beginning.
        observables: recorded in the history.
        record: the steps at which observables are recorded; by default only the last.
        precision: of the training steps. With "bfloat16" `state.model` is a `MixedPrecision`; measurements
            are always in float32. It is not a field of the configuration, whose runs are in float32.

    Raises:
        KeyboardInterrupt: after Ctrl-C.
        ValueError: the device is not available.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision: expected one of {get_args(Precision)}, got {precision!r}")
    net = initial_classifier(config)
    train, test = classified_images(config, usable_device(config.device))
    initial = copy.deepcopy(net).eval()
    optimizer = _optimizer(net, config)
    schedule = learning_rate(optimizer, config.steps, decay="cosine", warmup=config.steps // 10)
    state = TrainState(net if precision == "float32" else MixedPrecision(net), optimizer, schedule)
    # A training can be resumed on another device.
    identity = {name: value for name, value in vars(config).items() if name != "device"}
    checkpoints = checkpoint(state, fingerprint(identity | {"precision": precision}), callbacks)
    examples = TensorPairs(train.inputs, train.targets, augmentation(config, train.inputs.shape[1:]))
    loader = Loader(examples, config.batch_size, shuffle=True, seed=config.seed)
    trainer = Trainer(
        first_of(max_steps(config.steps), diverged()),
        observables=observables or {},
        record=record or every(10 * config.steps),
        callbacks=[ReportProgress(config.steps), *callbacks, *checkpoints],
        on_interrupt="raise",
    )
    if state.step < config.steps:
        trainer.fit(descend(state, cross_entropy, loader))
    net.eval()
    return TrainedClassifier(net, initial, train, test, state.history, _row(config, state, train, test))


def _optimizer(net: nn.Module, config: ClassifierConfig) -> torch.optim.Optimizer:
    # On a GPU the number of kernel launches limits small nets; the fused optimizer has one for all weights.
    fused = True if model_device(net).type == "cuda" else None
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
    """The columns that all experiments on classifiers have; a net that diverged has chance-level errors."""
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
    """A net with training steps in mixed precision: convolutions and linear maps in bfloat16.

    Operations that torch's autocast excludes are computed in float32; weights, their gradients and the logits
    are float32. In eval mode all of the net is computed in float32: D, G and R are differences of outputs,
    for which bfloat16 with its 8 binary digits is too coarse. Deformations of images are never in bfloat16.

    Args:
        net: a classifier.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n classes"]:
        """Logits of the classes."""
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.training):
            return self.net(images).to(images.dtype)


class ReportProgress(Callback):
    """Report the progress of a training to the sweep."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def after_step(self, state: TrainState) -> None:
        """Report the fraction of steps and the last loss; on a GPU only if the loss was read anyway."""
        if isinstance(state.last_loss, Tensor):
            return
        report_progress(min(state.step / self.steps, 1.0), f"step {state.step:,}, loss {state.loss:.3g}")
