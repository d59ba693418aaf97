"""Nets of two hidden layers on the parity of MNIST digits, what the experiments on test errors share."""

from dataclasses import dataclass

from symnets.experiments.nets import NetConfig
from symnets.experiments.ranges import at_least, check_ranges


@dataclass(frozen=True)
class ImageNetConfig(NetConfig):
    """A net that is tested on patterns it was not trained on."""

    n_train: int = 500
    width: int = 20
    depth: int = 2
    data: str = "mnist"
    n_test: int = 8000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges("", self, n_test=at_least(1))
