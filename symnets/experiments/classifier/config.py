"""Configuration of an image net and of its training."""

import difflib
from dataclasses import dataclass
from typing import Literal

from symnets.data.images.load import NAMES
from symnets.experiments.ranges import at_least, check_ranges, more_than, within
from symnets.models.image_nets.choose import IMAGE_NETS

Augment = Literal["none", "diffeo", "crop", "crop-flip"]


@dataclass(frozen=True)
class ClassifierConfig:
    """An image net, its images, and how it is trained.

    AdamW or SGD on cross-entropy; the learning rate rises linearly over the first tenth of the steps and
    falls as a cosine to a hundredth of its top. How many steps is decided by the number of images: `epochs`
    passes, but between `min_steps` and `max_steps`. Few images need more passes than many to be fitted, and
    passes over many cost more than they teach: with a fixed number of either, small training sets would be
    trained far beyond the fit, or large ones not up to it. Rows tell how well they were fitted.
    """

    net: str = "vgg_bn"
    """One of `symnets.models.image_nets.IMAGE_NETS`."""
    width: float = 1.0
    """Factor of all hidden numbers of channels and units."""
    data: str = "mnist"
    """Images: "digits", "mnist", "fashion-mnist", "cifar10"."""
    n_train: int = 1000
    """P, number of images to train on, as many of each class."""
    n_test: int = 2000
    """Images to test on, the same for all seeds."""
    epochs: int = 20
    """Passes over the images, within the limits on steps."""
    min_steps: int = 800
    """The least number of steps."""
    max_steps: int = 2000
    """The largest number of steps."""
    batch_size: int = 32
    """Images a step."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """SGD has momentum 0.9."""
    rate: float = 4e-3
    """Largest learning rate."""
    weight_decay: float = 1e-2
    """Of AdamW it is decoupled from the gradient; of SGD it is a term of the gradient."""
    augment: Augment = "crop"
    """What happens to training images: nothing, random deformations, shifts, or shifts and reflections."""
    fitted_below: float = 0.02
    """A net is FITTED if its training error is not above this."""
    seed: int = 0
    """Of images, initial weights, batches, deformations and noise."""
    data_seed: int | None = None
    """Of the training images, if all seeds shall see the same ones."""
    device: str = "cpu"
    """Where the net is trained and measured: cpu, cuda, cuda:1, ... All that is random is drawn on the CPU
    and is the same on any device; results differ by rounding."""

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            width=more_than(0),
            n_train=at_least(10),
            n_test=at_least(10),
            epochs=at_least(1),
            min_steps=at_least(1),
            max_steps=at_least(1),
            batch_size=at_least(2),
            rate=more_than(0),
            weight_decay=at_least(0),
            fitted_below=within(0, 1),
            seed=at_least(0),
            data_seed=at_least(0),
        )
        _known("net", self.net, IMAGE_NETS)
        _known("data", self.data, NAMES)
        if self.min_steps > self.max_steps:
            raise ValueError(
                f"min_steps, max_steps: expected the first not above the second, "
                f"got {self.min_steps} and {self.max_steps}"
            )
        if self.n_train % self.batch_size == 1:
            raise ValueError(
                f"batch_size: {self.n_train} images in batches of {self.batch_size} leave one image alone, "
                "which a batch normalisation may not take; choose another size"
            )

    @property
    def steps(self) -> int:
        """Steps of the training."""
        an_epoch = -(-self.n_train // self.batch_size)
        return min(max(self.epochs * an_epoch, self.min_steps), self.max_steps)


def _known(field: str, value: str, names: object) -> None:
    known = list(names)  # pyright: ignore[reportArgumentType, reportCallIssue]
    if value not in known:
        near = difflib.get_close_matches(value, known, n=1, cutoff=0.0)[0]
        raise ValueError(f"{field}: unknown {value!r}; did you mean {near!r}? Known: {', '.join(known)}")
