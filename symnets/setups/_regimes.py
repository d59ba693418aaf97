"""Lazy and feature regimes: gradient flow of nets whose scale α̃ sets how far their weights have to move."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from symnets.config import SEED, at_least, between, check_ranges, fingerprint, more_than
from symnets.data import (
    Batch,
    BinaryTask,
    balanced_subset,
    binary_task,
    load_images,
    parity_labels,
    to_sphere,
)
from symnets.device import usable_device
from symnets.models import Convolutional, Dense, Scaled, find_activation
from symnets.setups._dense_nets import LOSSES, ReportProgress, seeded_generator
from symnets.setups._held_out import held_out
from symnets.sweeps import Scalar, checkpoint
from symnets.training import (
    MSE,
    Callback,
    Criterion,
    Members,
    PointwiseLoss,
    Trainer,
    TrainState,
    all_finished,
    every,
    gradient_flow,
)

RegimeLoss = Literal["quadratic_hinge", "hinge", "soft_hinge", "cross_entropy", "exponential", "mse"]


@dataclass(frozen=True)
class RegimeConfig:
    """A net of scale α̃, its patterns, and its gradient flow.

    The predictor is F = α̃ (f(w) - f(w0)), with a net f in the mean-field parametrisation, and follows

        w' = -∇L,   L = (h / α̃²) (1/P) Σ_μ ℓ(F_μ, y_μ),

    until all patterns are satisfied. α̃ is α √h for the predictor α (f(w) - f(w0)) of a net in the NTK
    parametrisation: √h is the usual net with α = 1. Training is lazy for α̃ >> 1, where weights hardly move,
    and learns features for α̃ << 1; the crossover is at α̃ = O(1) whatever the width (Geiger et al. 2020,
    arXiv:1906.08034).

    **Time.** With the prefactor h/α̃² the predictor of a lazy net obeys F' = -(1/P) Σ_μ Θ ℓ'_μ with the
    tangent kernel Θ = O(1) of the NTK parametrisation, so that times can be compared over α̃ and h. The
    published code has 1/α̃ in place of h/α̃²: its times are longer by a factor h/α̃.
    """

    n_train: int = 256
    """P, number of training patterns."""
    n_test: int = 4096
    """Patterns to test on."""
    data: str = "stripe"
    """A task of `symnets.data.binary_task`: points or images."""
    dim: int = 5
    """d, input dimension: of the points, or the principal components of images."""
    pixels: int | None = None
    """Rows and columns of images that are learned as they are, not as principal components (`dim` is not
    used then): averages over squares of pixels, minus the mean image, normalised to |x|² = number of pixels.
    """
    net: Literal["dense", "convolutional"] = "dense"
    """`Dense`, or `Convolutional` with kernels of 3 x 3 and stride 2, which needs `pixels`."""
    width: int = 100
    """h, units or channels of a hidden layer."""
    depth: int = 1
    """L, number of hidden layers."""
    activation: str = "relu"
    """Activation function of the hidden layers."""
    bias: bool = True
    """Whether hidden layers have biases. The output has none: its kernel would be h times that of the
    weights."""
    bias_deviation: float = 1.0
    """Standard deviation of the initial biases."""
    alpha_tilde: float = 1.0
    """α̃, the scale of the predictor."""
    loss: RegimeLoss = "quadratic_hinge"
    """Loss ℓ of one pattern."""
    tolerance: float = 1e-2
    """A pattern is satisfied if its gap 1 - y F (for "mse" |F - y|) is at most this; the flow ends when all
    are."""
    budget: int = 20_000
    """Largest number of trial steps of the flow."""
    max_time: float | None = None
    """Time t at which the flow ends."""
    output_tolerance: float = 5e-2
    """Largest error of the predictor on the training patterns in one step of the flow."""
    slope_tolerance: float = 0.5
    """Largest relative error of the mean slope in one step, where the error of the weights exceeds
    `weight_tolerance`."""
    weight_tolerance: float = 1e-2
    """Error of the weights in one step, relative to their norm, up to which that of the slope does not count.
    """
    stride: int = 10
    """Trial steps between two checks, after which callbacks are called."""
    dtype: Literal["float32", "float64"] = "float64"
    """Precision of weights and patterns."""
    seed: int = 0
    """Seed of patterns and initial weights."""
    data_seed: int | None = None
    """Seed of the patterns, to give all values of `seed` the same patterns."""
    device: str = "cpu"
    """Where nets are trained: cpu, cuda, cuda:1, ..., or auto."""

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            n_train=at_least(2),
            n_test=at_least(0),
            dim=at_least(1),
            pixels=at_least(1),
            width=at_least(1),
            depth=at_least(1),
            bias_deviation=at_least(0),
            alpha_tilde=more_than(0),
            tolerance=between(0, 1),
            budget=at_least(1),
            max_time=more_than(0),
            output_tolerance=more_than(0),
            slope_tolerance=more_than(0),
            stride=at_least(1),
            seed=SEED,
            data_seed=SEED,
        )
        find_activation(self.activation)
        if self.net == "convolutional" and self.pixels is None:
            raise ValueError("pixels: expected rows of the images for a convolutional net, got None")

    @property
    def loss_scale(self) -> float:
        """Prefactor h/α̃² of the loss."""
        return self.width / self.alpha_tilde**2


@dataclass(frozen=True)
class Rescaled:
    """A pointwise loss times a constant.

    Attributes:
        loss: the loss.
        factor: the constant.
    """

    loss: PointwiseLoss
    factor: float

    @property
    def finite_range(self) -> bool:
        """Whether the loss vanishes beyond the margin."""
        return self.loss.finite_range

    @property
    def labels(self) -> bool:
        """Whether targets are labels ±1."""
        return self.loss.labels

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.factor * self.loss(outputs, targets)

    def d1(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """First derivative in the output."""
        return self.factor * self.loss.d1(outputs, targets)

    def d2(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Second derivative in the output."""
        return self.factor * self.loss.d2(outputs, targets)


