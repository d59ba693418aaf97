import pytest
import torch

from symnets.data import Images, check_binary_labels, class_pair, group_labels, parity_labels

DIGITS = torch.arange(10)
PETS = Images(
    pixels=torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1),
    labels=torch.tensor([2, 0, 1, 2, 0]),
    classes=("cat", "frog", "dog"),
    name="pets",
)


def test_even_digits_are_plus_one():
    assert parity_labels(DIGITS).tolist() == [1, -1] * 5
    assert parity_labels(DIGITS).dtype == torch.float64
    assert parity_labels(DIGITS, dtype=torch.float32).dtype == torch.float32


def test_two_groups_of_classes():
    assert group_labels(DIGITS).tolist() == [1] * 5 + [-1] * 5
    assert group_labels(DIGITS, (9, 3)).tolist() == [-1, -1, -1, 1, -1, -1, -1, -1, -1, 1]


@pytest.mark.parametrize(("positive", "missing"), [((), r"\+1"), (range(10), "-1"), ((17,), r"\+1")])
def test_a_label_without_examples_is_refused(positive, missing):
    with pytest.raises(ValueError, match=f"no example is {missing}"):
        group_labels(DIGITS, positive)


@pytest.mark.parametrize(("a", "b"), [("dog", "cat"), (2, 0), ("dog", 0)])
def test_a_class_pair_keeps_the_order_of_its_images(a, b):
    images, y = class_pair(PETS, a, b)
    assert images.pixels.flatten().tolist() == [0, 1, 3, 4]
    assert images.labels.tolist() == [2, 0, 2, 0]
    assert y.tolist() == [1, -1, 1, -1]


def test_a_class_pair_needs_two_known_classes():
    with pytest.raises(ValueError, match="two different"):
        class_pair(PETS, "dog", 2)
    with pytest.raises(ValueError, match=r"no class 'dogg'.*such as dog"):
        class_pair(PETS, "dogg", "cat")
    with pytest.raises(ValueError, match=r"no class 3; expected a number below 3"):
        class_pair(PETS, 3, "cat")


@pytest.mark.parametrize(("labels", "row"), [([1.0, 0.0], 1), ([2.0, 1.0], 0), ([1.0, float("nan")], 1)])
def test_labels_other_than_plus_and_minus_one_are_refused(labels, row):
    with pytest.raises(ValueError, match=rf"expected \+1 and -1, got .* in row {row};"):
        check_binary_labels(torch.tensor(labels))


def test_the_error_gives_the_position_of_a_wrong_label():
    with pytest.raises(ValueError, match="in row 1, 2;"):
        check_binary_labels(torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, 3.0]]))


def test_labels_may_have_any_dtype():
    for dtype in (torch.float32, torch.float64, torch.int64):
        check_binary_labels(torch.tensor([1, -1], dtype=dtype))
