import pytest
import torch

from symnets.data import Images

PIXELS = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1, 1)


def test_pixels_are_scaled_by_the_value_of_white():
    images = Images(PIXELS, torch.tensor([0, 1, 0]), ("a", "b"), "dots")
    assert images.scaled(torch.float64).flatten().tolist() == [0, 0.2, 1]
    half = Images(PIXELS[:2], torch.tensor([0, 1]), ("a", "b"), "dots", max_value=51)
    assert half.scaled().flatten().tolist() == [0, 1]
    assert half.scaled().dtype == torch.float32


def test_indexing_keeps_images_and_labels_together():
    images = Images(PIXELS, torch.tensor([0, 1, 0]), ("a", "b"), "dots")
    assert len(images) == 3
    for index in (slice(1, 3), torch.tensor([1, 2]), torch.tensor([False, True, True])):
        some = images[index]
        assert some.flat().tolist() == [[51], [255]]
        assert some.labels.tolist() == [1, 0]
        assert some.classes == ("a", "b")


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_must_be_numbers_of_classes(label):
    with pytest.raises(ValueError, match=f"dots: label {label} of image 1 is not a class; expected 0 to 1"):
        Images(PIXELS, torch.tensor([0, label, 0]), ("a", "b"), "dots")


def test_classes_are_given_by_number_or_name():
    images = Images(PIXELS, torch.tensor([0, 1, 0]), ("cat", "dog"), "pets")
    assert [images.class_number(name) for name in (0, 1, "cat", "dog")] == [0, 1, 0, 1]
    for wrong in (2, -1, True, False, "True"):
        with pytest.raises(ValueError, match=f"pets: no class {wrong!r}; expected a number below 2"):
            images.class_number(wrong)
