"""A guard against memory that convolutions corrupt.

Dynamics: how weights move, as endless generators of training states.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from symnets.data import Loader
from symnets.training._state import TrainState


@contextmanager
def sound_convolutions() -> Iterator[None]:
    """Within, convolutions on processors that have AVX2 and nothing wider do without oneDNN.

    Its backward pass of narrow nets writes where it must not there: training a small ResNet ended in
    "corrupted double-linked list" in most attempts with torch 2.13 on such a processor, and in none without
    oneDNN, nor with its instructions restricted to SSE4.1. Where there is AVX-512 nothing changes, nor does
    anything on a GPU, which has convolutions of its own.
    """
    before = torch.backends.mkldnn.enabled
    if torch.backends.cpu.get_cpu_capability() == "AVX2":
        torch.backends.mkldnn.enabled = False  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before  # pyright: ignore[reportAttributeAccessIssue]


Loss = Callable[[Any, Any], Float[Tensor, " n"]]
"""(outputs, targets) -> one loss an example, not reduced; of an ensemble (members, examples)."""


def descend(
    state: TrainState, loss: Loss, loader: Loader, *, clip_norm: float | None = None
) -> Iterator[TrainState]:
    """Stochastic gradient descent: one optimiser step a batch, on the mean loss of its examples.

    Of an ensemble every member takes the steps it would take alone, if the optimiser treats each
    number by itself (SGD, Adam) and the gradient is not clipped. `state.loss` is the mean over the
    members whose loss is finite, so that one that diverged does not stop the others.

    The batch of step n is a function of n alone (`Loader.epoch`), so a restored state goes on
    with the data it would have seen.

    Args:
        state: where to start; it is moved and yielded after each step.
        loss: per example.
        loader: examples.
        clip_norm: longest gradient let through (Euclidean norm over all weights).
    """
    model, optimizer = state.model, state.optimizer
    if optimizer is None:
        raise ValueError("descend: state.optimizer is None; give one, such as torch.optim.Adam(...)")
    weights = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    device = weights[0].device
    while True:
        number, start = divmod(state.step, len(loader))
        for batch in loader.epoch(number, start):
            model.train()
            optimizer.zero_grad()
            inputs, targets = batch.to(device)
            # Of an ensemble each member descends its own mean: the sum over the leading axis.
            with sound_convolutions():
                each = loss(model(inputs), targets).mean(-1)
                # To the weights only: forces leave the graph differentiable in positions, too, at a cost.
                each.sum().backward(inputs=weights)
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(weights, clip_norm)
            state.learning_rate = float(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if state.scheduler is not None:
                state.scheduler.step()
            state.step += 1
            state.epoch = state.step / len(loader)
            last_loss = _mean(each.detach())
            # A GPU is not waited for: while it works, the next batch is made.
            state.last_loss = last_loss if device.type == "cuda" else float(last_loss)
            yield state


def _mean(each: Float[Tensor, "*members"]) -> Tensor:
    """Loss of a net, or the mean over the members whose loss is finite; NaN if there is none."""
    if each.ndim == 0:
        return each
    if each.device.type == "cuda":  # which an index of unknown length would wait for
        return each.where(each.isfinite(), torch.nan).nanmean()
    return each[each.isfinite()].mean()


def averaged(dynamics: Iterator[TrainState], decay: float) -> Iterator[TrainState]:
    """Keep in `state.averaged` an exponential moving average of the weights,

        average ← d average + (1 - d) weights,     d = min(decay, (1 + step) / (10 + step)).

    Buffers are not averaged. `state.averaged` must be a copy of the model, see `with_average`.
    """
    for state in dynamics:
        if state.averaged is None:
            raise ValueError("averaged: state.averaged is None; start from with_average(state)")
        update = get_ema_multi_avg_fn(min(decay, (1 + state.step) / (10 + state.step)))
        with torch.no_grad():
            update(list(state.averaged.parameters()), list(state.model.parameters()), state.step)  # pyright: ignore
        yield state


def with_average(state: TrainState) -> TrainState:
    """Give a state a copy of its model for `averaged` to move."""
    state.averaged = copy.deepcopy(state.model).eval().requires_grad_(False)
    return state
