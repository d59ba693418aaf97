"""Initial nets and patterns of lazy and feature regimes."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from symnets.data import BinaryTask, balanced_subset, binary_task, load_images, parity_labels, to_sphere
from symnets.models import Convolutional, Dense
from symnets.setups._dense_nets import seeded_generator
from symnets.setups._regime_config import RegimeConfig


def regime_inputs(config: RegimeConfig, x: Sequence[Tensor]) -> Tensor:
    """Inputs of all members, (S, n, d), or (S, n, channels, rows, columns) for a convolutional net."""
    stacked = torch.stack(list(x))
    if config.net == "dense" or config.pixels is None:
        return stacked
    return stacked.unflatten(2, (-1, config.pixels, config.pixels))


def regime_net(config: RegimeConfig, shape: Sequence[int]) -> Dense | Convolutional:
    """The initial net of a configuration, in the mean-field parametrisation, sampled in float64.

    Args:
        config: the configuration.
        shape: shape of an input.
    """
    options: Any = {
        "activation": config.activation,
        "parametrization": "mean_field",
        "bias": config.bias,
        "generator": (generator := seeded_generator(config.seed, 0)),
        "dtype": torch.float64,
    }
    if config.net == "convolutional":
        net = Convolutional((shape[0], shape[1], shape[2]), config.width, config.depth, **options)
    else:
        net = Dense(shape[0], config.width, config.depth, **options)
    if config.bias:
        *hidden, output = net.biases
        output.requires_grad_(False)
        for bias in hidden:
            normal = torch.randn(bias.shape, generator=generator, dtype=torch.float64)
            bias.data.copy_(config.bias_deviation * normal)
    return net


def regime_patterns(config: RegimeConfig) -> BinaryTask:
    """Patterns of a configuration, sampled with `data_seed`, or `seed` if it is None; images are flat."""
    seed = config.seed if config.data_seed is None else config.data_seed
    dtype, n_train, n_test = getattr(torch, config.dtype), config.n_train, config.n_test
    if config.pixels is None:
        return binary_task(
            config.data, n_train=n_train, n_test=n_test, dim=config.dim, seed=seed, dtype=dtype
        )
    everything = _image_parity(config.data, config.pixels)
    train = balanced_subset(everything.y_train, n_train, seed)
    test = balanced_subset(everything.y_test, n_test, 0)
    return BinaryTask(
        everything.x_train[train].to(dtype),
        everything.y_train[train].to(dtype),
        everything.x_test[test].to(dtype),
        everything.y_test[test].to(dtype),
    )


@lru_cache(maxsize=4)
def _image_parity(name: str, pixels: int) -> BinaryTask:
    """All images of a data set, reduced, centred, with |x|² = number of pixels; labels are the parity."""
    parts = [load_images(name, "train"), load_images(name, "test")]
    small = [F.adaptive_avg_pool2d(part.scaled(torch.float32), pixels) for part in parts]
    mean = small[0].mean(0)
    x = [to_sphere((images - mean).flatten(1)) for images in small]
    y = [parity_labels(part.labels) for part in parts]
    return BinaryTask(x[0], y[0], x[1], y[1])
