"""Nets of the landscape experiments: a configuration, and their minimisation to a verdict, many at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Generator, Tensor, nn

from symnets.config import at_least, between, check_ranges, fingerprint, more_than, within
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
    """A dense net, its patterns, and how it is minimised.

    The set-up of Geiger et al. 2019 (arXiv:1809.09349) and Spigler et al. 2019 (arXiv:1810.09665):
    ReLU nets with biases, orthogonal initial weights, Adam on all patterns at once, and a learning
    rate that falls with the width as h^(-3/2).
    """

    n_train: int
    """P, number of patterns."""
    width: int
    """h, units of a hidden layer."""
    depth: int = 3
    """L, number of hidden layers."""
    data: str = "random"
    """"random" points on a sphere, or images: "digits", "mnist", "fashion-mnist", "cifar10"."""
    dim: int = 10
    """d, input dimension: of the random points, or the principal components of images."""
    n_test: int = 0
    """Patterns to test on."""
    activation: str = "relu"
    """Of the hidden layers."""
    bias: bool = True
    """Whether layers have biases, zero at first."""
    loss: LossName = "quadratic_hinge"
    """ℓ."""
    rate: float = 0.5
    """Adam's learning rate is rate · h^(-3/2) at first."""
    final_rate: float = 0.01
    """Factor that the learning rate reaches at the last step, exponentially."""
    steps: int = 10_000
    """Budget of steps."""
    tolerance: float = 1e-3
    """A pattern is unsatisfied if its gap 1 - y f is larger: nets that are minimised with margin 1 are
    SAT once they fulfil margin 1 - tolerance. With 1e-6 the verdict would be the same, thousands of steps
    later."""
    dtype: Literal["float32", "float64"] = "float32"
    """Of weights and patterns."""
    seed: int = 0
    """Of patterns and initial weights."""
    data_seed: int | None = None
    """Of the patterns, if all seeds shall see the same ones."""
    device: str = "cpu"
    """Where nets are minimised: cpu, cuda, cuda:1, ..., or auto. Weights and patterns are drawn on the CPU,
    the same ones for any device; results differ by rounding. Processes of a sweep share a GPU, each with a
    context of its own, and take turns on it: one or two (`--workers 1`) are enough."""

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
            seed=at_least(0),
            data_seed=at_least(0),
        )
        find_activation(self.activation)

    @property
    def n_weights(self) -> int:
        """N: the weights, without biases."""
        return count_weights(self.dim, self.width, self.depth)


@dataclass(frozen=True)
class Minimised:
    """Nets at the end of their minimisation.

    Attributes:
        model: all members.
        predictor: what was minimised, the model or what it was wrapped in.
        members: verdicts, losses, ...
        train: patterns, (S, P, d) and (S, P), on the device of the model.
        test: patterns, (S, n_test, d) and (S, n_test), as well.
    """

    model: Dense
    predictor: nn.Module
    members: Members
    train: Batch
    test: Batch

    def rows(self, configs: Sequence[NetConfig]) -> list[dict[str, Scalar]]:
        """What every experiment tells of a run."""
        found = margins(self.predictor, self.train, tolerance=configs[0].tolerance)
        unsatisfied, misclassified = found.n_unsatisfied.tolist(), found.n_misclassified.tolist()
        hinge, members = found.loss.tolist(), self.members
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


def batch_key(config: NetConfig) -> tuple:
    """Nets of one shape, budget and number of patterns can be minimised in one call."""
    values = {name: value for name, value in vars(config).items() if name != "seed"}
    return tuple(values.items())


def minimise(
    configs: Sequence[NetConfig],
    callbacks: Sequence[Callback] = (),
    criterion: Criterion | None = None,
    *,
    wrap: Callable[[Dense], nn.Module] = lambda model: model,
) -> Minimised:
    """Minimise nets that differ in the seed alone.

    Args:
        configs: of equal `batch_key`.
        callbacks: told of every look at the members. With one that does not keep what it remembers
            (`training.checkpoint.Stateful`) a run that is killed begins anew.
        criterion: when a member is finished; by default once no gap exceeds the tolerance.
        wrap: makes of the members the module that is minimised, such as `MinusInitial`; it has their
            parameters, `members` and `select`.

    Raises:
        KeyboardInterrupt: Ctrl-C was heard.
        ValueError: the device cannot be used here.
    """
    first = configs[0]
    device, dtype = usable_device(first.device), getattr(torch, first.dtype)
    train, test = (batch.to(device) for batch in _batches([patterns(config) for config in configs]))
    model = Dense.stack([initial_net(config) for config in configs]).to(device, dtype)
    # No pattern may be lost in the ε of Adam: with Δ = 1e-5 gradients are far below its usual 1e-8.
    optimizer = torch.optim.Adam(model.parameters(), lr=first.rate * first.width**-1.5, eps=1e-16, fused=True)
    schedule = learning_rate(optimizer, first.steps, decay="exponential", final=first.final_rate)
    predictor = wrap(model)
    state = TrainState(predictor, optimizer, schedule)
    said = fingerprint({str(k): vars(config) for k, config in enumerate(configs)})
    kept = checkpoint(state, said, callbacks)
    trainer = Trainer(
        all_finished(),
        record=every(10 * first.steps),
        callbacks=[Tell(first.steps), *callbacks, *kept],
        on_interrupt="raise",
    )
    criterion = criterion or Criterion(tolerance=first.tolerance)
    dynamics = descend_members(
        state, LOSSES[first.loss](), train, budget=first.steps, criterion=criterion, stride=20
    )
    trainer.fit(dynamics)
    assert state.members is not None
    return Minimised(model, predictor, state.members, train, test)


def initial_net(config: NetConfig) -> Dense:
    """The net of a config before it is minimised, drawn in float64."""
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
    """Patterns of a config: of its `data_seed`, or else of its seed."""
    return binary_task(
        config.data,
        n_train=config.n_train,
        n_test=config.n_test,
        dim=config.dim,
        seed=config.seed if config.data_seed is None else config.data_seed,
        dtype=getattr(torch, config.dtype),
    )


def seeded_generator(seed: int, stream: int) -> Generator:
    """A random generator for one purpose of a seed; other streams are independent of it."""
    state = np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(state >> np.uint64(1)))


def _batches(tasks: Sequence[BinaryTask]) -> tuple[Batch, Batch]:
    def stack(name: str) -> Tensor:
        return torch.stack([getattr(task, name) for task in tasks])

    return Batch(stack("x_train"), stack("y_train")), Batch(stack("x_test"), stack("y_test"))


class Tell(Callback):
    """Tells the sweep how far a minimisation has come."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def after_step(self, state: TrainState) -> None:
        """Fraction of the budget, and how many still move."""
        moving = 0 if state.members is None else int(state.members.active.sum())
        report_progress(min(state.step / self.steps, 1.0), f"step {state.step:,}, {moving} moving")
