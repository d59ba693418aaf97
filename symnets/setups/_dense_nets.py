"""Dense nets of the landscape experiments: configuration, and minimisation of many nets at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Generator, Tensor, nn

from symnets.config import SEED, at_least, between, check_ranges, fingerprint, more_than, within
from symnets.data import Batch, BinaryTask, binary_task
from symnets.device import usable_device
from symnets.models import Dense, count_weights, find_activation
from symnets.observables import margins
from symnets.sweeps import Scalar, checkpoint, report_progress
from symnets.training import (
    Callback,
    Criterion,
    CrossEntropy,
    Exponential,
    Hinge,
    Members,
    PointwiseLoss,
    QuadraticHinge,
    SoftHinge,
    Trainer,
    TrainState,
    all_finished,
    descend_members,
    every,
    learning_rate,
)

LOSSES: dict[str, Callable[[], PointwiseLoss]] = {
    "quadratic_hinge": QuadraticHinge,
    "hinge": Hinge,
    "soft_hinge": SoftHinge,
    "cross_entropy": CrossEntropy,
    "exponential": Exponential,
}
LossName = Literal["quadratic_hinge", "hinge", "soft_hinge", "cross_entropy", "exponential"]


@dataclass(frozen=True)
class NetConfig:
    """Configuration of a dense net, its patterns and the minimisation of its loss.

    The set-up of Geiger et al. 2019 (arXiv:1809.09349) and Spigler et al. 2019 (arXiv:1810.09665):
    ReLU nets with biases, orthogonal initial weights, full-batch Adam, and a learning rate that falls with
    the width as h^(-3/2).
    """

    n_train: int
    """P, number of patterns."""
    width: int
    """h, units of each hidden layer."""
    depth: int = 3
    """L, number of hidden layers."""
    data: str = "random"
    """"random" points on a sphere, or images: "digits", "mnist", "fashion-mnist", "cifar10"."""
    dim: int = 10
    """d, input dimension: of the random points, or the principal components of images."""
    n_test: int = 0
    """Number of test patterns."""
    activation: str = "relu"
    """Activation function of the hidden layers."""
    bias: bool = True
    """Whether layers have biases, initially zero."""
    loss: LossName = "quadratic_hinge"
    """Loss ℓ of one pattern."""
    rate: float = 0.5
    """Adam's initial learning rate is rate · h^(-3/2)."""
    final_rate: float = 0.01
    """Ratio of the last learning rate to the initial one; it decays exponentially."""
    steps: int = 10_000
    """Budget of steps."""
    tolerance: float = 1e-3
    """A pattern is unsatisfied if its gap 1 - y f is larger than this: nets trained with margin 1 are SAT
    once all margins are at least 1 - tolerance. 1e-6 gives the same verdicts, thousands of steps later."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of weights and patterns."""
    seed: int = 0
    """Seed of patterns and initial weights."""
    data_seed: int | None = None
    """Seed of the patterns, to give all values of `seed` the same patterns."""
    device: str = "cpu"
    """Device for the minimisation: cpu, cuda, cuda:1, ..., or auto. Weights and patterns are sampled on the
    CPU and are the same for any device; results differ by rounding. The processes of a sweep share a GPU and
    take turns on it, each with its own context: one or two (`--workers 1`) are enough."""

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            n_train=at_least(2),
            width=at_least(1),
            depth=at_least(1),
            dim=at_least(2),
            n_test=at_least(0),
            rate=more_than(0),
            final_rate=within(1e-12, 1),
            steps=at_least(1),
            tolerance=between(0, 1),
            seed=SEED,
            data_seed=SEED,
        )
        find_activation(self.activation)

    @property
    def n_weights(self) -> int:
        """N, the number of weights without biases."""
        return count_weights(self.dim, self.width, self.depth)


@dataclass(frozen=True)
class Minimised:
    """Nets at the end of the minimisation of their losses.

    Attributes:
        model: the nets, all members.
        predictor: the module that was trained: the model, or its wrapper.
        members: verdicts, losses and steps of the members.
        train: training patterns, (S, P, d) and (S, P), on the device of the model.
        test: test patterns, (S, n_test, d) and (S, n_test), on the same device.
    """

    model: Dense
    predictor: nn.Module
    members: Members
    train: Batch
    test: Batch

    def rows(self, configs: Sequence[NetConfig]) -> list[dict[str, Scalar]]:
        """The columns that all experiments on dense nets have, one row for each net."""
        measured = margins(self.predictor, self.train, tolerance=configs[0].tolerance)
        unsatisfied, misclassified = measured.n_unsatisfied.tolist(), measured.n_misclassified.tolist()
        hinge, members = measured.loss.tolist(), self.members
        return [
            {
                "verdict": members.verdicts[k],
                "n_weights": config.n_weights,
                "ratio": config.n_train / config.n_weights,
                "n_unsatisfied": unsatisfied[k],
                "unsatisfied_per_weight": unsatisfied[k] / config.n_weights,
                "n_misclassified": misclassified[k],
                "final_loss": float(members.loss[k]),
                "hinge_loss": hinge[k],
                "gradient_norm": float(members.gradient_norm[k]),
                "steps_done": int(members.steps[k]),
            }
            for k, config in enumerate(configs)
        ]


