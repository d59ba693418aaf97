"""Lazy and feature regimes: gradient flow of nets whose scale α̃ sets how far their weights have to move."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from symnets.data import Batch
from symnets.device import usable_device
from symnets.loss import Loss
from symnets.models import Convolutional, Dense, Scaled
from symnets.setups._dense_nets import LOSSES, member_trainer
from symnets.setups._held_out import held_out
from symnets.setups._regime_config import RegimeConfig
from symnets.setups._regime_start import regime_inputs, regime_net, regime_patterns
from symnets.sweeps import Scalar
from symnets.training import (
    MSE,
    Callback,
    Criterion,
    Members,
    PointwiseLoss,
    TrainState,
    gradient_flow,
)


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
        model: the nets f with weights w, all members.
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

    def initial_model(self) -> Dense | Convolutional:
        """A copy of the model with the weights w0, in which the same parameters require gradients."""
        model = copy.deepcopy(self.model)
        model.load_state_dict(self.start.state_dict())
        return model

    def rows(self, configs: Sequence[RegimeConfig]) -> list[dict[str, Scalar]]:
        """The columns that all experiments on regimes have, one row for each net.

        `weight_change` is |w - w0| / |w0|; `norm` is that of the predictor on test patterns, <F²>^(1/2);
        `train_loss` is the mean of ℓ, without the prefactor. Without test patterns `test_error` and `norm`
        are NaN.
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


def weight_change(model: nn.Module, start: nn.Module) -> Tensor:
    """Relative change |w - w0| / |w0| of the weights of each member, (S,)."""
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
        configs: configurations of equal `batch_key`.
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

    def flow(state: TrainState, loss: Loss, train: Batch) -> Iterator[TrainState]:
        return gradient_flow(
            state,
            loss,
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

    return train_in_regime(configs, callbacks, flow)


def train_in_regime(
    configs: Sequence[RegimeConfig],
    callbacks: Sequence[Callback],
    dynamics: Callable[[TrainState, Loss, Batch], Iterator[TrainState]],
    optimizer: Callable[[Sequence[nn.Parameter]], Optimizer] | None = None,
) -> TrainedRegime:
    """Train the predictor α̃ (f(w) - f(w0)) of nets that differ only in their seeds.

    Args:
        configs: configurations of equal `batch_key`.
        callbacks: as in `train_regime`.
        dynamics: the motion of the weights of a state, for a loss and the training patterns.
        optimizer: makes the optimiser of the trained parameters, for dynamics that need one.
    """
    first = configs[0]
    device, dtype = usable_device(first.device), getattr(torch, first.dtype)
    tasks = [regime_patterns(config) for config in configs]
    train = Batch(regime_inputs(first, [t.x_train for t in tasks]), torch.stack([t.y_train for t in tasks]))
    test = Batch(regime_inputs(first, [t.x_test for t in tasks]), torch.stack([t.y_test for t in tasks]))
    nets: Any = [regime_net(config, train.inputs.shape[2:]) for config in configs]
    model = type(nets[0]).stack(nets).to(device, dtype)
    predictor = Scaled(model, first.alpha_tilde, keep_start=True)
    trained = [p for p in model.parameters() if p.requires_grad]
    state = TrainState(predictor, None if optimizer is None else optimizer(trained))
    trainer = member_trainer(state, configs, callbacks, budget=first.budget)
    loss = MSE() if first.loss == "mse" else LOSSES[first.loss]()
    train = train.to(device)
    trainer.fit(dynamics(state, Rescaled(loss, first.loss_scale), train))
    assert state.members is not None
    start: Any = predictor.start
    return TrainedRegime(model, start, predictor, state.members, train, test.to(device))
