"""Nets of any regime trained by Adam, where gradient flow takes too long: convolutional nets on images."""

from collections.abc import Sequence
from typing import Any

import torch

from symnets.config import fingerprint
from symnets.data import Batch
from symnets.device import usable_device
from symnets.models import Scaled
from symnets.setups._dense_nets import LOSSES, ReportProgress
from symnets.setups._regime_config import RegimeConfig
from symnets.setups._regime_start import regime_inputs, regime_net, regime_patterns
from symnets.setups._regimes import Rescaled, TrainedRegime
from symnets.sweeps import checkpoint
from symnets.training import (
    MSE,
    Callback,
    Criterion,
    Trainer,
    TrainState,
    all_finished,
    descend_members,
    every,
)


def descend_regime(
    configs: Sequence[RegimeConfig], callbacks: Sequence[Callback] = (), *, rate: float = 0.05
) -> TrainedRegime:
    """Train nets that differ only in their seeds, by full-batch Adam instead of the flow of `train_regime`.

    Patterns, nets, predictor F = α̃ (f(w) - f(w0)) and loss are those of `train_regime`. Training stops when
    no gap exceeds `tolerance`, or after `budget` steps. Adam does not depend on the prefactor of the loss,
    and changes the outputs by about α̃ · `rate` in one step.

    Args:
        configs: configurations of equal `batch_key`; the tolerances of the flow are not used.
        callbacks: called after each check.
        rate: Adam's learning rate, in units of the initial weights.

    Raises:
        KeyboardInterrupt: after Ctrl-C.
        ValueError: the device is not available.
    """
    first = configs[0]
    device, dtype = usable_device(first.device), getattr(torch, first.dtype)
    tasks = [regime_patterns(config) for config in configs]
    train = Batch(regime_inputs(first, [t.x_train for t in tasks]), torch.stack([t.y_train for t in tasks]))
    test = Batch(regime_inputs(first, [t.x_test for t in tasks]), torch.stack([t.y_test for t in tasks]))
    nets: Any = [regime_net(config, train.inputs.shape[2:]) for config in configs]
    model = type(nets[0]).stack(nets).to(device, dtype)
    predictor = Scaled(model, first.alpha_tilde, keep_start=True)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=rate, eps=1e-16)
    state = TrainState(predictor, optimizer)
    identity = fingerprint({str(k): vars(config) for k, config in enumerate(configs)})
    trainer = Trainer(
        all_finished(),
        record=every(10 * first.budget),
        callbacks=[ReportProgress(first.budget), *callbacks, *checkpoint(state, identity, callbacks)],
        on_interrupt="raise",
    )
    loss = MSE() if first.loss == "mse" else LOSSES[first.loss]()
    criterion = Criterion(tolerance=first.tolerance)
    trainer.fit(
        descend_members(
            state,
            Rescaled(loss, first.loss_scale),
            train.to(device),
            budget=first.budget,
            criterion=criterion,
            stride=first.stride,
        )
    )
    assert state.members is not None
    start: Any = predictor.start
    return TrainedRegime(model, start, predictor, state.members, train.to(device), test.to(device))
