from collections import Counter

import torch
from sklearn.datasets import load_digits

from symnets.data import load_images


def test_training_and_test_parts_are_the_whole_data_set():
    """Each of scikit-learn's images is in one of the parts, with its label."""
    pixels, target = load_digits(return_X_y=True)
    theirs = Counter((*map(int, row), int(label)) for row, label in zip(pixels, target, strict=True))
    images = load_images("digits", "all")
    ours = zip(images.flat().tolist(), images.labels.tolist(), strict=True)
    assert Counter((*row, label) for row, label in ours) == theirs
    assert images.max_value == images.pixels.max() == 16


def test_the_test_part_has_fifty_images_of_each_digit():
    train, test = load_images("digits", "train"), load_images("digits", "test")
    assert (len(train), len(test)) == (1297, 500)
    assert test.labels.bincount().tolist() == [50] * 10
    assert train.labels.bincount().min() >= 124


def test_the_split_is_fixed_and_shuffled():
    first, again = load_images(), load_images("digits", "train")
    assert torch.equal(first.pixels, again.pixels)
    assert first.labels[:100].unique().tolist() == list(range(10))
