"""Dynamics: how weights move, as endless generators of training states."""

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from symnets.data import Batch, Loader
from symnets.loss import Loss, mean_loss
from symnets.training._distributed import Processes
from symnets.training._state import TrainState


@contextmanager
def safe_convolutions() -> Iterator[None]:
    """Run convolutions without oneDNN on processors whose widest vectors are AVX2.

    On such processors oneDNN's backward pass of narrow nets writes beyond its memory: training a small ResNet
    with torch 2.13 ended in "corrupted double-linked list" in most attempts, and in none without oneDNN or
    with its instructions restricted to SSE4.1. With AVX-512, and on a GPU, nothing changes.
    """
    before = torch.backends.mkldnn.enabled
    if torch.backends.cpu.get_cpu_capability() == "AVX2":
        torch.backends.mkldnn.enabled = False  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before  # pyright: ignore[reportAttributeAccessIssue]


def descend(
    state: TrainState,
    loss: Loss,
    loader: Loader,
    *,
    clip_norm: float | None = None,
    processes: Processes = Processes(),  # noqa: B008 (it cannot be changed)
) -> Iterator[TrainState]:
    """Stochastic gradient descent: one step of the optimiser per batch, on the mean loss of its examples.

    An ensemble may be trained in one call: each member takes the steps that it would take alone, provided
    that the optimiser treats each number by itself (SGD, Adam) and the gradient is not clipped. `state.loss`
    is the mean over the members whose loss is finite, so that one diverged member does not stop the others.

    The batch of step n is a function of n alone (`Loader.epoch`), so that a restored state continues with the
    batches of an uninterrupted training.

    Args:
        state: where to start; it is updated in place and yielded after each step.
        loss: a loss with one value per example, or their mean such as `nn.CrossEntropyLoss()`.
        loader: yields the batches of examples.
        clip_norm: largest norm of the gradient (Euclidean, over all weights).
        processes: processes that train the model together; the loader of each yields its part of the batches.

    Raises:
        ConnectionError: another process ended, see `Processes`.
        ValueError: the state has no optimiser of this model, one that needs a closure (LBFGS), or a scheduler
            that needs a metric (ReduceLROnPlateau); the loader is not a `symnets.data.Loader`; or the loss is
            neither per example nor a mean.
    """
    model = state.model
    optimizer = stepping_optimizer(state, "descend")
    loader, members = _epochs(loader), getattr(model, "members", None)
    weights = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    device = weights[0].device
    while True:
        number, start = divmod(state.step, len(loader))
        for index, batch in enumerate(loader.epoch(number, start), start):
            model.train()
            optimizer.zero_grad()
            inputs, targets = Batch.of(batch).to(device)
            with safe_convolutions():
                each = mean_loss(loss, model(inputs), targets, members=members)
                if processes.size > 1:
                    each = each * loader.share(index)
                # The sum over members gives each the gradient of its own mean. Only the weights get
                # gradients: positions are differentiable, too, where there are forces, and theirs would cost
                # time.
                each.sum().backward(inputs=weights)
            processes.sum_gradients(weights)
            last_loss = _mean(processes.sum(each.detach()))
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(weights, clip_norm)
            state.learning_rate = float(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if state.scheduler is not None:
                state.scheduler.step()
            state.step += 1
            state.epoch = state.step / len(loader)
            # Left on the GPU, so that the next batch is made while the GPU works.
            state.last_loss = last_loss if device.type == "cuda" else float(last_loss)
            yield state


def _mean(each: Float[Tensor, "*members"]) -> Tensor:
    """Loss of a net, or mean over the members whose loss is finite; NaN if there is none."""
    if each.ndim == 0:
        return each
    if each.device.type == "cuda":  # indexing with a mask would wait for the GPU
        return each.where(each.isfinite(), torch.nan).nanmean()
    return each[each.isfinite()].mean()


def averaged(dynamics: Iterator[TrainState], decay: float) -> Iterator[TrainState]:
    """Exponential moving average of the weights, kept in `state.averaged`:

        average ← d average + (1 - d) weights,     d = min(decay, (1 + step) / (10 + step)).

    Buffers are not averaged.

    Args:
        dynamics: iterator of states, such as `descend` returns.
        decay: largest value of d.

    Raises:
        ValueError: `state.averaged` is None; start from `with_average(state)`.
    """
    for state in dynamics:
        if state.averaged is None:
            raise ValueError("averaged: state.averaged is None; start from with_average(state)")
        update = get_ema_multi_avg_fn(min(decay, (1 + state.step) / (10 + state.step)))
        with torch.no_grad():
            update(list(state.averaged.parameters()), list(state.model.parameters()), state.step)  # pyright: ignore
        yield state


def with_average(state: TrainState) -> TrainState:
    """The state, with a copy of its model in `state.averaged` where `averaged` keeps the average."""
    state.averaged = copy.deepcopy(state.model).eval().requires_grad_(False)
    return state


def stepping_optimizer(state: TrainState, name: str) -> Optimizer:
    """The optimiser of a state, if dynamics can step it and its scheduler without further arguments.

    Raises:
        ValueError: there is no optimiser, it is that of another model, it needs a closure (LBFGS), or the
            scheduler needs a metric (ReduceLROnPlateau) or another argument.
    """
    optimizer = state.optimizer
    if optimizer is None:
        raise ValueError(f"{name}: state.optimizer is None; give one, such as torch.optim.Adam(...)")
    if needed := _arguments_of_step(optimizer):
        raise ValueError(
            f"{name}: expected an optimiser of one gradient a step such as Adam, got "
            f"{type(optimizer).__name__}, whose step needs {needed} to evaluate the loss several times; for "
            "small dense nets use levenberg_marquardt"
        )
    if needed := _arguments_of_step(state.scheduler):
        raise ValueError(
            f"{name}: expected a scheduler stepped without a metric, got {type(state.scheduler).__name__}, "
            f"whose step needs {needed}; leave state.scheduler None and call scheduler.step({needed}) in "
            "after_record of a Callback, or use symnets.training.learning_rate"
        )
    own = {id(p) for p in state.model.parameters() if p.requires_grad}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            f"{name}: expected an optimiser of the trainable parameters of state.model, got one that has "
            "none of them; build it from model.parameters() of this model, with requires_grad=True"
        )
    return optimizer


def without_optimizer(state: TrainState, name: str) -> None:
    """Check that a state has no optimiser and no scheduler, for dynamics that have steps of their own.

    Raises:
        ValueError: the state has one of them.
    """
    for part in ("optimizer", "scheduler"):
        if (value := getattr(state, part)) is not None:
            raise ValueError(f"{name}: expected state.{part}=None, got {type(value).__name__}; it takes none")


def _arguments_of_step(stepper: Any) -> str:
    """Names of the required arguments, except self, of the `step` of an optimiser or a scheduler."""
    if stepper is None:
        return ""
    _, *arguments = inspect.signature(type(stepper).step).parameters.values()
    named = [a for a in arguments if a.kind not in (a.VAR_POSITIONAL, a.VAR_KEYWORD)]
    return ", ".join(a.name for a in named if a.default is a.empty)


def _epochs(loader: Any) -> Loader:
    """A loader whose batches depend on the number of the epoch alone.

    Raises:
        ValueError: `loader` is another iterable, such as torch's DataLoader or a list of batches.
    """
    if not hasattr(loader, "epoch") or not hasattr(loader, "__len__"):
        raise ValueError(
            f"descend: expected a symnets.data.Loader, whose batches depend on its seed and the epoch alone, "
            f"got a {type(loader).__name__}; use Loader(TensorPairs(inputs, targets), batch_size)"
        )
    return loader
