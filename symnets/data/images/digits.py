"""scikit-learn's handwritten digits, which need no download."""

import numpy as np
import torch

from symnets.data.images.images import Images

N_TEST = 500


def digits() -> tuple[Images, Images]:
    """1,297 images to train on and 500 to test on: 8 x 8 pixels of value 0 to 16.

    scikit-learn's [`load_digits`][1], the test part of a data set by Alpaydin and Kaynak (1998), has no
    split. Here the test images are 50 of each digit, drawn once with a fixed seed, all in random order.

    [1]: https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html
    """
    # Here, for it takes a second that nobody else should wait for.
    from sklearn.datasets import load_digits

    pixels, target = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(target))
    pixels = torch.from_numpy(pixels[order].astype(np.uint8).reshape(-1, 1, 8, 8))
    labels = torch.from_numpy(target[order].astype(np.int64))
    everything = Images(pixels, labels, tuple("0123456789"), "digits", white=16)
    # The how-manieth of its class each image is.
    rank = torch.nn.functional.one_hot(labels).cumsum(0).gather(1, labels[:, None])[:, 0]
    test = rank <= N_TEST // 10
    return everything[~test], everything[test]