def batch_key(config: Any) -> tuple:
    """All fields except the seed: nets that differ only in their seeds are trained in one call."""
    values = {name: value for name, value in vars(config).items() if name != "seed"}
    return tuple(values.items())


def minimise(
    configs: Sequence[NetConfig],
    callbacks: Sequence[Callback] = (),
    criterion: Criterion | None = None,
    *,
    wrap: Callable[[Dense], nn.Module] = lambda model: model,
) -> Minimised:
    """Minimise the losses of nets that differ only in their seeds.

    Args:
        configs: configurations of equal `batch_key`.
        callbacks: called after each step. Unless all of them have `state_dict` and `load_state_dict`, a run
            that was killed starts again from the beginning.
        criterion: when a member is finished; by default once no gap exceeds the tolerance.
        wrap: maps the members to the module that is trained, such as `Scaled`, which has their parameters,
            `members` and `select`.

    Raises:
        KeyboardInterrupt: after Ctrl-C.
        ValueError: the device is not available.
    """
    first = configs[0]
    device, dtype = usable_device(first.device), getattr(torch, first.dtype)
    train, test = (batch.to(device) for batch in _batches([patterns(config) for config in configs]))
    model = Dense.stack([initial_net(config) for config in configs]).to(device, dtype)
    # At gaps Δ = 1e-5 gradients are far below the usual ε = 1e-8 of Adam, which would suppress the steps.
    optimizer = torch.optim.Adam(model.parameters(), lr=first.rate * first.width**-1.5, eps=1e-16, fused=True)
    schedule = learning_rate(optimizer, first.steps, decay="exponential", final=first.final_rate)
    predictor = wrap(model)
    state = TrainState(predictor, optimizer, schedule)
    trainer = member_trainer(state, configs, callbacks, budget=first.steps)
    criterion = criterion or Criterion(tolerance=first.tolerance)
    dynamics = descend_members(
        state, LOSSES[first.loss](), train, budget=first.steps, criterion=criterion, stride=20
    )
    trainer.fit(dynamics)
    assert state.members is not None
    return Minimised(model, predictor, state.members, train, test)


def member_trainer(
    state: TrainState, configs: Sequence[Any], callbacks: Sequence[Callback], *, budget: int
) -> Trainer:
    """Trainer of nets that differ only in their seeds, until all have finished.

    It reports the progress to the sweep and writes checkpoints; the state is restored if there is one.

    Args:
        state: initial state of the nets.
        configs: the configuration of each.
        callbacks: called after each check.
        budget: largest number of steps.
    """
    identity = fingerprint({str(k): vars(config) for k, config in enumerate(configs)})
    checkpoints = checkpoint(state, identity, callbacks)
    return Trainer(
        all_finished(),
        record=every(10 * budget),
        callbacks=[ReportProgress(budget), *callbacks, *checkpoints],
        on_interrupt="raise",
    )


def initial_net(config: NetConfig) -> Dense:
    """The initial net of a configuration, sampled in float64."""
    return Dense(
        config.dim,
        config.width,
        config.depth,
        activation=config.activation,
        parametrization="standard",
        bias=config.bias,
        init="orthogonal",
        generator=seeded_generator(config.seed, 0),
        dtype=torch.float64,
    )


def patterns(config: NetConfig) -> BinaryTask:
    """Patterns of a configuration, sampled with `data_seed`, or with `seed` if it is None."""
    return binary_task(
        config.data,
        n_train=config.n_train,
        n_test=config.n_test,
        dim=config.dim,
        seed=config.seed if config.data_seed is None else config.data_seed,
        dtype=getattr(torch, config.dtype),
    )


def seeded_generator(seed: int, stream: int) -> Generator:
    """A random generator for a seed and a stream; different streams of a seed are independent."""
    state = np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(state >> np.uint64(1)))


def _batches(tasks: Sequence[BinaryTask]) -> tuple[Batch, Batch]:
    def stack(name: str) -> Tensor:
        return torch.stack([getattr(task, name) for task in tasks])

    return Batch(stack("x_train"), stack("y_train")), Batch(stack("x_test"), stack("y_test"))


class ReportProgress(Callback):
    """Report the progress of a minimisation to the sweep."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def after_step(self, state: TrainState) -> None:
        """Report the fraction of the budget and the number of active members."""
        n_active = 0 if state.members is None else int(state.members.active.sum())
        report_progress(min(state.step / self.steps, 1.0), f"step {state.step:,}, {n_active} nets active")
