"""Nets of any regime trained by Adam, where gradient flow takes too long: convolutional nets on images."""

from collections.abc import Iterator, Sequence
from functools import partial

from torch.optim import Adam

from symnets.data import Batch
from symnets.loss import Loss
from symnets.setups._regime_config import RegimeConfig
from symnets.setups._regimes import TrainedRegime, train_in_regime
from symnets.training import Callback, Criterion, TrainState, descend_members


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

    def descent(state: TrainState, loss: Loss, train: Batch) -> Iterator[TrainState]:
        criterion = Criterion(tolerance=first.tolerance)
        return descend_members(
            state, loss, train, budget=first.budget, criterion=criterion, stride=first.stride
        )

    return train_in_regime(configs, callbacks, descent, partial(Adam, lr=rate, eps=1e-16))