@dataclass(frozen=True)
class TrainedRegime:
    """Nets at the end of their flow.

    Attributes:
        model: the nets f, with weights w; members.
        start: the same nets with weights w0.
        predictor: α̃ (f(w) - f(w0)).
        members: verdicts, times, steps and kinks of the members.
        train: training patterns, inputs (S, P, ...) and labels (S, P).
        test: test patterns, (S, n_test, ...) and (S, n_test).
    """

    model: Dense | Convolutional
    start: Dense | Convolutional
    predictor: Scaled
    members: Members
    train: Batch
    test: Batch

    def rows(self, configs: Sequence[RegimeConfig]) -> list[dict[str, Scalar]]:
        """The columns that all experiments on regimes have, one row for each net.

        `test_error` is NaN without test patterns; `weight_change` is |w - w0| / |w0|; `norm` is that of the
        predictor on test patterns, <F²>^(1/2); `train_loss` is the mean of ℓ, without the prefactor.
        """
        tested = held_out(self.predictor, self.test) if self.test.targets.numel() else None
        change, members = weight_change(self.model, self.start), self.members
        rows = []
        for k, config in enumerate(configs):
            unsatisfied = int(members.n_unsatisfied[k])
            n_weights = sum(w[k].numel() for w in self.model.weights)
            rows.append(
                {
                    "verdict": members.verdicts[k],
                    "test_error": float("nan") if tested is None else float(tested.error[k]),
                    "norm": float("nan") if tested is None else float(tested.norm[k]),
                    "train_loss": float(members.loss[k]) / config.loss_scale,
                    "n_unsatisfied": unsatisfied,
                    "fraction_satisfied": 1 - unsatisfied / config.n_train,
                    "time": float(members.time[k]),
                    "steps_done": int(members.steps[k]),
                    "kinks": int(members.kinks[k]),
                    "weight_change": float(change[k]),
                    "n_weights": n_weights,
                    "unsatisfied_per_weight": unsatisfied / n_weights,
                }
            )
        return rows


def weight_change(model: torch.nn.Module, start: torch.nn.Module) -> Tensor:
    """|w - w0| / |w0| of each member, (S,)."""
    squares = [
        torch.stack([(w - w0).flatten(1).square().sum(1), w0.flatten(1).square().sum(1)])
        for w, w0 in zip(model.parameters(), start.parameters(), strict=True)
    ]
    moved, first = torch.stack(squares).sum(0).detach().double().cpu()
    return (moved / first).sqrt()


