"""PIL images as tensors, and back."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

INDEXED = ("1", "P")
"""Modes whose values are no brightness: bits, and numbers of colours. There is nothing between two."""


def from_pil(image: Any) -> Shaped[Tensor, "channels rows columns"]:
    """The values of a PIL image, in a dtype of their own."""
    values = np.array(image)
    return torch.from_numpy(values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0).copy())


def to_pil(values: Shaped[Tensor, "channels rows columns"], like: Any) -> Any:
    """A PIL image with other values, and the mode, palette and information of one of the same size."""
    rows = np.ascontiguousarray(np.moveaxis(values.numpy(), 0, -1))
    data = np.packbits(rows[..., 0], axis=1) if like.mode == "1" else rows
    image = like.copy()
    image.frombytes(data.tobytes())
    return image
