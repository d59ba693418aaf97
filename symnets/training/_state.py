"""State of a training run: model, optimiser, schedule, step, clock and the recorded history."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from symnets.device import model_device
from symnets.training._members import Members


@dataclass
class History:
    """Recorded observables of a training run, oldest first, and why it ended.

    Attributes:
        rows: one dict for each record, with `step`, `epoch`, `seconds`, `learning_rate`, `loss` and the
            observables by name.
        reason: the reason that the stop rule gave; empty during training.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    reason: str = ""

    def values(self, name: str) -> list[float]:
        """Values of an observable, in the rows that have it."""
        return [row[name] for row in self.rows if name in row]

    def best(self, name: str) -> int | None:
        """Index in `values(name)` of the lowest value, the first if there are several.

        NaN and infinity are never the lowest; None if there are no other values.
        """
        values = self.values(name)
        lowest = min((value for value in values if value < math.inf), default=None)
        return None if lowest is None else values.index(lowest)

    def is_best(self, name: str) -> bool:
        """Whether the last value of an observable is the lowest so far, which NaN and infinity never are."""
        return self.best(name) == len(self.values(name)) - 1

    def table(self) -> pd.DataFrame:
        """The rows as a table."""
        return pd.DataFrame(self.rows)


@dataclass
class TrainState:
    """State of a training run. Dynamics update and yield it; stop rules and observables read it.

    Attributes:
        model: the network that is trained.
        optimizer: optimiser of the weights; None for dynamics that need none.
        scheduler: learning-rate scheduler, stepped once after each update.
        averaged: running average of the model, if the dynamics keep one.
        step: number of updates so far.
        epoch: number of passes through the data so far, fractional.
        last_loss: mean loss of the last batch, before its update; for an ensemble, the mean over its members.
            On a GPU it is a tensor until `loss` is read.
        learning_rate: learning rate of the last update.
        seconds: wall time so far, summed over all sessions of a resumed run; kept by the trainer.
        history: rows recorded so far; kept by the trainer.
        members: progress of each member, if the dynamics train an ensemble.
    """

    model: nn.Module
    optimizer: Optimizer | None = None
    scheduler: LRScheduler | None = None
    averaged: nn.Module | None = None
    step: int = 0
    epoch: float = 0.0
    last_loss: float | Tensor = math.nan
    learning_rate: float = math.nan
    seconds: float = 0.0
    history: History = field(default_factory=History)
    members: Members | None = None

    @property
    def loss(self) -> float:
        """`last_loss` as a number; the first read after a step waits for the device."""
        if isinstance(self.last_loss, Tensor):
            self.last_loss = float(self.last_loss)
        return self.last_loss

    @loss.setter
    def loss(self, value: float) -> None:
        self.last_loss = value

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return model_device(self.model)

    @property
    def ema_model(self) -> nn.Module:
        """The running average of the model if there is one, otherwise the model: the one to measure."""
        return self.model if self.averaged is None else self.averaged

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON values from which `load_state_dict` restores the state exactly.

        Raises:
            ValueError: the state of the optimiser has values other than tensors and numbers (LBFGS: lists of
                tensors).
        """
        optimizer = self.optimizer.state_dict() if self.optimizer else {"state": {}, "param_groups": None}
        slots = {
            f"{index}/{name}": value
            for index, slot in optimizer["state"].items()
            for name, value in slot.items()
        }
        for name, value in slots.items():
            if not isinstance(value, Tensor | int | float | str | bool | None):
                raise ValueError(
                    f"checkpoint: expected tensors and numbers in the state of the optimiser, got a "
                    f"{type(value).__name__} in {type(self.optimizer).__name__} ({name}); train without "
                    "checkpoints, or with another optimiser"
                )
        tensors = {f"model/{k}": v for k, v in self.model.state_dict().items()}
        if self.averaged is not None:
            tensors |= {f"averaged/{k}": v for k, v in self.averaged.state_dict().items()}
        tensors |= {f"optimizer/{k}": v for k, v in slots.items() if isinstance(v, Tensor)}
        members: dict[str, Any] | None = None
        if self.members is not None:
            columns, members = split_tensors(self.members.state_dict())
            tensors |= {f"members/{k}": v for k, v in columns.items()}
        tensors["generator/cpu"] = torch.get_rng_state()
        if self._on_gpu:
            tensors["generator/cuda"] = torch.cuda.get_rng_state(self.device)
        return tensors | {
            "step": self.step,
            "epoch": self.epoch,
            "loss": self.loss,
            "learning_rate": self.learning_rate,
            "seconds": self.seconds,
            "history": self.history.rows,
            "members": members,
            "optimizer": optimizer["param_groups"],
            "optimizer_numbers": {k: v for k, v in slots.items() if not isinstance(v, Tensor)},
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, into a state built with the same arguments, on any device.

        Raises:
            ValueError: `state` has averaged weights, but this state has no average.
        """

        def part(prefix: str) -> dict[str, Any]:
            return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}

        self.model.load_state_dict(part("model/"))
        if averaged := part("averaged/"):
            if self.averaged is None:
                raise ValueError(
                    "checkpoint: it has averaged weights, but the state has none; use with_average(state)"
                )
            self.averaged.load_state_dict(averaged)
        if state.get("members") is not None:
            self.members = Members.from_state_dict(part("members/") | state["members"])
        slots: dict[int, dict[str, Any]] = {}
        for key, value in (part("optimizer/") | state["optimizer_numbers"]).items():
            index, name = key.split("/", 1)
            slots.setdefault(int(index), {})[name] = value
        if self.optimizer is not None:
            self.optimizer.load_state_dict({"state": slots, "param_groups": state["optimizer"]})
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["generator/cpu"])
        # A process trains on one GPU, whose generator is restored; it may continue on another GPU.
        if self._on_gpu and "generator/cuda" in state:
            torch.cuda.set_rng_state(state["generator/cuda"], self.device)
        self.step, self.epoch, self.seconds = state["step"], state["epoch"], state["seconds"]
        self.loss, self.learning_rate = state["loss"], state["learning_rate"]
        self.history = History(list(state["history"]))

    @property
    def _on_gpu(self) -> bool:
        return self.device.type == "cuda" and torch.cuda.is_available()


def split_tensors(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a state dict, and its other values."""
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    return tensors, {name: value for name, value in state.items() if name not in tensors}
