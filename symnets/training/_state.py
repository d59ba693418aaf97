"""History: the rows a training recorded.

TrainState: where a training stands, all that is needed to go on from there.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from symnets.training._members import Members


@dataclass
class History:
    """Rows of observables, oldest first, and why the training ended.

    Attributes:
        rows: one dict a record, with `step`, `epoch`, `seconds`, `learning_rate`, `loss` and the
            observables under their names.
        reason: what the stop rule said; empty while training.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    reason: str = ""

    def values(self, name: str) -> list[float]:
        """Values of one observable, in the rows that have it."""
        return [row[name] for row in self.rows if name in row]

    def is_best(self, name: str) -> bool:
        """Whether the last row holds the lowest value so far of an observable."""
        *earlier, last = self.values(name) or [float("inf")]
        return last < min(earlier, default=float("inf"))

    def table(self) -> pd.DataFrame:
        """The rows as a table."""
        return pd.DataFrame(self.rows)


@dataclass
class TrainState:
    """What dynamics move and yield after each step; stop rules and observables read it.

    Attributes:
        model: the network in training.
        optimizer: moves its weights; None for dynamics that need none.
        scheduler: sets the learning rate, stepped once an update.
        averaged: running average of the model, if the dynamics keep one.
        step: updates done.
        epoch: passes through the data done, fractional.
        last_loss: mean loss of the last batch, before its update; of an ensemble, the mean over its members.
            On a GPU a tensor until someone reads `loss`.
        learning_rate: of the last update.
        seconds: wall time spent, kept by the trainer, over all sessions of a resumed run.
        history: rows recorded so far, kept by the trainer.
        members: where each net of an ensemble stands, if the dynamics move an ensemble.
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
        """`last_loss` as a number; the first to read it after a step waits for the device."""
        if isinstance(self.last_loss, Tensor):
            self.last_loss = float(self.last_loss)
        return self.last_loss

    @loss.setter
    def loss(self, value: float) -> None:
        self.last_loss = value

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))

    @property
    def best_guess(self) -> nn.Module:
        """The model to measure: the running average if there is one."""
        return self.model if self.averaged is None else self.averaged

    def freeze(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON from which `thaw` restores the state exactly."""
        optimizer = self.optimizer.state_dict() if self.optimizer else {"state": {}, "param_groups": None}
        slots = {
            f"{index}/{name}": value
            for index, slot in optimizer["state"].items()
            for name, value in slot.items()
        }
        tensors = {f"model/{k}": v for k, v in self.model.state_dict().items()}
        if self.averaged is not None:
            tensors |= {f"averaged/{k}": v for k, v in self.averaged.state_dict().items()}
        tensors |= {f"optimizer/{k}": v for k, v in slots.items() if isinstance(v, Tensor)}
        members: dict[str, Any] | None = None
        if self.members is not None:
            standing, members = self.members.freeze()
            tensors |= {f"members/{k}": v for k, v in standing.items()}
        tensors["generator/cpu"] = torch.get_rng_state()
        if self._on_gpu:
            tensors["generator/cuda"] = torch.cuda.get_rng_state(self.device)
        header = {
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
        return tensors, header

    def thaw(self, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
        """Restore what `freeze` took, on whatever device, into a state built with the same arguments."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.model.load_state_dict(part("model/"))
        if averaged := part("averaged/"):
            if self.averaged is None:
                raise ValueError("the checkpoint holds averaged weights, but this run keeps none")
            self.averaged.load_state_dict(averaged)
        if header.get("members") is not None:
            self.members = Members.thaw(part("members/"), header["members"])
        slots: dict[int, dict[str, Any]] = {}
        for key, value in (part("optimizer/") | header["optimizer_numbers"]).items():
            index, name = key.split("/", 1)
            slots.setdefault(int(index), {})[name] = value
        if self.optimizer is not None:
            self.optimizer.load_state_dict({"state": slots, "param_groups": header["optimizer"]})
        if self.scheduler is not None:
            self.scheduler.load_state_dict(header["scheduler"])
        torch.set_rng_state(tensors["generator/cpu"])
        # Of the one GPU of the training, wherever it goes on; it has a generator of its own.
        if self._on_gpu and "generator/cuda" in tensors:
            torch.cuda.set_rng_state(tensors["generator/cuda"], self.device)
        self.step, self.epoch, self.seconds = header["step"], header["epoch"], header["seconds"]
        self.loss, self.learning_rate = header["loss"], header["learning_rate"]
        self.history = History(list(header["history"]))

    @property
    def _on_gpu(self) -> bool:
        return self.device.type == "cuda" and torch.cuda.is_available()
