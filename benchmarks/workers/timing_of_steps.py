"""Times of a forward pass or a training step of a module, for benchmarks/plane.py."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def step_timer(
    module: nn.Module, x: Any, what: str, plain: Callable[[Any], torch.Tensor] = lambda out: out
) -> Callable[[], float]:
    """Function that runs a module once and returns the seconds.

    Args:
        module: the module to time.
        x: its input.
        what: "forward" for a pass in eval mode, "step" for a training step with AdamW.
        plain: function from the output of the module to its tensor.
    """
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        out = plain(module(x))
        if out.ndim == 2:
            labels = torch.arange(len(out)) % out.shape[1]
            nn.functional.cross_entropy(out, labels).backward()
        else:
            out.square().mean().backward()
        optimizer.step()

    def forward() -> None:
        with torch.no_grad():
            module(x)

    step()
    module.train(what == "step")

    def seconds() -> float:
        start = time.perf_counter()
        forward() if what == "forward" else step()
        return time.perf_counter() - start

    return seconds
