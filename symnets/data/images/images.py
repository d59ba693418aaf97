"""Images with the number of their class."""

import difflib
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """Labelled images of one shape.

    Raises:
        ValueError: as many labels as images are expected, and each the number of a class.
    """

    pixels: UInt8[Tensor, "images channels rows columns"]
    labels: Int64[Tensor, "images"]
    classes: tuple[str, ...]
    """Names, in the order of their numbers."""
    name: str
    """Of the data set."""
    white: int = 255
    """The largest value of a pixel."""

    def __post_init__(self) -> None:
        if len(self.pixels) != len(self.labels):
            raise ValueError(f"{self.name}: got {len(self.pixels)} images and {len(self.labels)} labels")
        wrong = (self.labels < 0) | (self.labels >= len(self.classes))
        if wrong.any():
            row = int(wrong.nonzero()[0, 0])
            raise ValueError(
                f"{self.name}: label {int(self.labels[row])} of image {row} is no class; "
                f"expected 0 to {len(self.classes) - 1}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | Tensor) -> "Images":
        """Some of the images: a slice, a tensor of indices, or a mask."""
        return replace(self, pixels=self.pixels[index], labels=self.labels[index])

    def scaled(self, dtype: torch.dtype = torch.float32) -> Float[Tensor, "images channels rows columns"]:
        """Pixels from 0 (black) to 1 (white)."""
        return self.pixels.to(dtype) / self.white

    def flat(self) -> UInt8[Tensor, "images features"]:
        """Pixels as they are, an image a row."""
        return self.pixels.flatten(1)

    def class_number(self, name: int | str) -> int:
        """The number of a class given by number or name.

        Raises:
            ValueError: there is no such class; the message gives the nearest names.
        """
        if isinstance(name, int) and 0 <= name < len(self.classes):
            return name
        if name in self.classes:
            return self.classes.index(str(name))
        near = difflib.get_close_matches(str(name), self.classes) or self.classes
        raise ValueError(
            f"{self.name}: no class {name!r}; expected a number below {len(self.classes)}, "
            f"or a name such as {', '.join(near)}"
        )
