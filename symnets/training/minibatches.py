"""Minibatches: which patterns a step of stochastic descent sees."""

import torch
from jaxtyping import Int
from torch import Tensor

from symnets.data.loader import Loader


class Minibatches:
    """Numbers of the patterns of each step, the same for all members.

    Step n sees part n mod m of epoch n div m, where m is the number of batches of an epoch, in the order
    that a shuffled `Loader` of the same seed has: a function of the seed and n alone.

    Args:
        n: patterns.
        batch_size: patterns a step; the last step of an epoch sees what remains.
        seed: of the orders.
    """

    def __init__(self, n: int, batch_size: int, seed: int) -> None:
        numbers = torch.arange(n)
        self.loader = Loader(list(zip(numbers, numbers, strict=True)), batch_size, shuffle=True, seed=seed)
        self._epoch, self._order = -1, numbers

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self.loader)

    def at(self, step: int) -> Int[Tensor, " patterns"]:
        """Numbers of the patterns of a step."""
        epoch, part = divmod(step, len(self))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, torch.tensor(self.loader.order(epoch))
        return self._order[part * self.loader.batch_size :][: self.loader.batch_size]
