"""From the start: what a net has learned, f(w, x) - f(w0, x)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from symnets.models.dense import Dense


class FromStart(nn.Module):
    """Members less what they answered before they were trained: f(w, x) - f(w0, x), zero at first.

    A wide net answers with a random function of order one before it is trained, and on patterns that it is
    not trained on part of that function stays. It does not get smaller with the width, so it hides what
    does (Chizat, Oyallon, Bach 2019, arXiv:1812.07956, use the same difference).

    w0 are buffers, copied: no optimiser sees them, and `to` and `state_dict` take them along.

    Args:
        net: w, its parameters are those that are trained.
        start: w0, of the same shape; `net` as it is now, if not given.
    """

    def __init__(self, net: Dense, start: Dense | None = None) -> None:
        super().__init__()
        self.net = net
        # Dots are not allowed in the names of buffers.
        self._names = {f"start_{k}": name for k, (name, _) in enumerate(net.named_parameters())}
        for name, value in zip(self._names, (start or net).parameters(), strict=True):
            self.register_buffer(name, value.detach().clone())

    @property
    def members(self) -> int | None:
        """Number of nets."""
        return self.net.members

    @property
    def input_axes(self) -> int:
        """As of the net."""
        return self.net.input_axes

    @property
    def start(self) -> Dense:
        """The nets before they were trained, copied."""
        values = [getattr(self, name) for name in self._names]
        return self.net._with(values, self.members).requires_grad_(False)

    def forward(self, x: Float[Tensor, "*members n d_in"]) -> Float[Tensor, "members n"]:
        """f(w, x) - f(w0, x)."""
        weights = {name: getattr(self, buffer) for buffer, name in self._names.items()}
        with torch.no_grad():
            before = functional_call(self.net, weights, (x,))
        return self.net(x) - before

    def select(self, indices: Sequence[int] | Tensor) -> "FromStart":
        """Some of the members, copied."""
        return FromStart(self.net.select(indices), self.start.select(indices))
