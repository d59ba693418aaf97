"""Distributed training: several processes train one model, each on its part of every batch."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

_TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others, which may still read their data."""
_LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Environment variables that torchrun sets."""

Arrays = TypeVar("Arrays")


@dataclass(frozen=True)
class Processes:
    """Processes that train one model together; by default this one alone.

    All have the same weights and optimiser. Process r evaluates n_r of the n examples of a batch, see
    `Loader`. The gradients of its mean loss are weighted by n_r / n and summed over the processes. Each
    process then takes the step, on the mean over the whole batch, that one process alone would take, up to
    rounding.
    Decisions, such as when to stop, are functions of quantities that are the same in all processes.

    The gradients are summed by one all-reduce after the backward pass. torch's `DistributedDataParallel` is
    not used: it takes the plain mean of the gradients, which is wrong if the parts of a batch differ in size,
    and its hooks do not suit the second derivatives in losses of forces, which do not reach every weight. It
    overlaps communication with computation, which is faster only for models of more than about 10⁸ weights.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def part(self, examples: Sequence[Any]) -> Sequence[Any]:
        """This process's part of a sequence, one of `size` parts of about equal length.

        A sequence of fewer than `size` elements is not divided: each process gets all of it.
        """
        if len(examples) < self.size:
            return examples
        return examples[len(examples) * self.rank // self.size : len(examples) * (self.rank + 1) // self.size]

    def sum(self, values: Tensor) -> Tensor:
        """Sum over processes, in place, of a tensor of the same shape in all of them.

        Raises:
            ConnectionError: another process ended, or did not answer for half an hour.
        """
        if self.size > 1:
            try:
                self.all_reduce(values)
            except RuntimeError as error:
                raise ConnectionError(
                    f"process {self.rank} of {self.size}: another process of this training ended or does not "
                    f"answer ({str(error).partition(chr(10))[0]:.120}), so this one ends, too; the last "
                    "checkpoint is whole, and --resume continues from it with any number of processes"
                ) from error
        return values

    def all_reduce(self, values: Tensor) -> None:
        """Sum over processes, in place, by `torch.distributed`; errors are torch's."""
        dist.all_reduce(values)

    def sum_gradients(self, weights: Sequence[Tensor]) -> None:
        """Replace gradients by their sums over processes; None stays where no process has a gradient."""
        if self.size == 1:
            return
        used = self.sum(torch.tensor([p.grad is not None for p in weights], dtype=torch.int64, device="cpu"))
        # One sum for each dtype and device; all models here have one dtype on one device.
        kinds: dict[Any, list[Tensor]] = {}
        for weight, count in zip(weights, used.tolist(), strict=True):
            if count:
                kinds.setdefault((weight.dtype, weight.device), []).append(weight)
        for members in kinds.values():
            given = [torch.zeros_like(p) if p.grad is None else p.grad for p in members]
            flat = self.sum(torch.cat([gradient.reshape(-1) for gradient in given]))
            for weight, total in zip(members, flat.split([p.numel() for p in members]), strict=True):
                weight.grad = total.view_as(weight)

    @torch.no_grad()
    def check_same_start(self, step: int, *models: nn.Module) -> None:
        """Check that all processes are at the same step, and copy the weights of the first to the others.

        Initial weights, and reference energies that are fitted, may differ by rounding on machines with
        different hardware.

        Raises:
            ValueError: the steps differ because the processes do not see the same files.
        """
        if self.size == 1:
            return
        steps = self._of_all(step)
        with self.synchronized():
            if (steps != step).any():
                raise ValueError(
                    f"checkpoint: the processes read those of steps {steps.tolist()}; expected one file, in "
                    "an output folder that all machines share"
                )
        for value in (v for model in models for v in (*model.parameters(), *model.buffers())):
            if value.is_floating_point():
                value.copy_(self.sum(value.clone() if self.first else torch.zeros_like(value)))

    def agree(self, seconds: float, interrupted: bool) -> tuple[float, bool]:
        """Seconds of the first process, and whether any process was interrupted; all get the same."""
        if self.size == 1:
            return seconds, interrupted
        own = [seconds if self.first else 0.0, float(interrupted)]
        first, interruptions = self.sum(torch.tensor(own, dtype=torch.float64, device="cpu")).tolist()
        return first, bool(interruptions)

    def gathered(self, arrays: Arrays) -> Arrays:
        """A dataclass of numpy arrays, each joined along its first axis over processes in their order."""
        if self.size == 1:
            return arrays
        joined = {}
        for field in fields(arrays):  # pyright: ignore[reportArgumentType]
            own: np.ndarray = getattr(arrays, field.name)
            lengths = self._of_all(len(own))
            start, total = int(lengths[: self.rank].sum()), int(lengths.sum())
            whole = np.zeros((total, *own.shape[1:]), own.dtype)
            whole[start : start + len(own)] = own
            joined[field.name] = self.sum(torch.from_numpy(whole)).numpy()
        return replace(arrays, **joined)  # pyright: ignore

    @contextmanager
    def synchronized(self) -> Iterator[None]:
        """Context at whose end the processes wait for each other; if one has an error, all end.

        If several have an error, only that of lowest rank raises it, so that it is printed once. Such
        contexts may be nested.

        Raises:
            SystemExit: another process raises its error.
        """
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            if getattr(error, "known_to_all", False):  # from a context inside this one, which all have left
                raise
            failure = error
        failed = self._of_all(failure is not None)
        if not failed.any():
            return
        if failure is not None and int(failed.argmax()) == self.rank:
            failure.known_to_all = True  # pyright: ignore[reportAttributeAccessIssue]
            raise failure
        raise SystemExit(0)  # torchrun kills the others once one has failed, perhaps before it could print

    def _of_all(self, number: int) -> Tensor:
        """The values of `number` in all processes, in the order of their ranks."""
        numbers = torch.zeros(self.size, dtype=torch.int64, device="cpu")
        numbers[self.rank] = number
        return self.sum(numbers)


def is_first_process() -> bool:
    """Whether this process was started alone or is the first of torchrun's, and so writes and prints."""
    return os.environ.get("RANK", "0") == "0" or not all(name in os.environ for name in _LAUNCHED)


@contextmanager
def joined_processes(device: str = "cpu") -> Iterator[Processes]:
    """Context with the processes that torchrun started together, or with this one alone.

    On CPUs they communicate by gloo. On GPUs they communicate by NCCL, and the n-th process of a machine uses
    its n-th GPU.

    Args:
        device: name of the device, see `usable_device`; for several processes "cuda" without a number.

    Raises:
        ValueError: the device is a GPU with a number, or this machine has fewer GPUs than processes.
    """
    size = int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in _LAUNCHED) else 1
    if size == 1:
        yield Processes()
        return
    if dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size())
        return
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if on_gpu and torch.cuda.is_available():  # otherwise `usable_device` says why not
        _take_gpu(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=_TIMEOUT)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def _take_gpu(device: str) -> None:
    """Make the GPU whose number is this process's local rank the current one."""
    local, available = int(os.environ.get("LOCAL_RANK", os.environ["RANK"])), torch.cuda.device_count()
    if device not in ("cuda", "auto"):
        raise ValueError(
            f"device: expected cuda for several processes, each of which takes a GPU of its own, got "
            f"{device}; choose the GPUs with the environment variable CUDA_VISIBLE_DEVICES"
        )
    if local >= available:
        raise ValueError(
            f"device: process {local} of this machine finds no GPU of its own, since there are {available}; "
            f"start {available} processes, with --nproc-per-node {available}"
        )
    torch.cuda.set_device(local)