def train_regime(configs: Sequence[RegimeConfig], callbacks: Sequence[Callback] = ()) -> TrainedRegime:
    """Gradient flow of nets that differ only in their seeds, until all their patterns are satisfied.

    Verdicts are those of `gradient_flow`: SAT when no gap exceeds `tolerance`.

    Args:
        configs: of equal `batch_key`.
        callbacks: called after every `stride` trial steps with the state: `state.model` is the `Scaled`
            predictor and `state.members` has times and numbers of unsatisfied patterns. Unless all of them
            have `state_dict` and `load_state_dict`, a run that was killed starts again from the beginning.

    Raises:
        KeyboardInterrupt: after Ctrl-C.
        ValueError: the device is not available.

    Example:
        trained = train_regime([RegimeConfig(alpha_tilde=1e-3, seed=s) for s in range(5)])
        print(trained.members.verdicts)
    """
    first = configs[0]
    device, dtype = usable_device(first.device), getattr(torch, first.dtype)
    tasks = [regime_patterns(config) for config in configs]
    train = Batch(_inputs(first, [t.x_train for t in tasks]), torch.stack([t.y_train for t in tasks]))
    test = Batch(_inputs(first, [t.x_test for t in tasks]), torch.stack([t.y_test for t in tasks]))
    nets: Any = [regime_net(config, train.inputs.shape[2:]) for config in configs]
    model = type(nets[0]).stack(nets).to(device, dtype)
    predictor = Scaled(model, first.alpha_tilde, keep_start=True)
    state = TrainState(predictor)
    identity = fingerprint({str(k): vars(config) for k, config in enumerate(configs)})
    checkpoints = checkpoint(state, identity, callbacks)
    trainer = Trainer(
        all_finished(),
        record=every(10 * first.budget),
        callbacks=[ReportProgress(first.budget), *callbacks, *checkpoints],
        on_interrupt="raise",
    )
    loss = MSE() if first.loss == "mse" else LOSSES[first.loss]()
    dynamics = gradient_flow(
        state,
        Rescaled(loss, first.loss_scale),
        train,
        budget=first.budget,
        max_time=first.max_time,
        tolerance=first.output_tolerance,
        slope_tolerance=first.slope_tolerance,
        weight_tolerance=first.weight_tolerance,
        method="chebyshev",
        criterion=Criterion(tolerance=first.tolerance),
        stride=first.stride,
    )
    trainer.fit(dynamics)
    assert state.members is not None
    start: Any = predictor.start
    return TrainedRegime(model, start, predictor, state.members, train.to(device), test.to(device))


def _inputs(config: RegimeConfig, x: Sequence[Tensor]) -> Tensor:
    """Inputs of all members, (S, n, d), or (S, n, channels, rows, columns) for a convolutional net."""
    stacked = torch.stack(list(x))
    if config.net == "dense" or config.pixels is None:
        return stacked
    return stacked.unflatten(2, (-1, config.pixels, config.pixels))


def regime_net(config: RegimeConfig, shape: Sequence[int]) -> Dense | Convolutional:
    """The initial net of a configuration, in the mean-field parametrisation, sampled in float64.

    Args:
        config: the configuration.
        shape: of an input.
    """
    options: Any = {
        "activation": config.activation,
        "parametrization": "mean_field",
        "bias": config.bias,
        "generator": (generator := seeded_generator(config.seed, 0)),
        "dtype": torch.float64,
    }
    if config.net == "convolutional":
        net = Convolutional((shape[0], shape[1], shape[2]), config.width, config.depth, **options)
    else:
        net = Dense(shape[0], config.width, config.depth, **options)
    if config.bias:
        *hidden, output = net.biases
        output.requires_grad_(False)
        for bias in hidden:
            normal = torch.randn(bias.shape, generator=generator, dtype=torch.float64)
            bias.data.copy_(config.bias_deviation * normal)
    return net


def regime_patterns(config: RegimeConfig) -> BinaryTask:
    """Patterns of a configuration, sampled with `data_seed`, or `seed` if it is None; images are flat."""
    seed = config.seed if config.data_seed is None else config.data_seed
    dtype, n_train, n_test = getattr(torch, config.dtype), config.n_train, config.n_test
    if config.pixels is None:
        return binary_task(
            config.data, n_train=n_train, n_test=n_test, dim=config.dim, seed=seed, dtype=dtype
        )
    everything = _image_parity(config.data, config.pixels)
    train = balanced_subset(everything.y_train, n_train, seed)
    test = balanced_subset(everything.y_test, n_test, 0)
    return BinaryTask(
        everything.x_train[train].to(dtype),
        everything.y_train[train].to(dtype),
        everything.x_test[test].to(dtype),
        everything.y_test[test].to(dtype),
    )


@lru_cache(maxsize=4)
def _image_parity(name: str, pixels: int) -> BinaryTask:
    """All images of a data set, smaller, centred, with |x|² = number of pixels; labels are the parity."""
    parts = [load_images(name, "train"), load_images(name, "test")]
    small = [F.adaptive_avg_pool2d(part.scaled(torch.float32), pixels) for part in parts]
    mean = small[0].mean(0)
    x = [to_sphere((images - mean).flatten(1)) for images in small]
    y = [parity_labels(part.labels) for part in parts]
    return BinaryTask(x[0], y[0], x[1], y[1])
