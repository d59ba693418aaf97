"""From the start: what a net has learned, f(w, x) - f(w0, x)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.models.dense import Dense


class FromStart(nn.Module):
    """Members less what they answered before they were trained: f(w, x) - f(w0, x), zero at first.

    A wide net answers with a random function of order one before it is trained, and on patterns that it is
    not trained on part of that function stays. It does not get smaller with the width, so it hides what
    does (Chizat, Oyallon, Bach 2019, arXiv:1812.07956, use the same difference).

    Args:
        net: w, its parameters are those that are trained.
        start: w0; `net` as it is now, if not given.
    """

    def __init__(self, net: Dense, start: Dense | None = None) -> None:
        super().__init__()
        self.net = net
        frozen = start if start is not None else net.select(range(net.members or 0))
        # In a list, so that its weights are no parameters of this module: no optimiser shall see them.
        self._frozen = [frozen.requires_grad_(False)]

    @property
    def members(self) -> int | None:
        """Number of nets."""
        return self.net.members

    @property
    def start(self) -> Dense:
        """The nets before they were trained."""
        return self._frozen[0]

    def forward(self, x: Float[Tensor, "*members n d_in"]) -> Float[Tensor, "members n"]:
        """f(w, x) - f(w0, x)."""
        with torch.no_grad():
            before = self.start(x)
        return self.net(x) - before

    def select(self, indices: Sequence[int] | Tensor) -> "FromStart":
        """Some of the members, copied."""
        return FromStart(self.net.select(indices), self.start.select(indices))
