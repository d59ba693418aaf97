"""The training of an image net."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from symnets.data.loader import Batch, Loader
from symnets.data.tensor_pairs import TensorPairs
from symnets.experiments import progress
from symnets.experiments.classifier.augment import augmentation
from symnets.experiments.classifier.config import ClassifierConfig
from symnets.experiments.classifier.images import classified_images
from symnets.experiments.config import fingerprint
from symnets.experiments.experiment import Scalar
from symnets.experiments.nets import generator
from symnets.experiments.resume import checkpoint
from symnets.models.image_nets.choose import image_net
from symnets.observables.classification import classification_error
from symnets.training.callback import Callback
from symnets.training.classification import cross_entropy
from symnets.training.dynamics import descend
from symnets.training.history import History
from symnets.training.schedule import Record, every, learning_rate
from symnets.training.state import TrainState
from symnets.training.stopping import diverged, first_of, max_steps
from symnets.training.trainer import INTERRUPTED, Observable, Trainer

N_CLASSES = 10
SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "fashion-mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
"""Channels, rows and columns of the images."""


@dataclass(frozen=True)
class Trained:
    """An image net at the end of its training.

    Attributes:
        net: after the last step, in eval mode.
        initial: before the first.
        train: images and classes it was trained on.
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
    """The net of a config before it is trained; torch's global generator is left as found."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(config.seed, 0).initial_seed())
        return image_net(config.net, SHAPES[config.data], N_CLASSES, width=config.width)


def train_classifier(
    config: ClassifierConfig,
    callbacks: Sequence[Callback] = (),
    *,
    observables: Mapping[str, Observable] | None = None,
    record: Record | None = None,
) -> Trained:
    """Train an image net.

    Args:
        config: which, on what, and how long.
        callbacks: told of every step. With one that does not keep what it remembers
            (`training.checkpoint.Remembers`) a run that is killed begins anew.
        observables: measured on the way, into the history.
        record: after which steps; only at the end by default.

    Raises:
        KeyboardInterrupt: Ctrl-C was heard.
    """
    train, test = classified_images(config)
    net = initial_net(config)
    initial = copy.deepcopy(net).eval()
    optimizer = _optimizer(net, config)
    schedule = learning_rate(optimizer, config.steps, decay="cosine", warmup=config.steps // 10)
    state = TrainState(net, optimizer, schedule)
    kept = checkpoint(state, fingerprint(vars(config)), callbacks)
    examples = TensorPairs(train.inputs, train.targets, augmentation(config, train.inputs.shape[1:]))
    loader = Loader(examples, config.batch_size, shuffle=True, seed=config.seed)
    trainer = Trainer(
        first_of(max_steps(config.steps), diverged()),
        observables=observables or {},
        record=record or every(10 * config.steps),
        callbacks=[Tell(config.steps), *callbacks, *kept],
    )
    if state.step < config.steps:
        reason = trainer.fit(descend(state, cross_entropy, loader)).reason
        if reason == INTERRUPTED:
            raise KeyboardInterrupt
    net.eval()
    return Trained(net, initial, train, test, state.history, _row(config, state, train, test))


def _optimizer(net: nn.Module, config: ClassifierConfig) -> torch.optim.Optimizer:
    if config.optimiser == "adamw":
        return torch.optim.AdamW(net.parameters(), lr=config.rate, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        net.parameters(), lr=config.rate, momentum=0.9, weight_decay=config.weight_decay, nesterov=True
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


class Tell(Callback):
    """Tells the sweep how far a training has come."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def after_step(self, state: TrainState) -> None:
        """Fraction of the steps, and the loss of the last batch."""
        progress.report(min(state.step / self.steps, 1.0), f"step {state.step:,}, loss {state.loss:.3g}")
