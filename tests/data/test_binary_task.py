"""Binary tasks by name: random points, and principal components of images."""

import inspect
import math
import os
from pathlib import Path

import pytest
import torch

from symnets.data import BinaryTask, binary_task, load_images, parity_labels, pca, random_task, to_sphere
from tests.data.images.files import write_idx_set


def rows(x: torch.Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in x.tolist()}


def test_random_points_are_centred_then_projected():
    """The published recipe step by step, with the same random numbers."""
    task = random_task(40, 5, generator=torch.Generator().manual_seed(2), n_test=10)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(40, 5, dtype=torch.float64, generator=generator)
    x = x - x.mean(0)
    torch.testing.assert_close(task.x_train, math.sqrt(5) * x / x.norm(dim=1, keepdim=True))
    assert task.y_train.sum() == 0
    assert task.x_test.shape == (10, 5)
    assert task.y_test.sum() == 0
    torch.testing.assert_close(task.x_test.norm(dim=1), torch.full((10,), math.sqrt(5), dtype=torch.float64))


def test_number_of_test_points_does_not_change_the_training_points():
    without, beside = (binary_task("random", n_train=20, n_test=n, dim=4, seed=1) for n in (0, 30))
    assert torch.equal(without.x_train, beside.x_train)
    assert torch.equal(without.y_train, beside.y_train)
    assert len(without.x_test) == 0


def test_random_points_differ_from_weights_of_the_same_seed():
    weights = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    centred = to_sphere(weights - weights.mean(0))
    assert not torch.allclose(binary_task("random", n_train=20, dim=4, seed=1).x_train, centred)


def test_one_random_point_is_refused():
    with pytest.raises(ValueError, match="n >= 2"):
        binary_task("random", n_train=1, dim=3, seed=0)


def test_digits_are_their_principal_components_on_the_sphere():
    """Each training pattern is a training digit with its parity, coordinates fitted to all 1,797."""
    pixels = load_images("digits", "all").flat()
    z = to_sphere(pca(pixels, 8).transform(pixels))
    y = parity_labels(load_images("digits", "all").labels)
    labels = {tuple(row): sign for row, sign in zip(z.tolist(), y, strict=True)}
    task = binary_task("digits", n_train=100, n_test=50, dim=8, seed=0)
    for x, y in ((task.x_train, task.y_train), (task.x_test, task.y_test)):
        assert [labels[tuple(row)] for row in x.tolist()] == y.tolist()
        assert y.sum() == 0
    assert rows(task.x_train) <= rows(z[:1297])
    assert rows(task.x_test) <= rows(z[1297:])


def test_training_sets_are_nested_and_test_sets_are_fixed():
    small = binary_task("digits", n_train=20, n_test=30, seed=4)
    large = binary_task("digits", n_train=64, n_test=30, seed=4)
    other = binary_task("digits", n_train=64, n_test=30, seed=5)
    assert torch.equal(large.x_train[:20], small.x_train)
    assert torch.equal(large.x_test, small.x_test)
    assert torch.equal(large.x_test, other.x_test)
    assert not torch.equal(large.x_train, other.x_train)


def test_no_image_is_in_both_parts():
    whole = binary_task("digits", n_train=1283, n_test=490, dim=20, seed=0)
    assert len(rows(whole.x_train)) == 1283
    assert not rows(whole.x_train) & rows(whole.x_test)


def test_common_scale_keeps_the_relative_sizes_of_the_components():
    task = binary_task("digits", n_train=1200, dim=10, seed=0, pca="common_scale")
    variance = task.x_train.var(0)
    assert variance.sum().item() == pytest.approx(10, rel=0.1)  # over all images it is 10
    assert variance[0] > 2 * variance[-1]
    assert task.x_train.norm(dim=1).std() > 0.1


def test_groups_and_pairs():
    groups = binary_task("digits", n_train=200, dim=30, seed=0, task="groups")
    assert groups.y_train.sum() == 0
    three_eight = binary_task("digits", n_train=200, n_test=100, dim=5, seed=0, task="pair", classes=(3, 8))
    images = load_images("digits", "all")
    kept = images[(images.labels == 3) | (images.labels == 8)]
    z = to_sphere(pca(kept.flat(), 5).transform(kept.flat()))
    of = {tuple(row): 1.0 if label == 3 else -1.0 for row, label in zip(z.tolist(), kept.labels, strict=True)}
    assert [of[tuple(row)] for row in three_eight.x_train.tolist()] == three_eight.y_train.tolist()
    assert len(three_eight.x_test) == 100


def test_a_float32_task_is_the_rounded_float64_task():
    double = binary_task("digits", n_train=10, n_test=4, seed=0)
    single = binary_task("digits", n_train=10, n_test=4, seed=0, dtype=torch.float32)
    assert torch.equal(single.x_train, double.x_train.float())
    assert torch.equal(single.y_test, double.y_test.float())


def test_changing_a_task_does_not_change_the_cache():
    first = binary_task("digits", n_train=10, seed=0)
    kept = first.x_train.clone()
    first.x_train.zero_()
    assert torch.equal(binary_task("digits", n_train=10, seed=0).x_train, kept)


def test_another_data_folder_gives_other_patterns(tmp_path, monkeypatch):
    """The cache of coordinates depends on SYMNETS_DATA."""
    found = []
    for seed in (0, 1):
        write_idx_set(tmp_path / str(seed) / "mnist", n_train=30, n_test=10, seed=seed)
        monkeypatch.setenv("SYMNETS_DATA", str(tmp_path / str(seed)))
        found.append(binary_task("mnist", n_train=4, dim=3, seed=0).x_train)
    assert not torch.equal(*found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_train": 2000}, "n_train: .*1297, the number of examples, got 2000"),
        ({"n_train": 1297}, "n_train: 1297 balanced examples need 648 of class 1, which has 641"),
        ({"n_test": 501}, "n_test: .*500"),
        ({"dim": 65}, "number of features"),
        ({"dim": 64}, "vary in 61 directions only"),
        ({"seed": -1}, "seed"),
        ({"task": "pair"}, "two classes"),
        ({"classes": (1, 2)}, "two classes"),
        ({"task": "pair", "classes": (1, 12)}, "no class 12"),
        ({"task": "oddity"}, "task: expected one of"),
        ({"name": "digit"}, "did you mean 'digits'"),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(ValueError, match=message):  # unwrap: without the type checks of the tests
        inspect.unwrap(binary_task)(**{"name": "digits", "n_train": 10, "seed": 0} | options)


def test_labels_other_than_plus_and_minus_one_are_refused():
    x = torch.zeros(2, 1)
    BinaryTask(x, torch.tensor([1.0, -1.0]), x[:0], torch.empty(0))
    with pytest.raises(ValueError, match=r"expected \+1 and -1"):
        BinaryTask(x, torch.tensor([1.0, 0.0]), x[:0], torch.empty(0))


@pytest.mark.slow
@pytest.mark.skipif(
    not Path(os.environ.get("SYMNETS_DATA", "."), "mnist").is_dir(), reason="MNIST is not in SYMNETS_DATA"
)
def test_mnist_parity_is_balanced_on_the_sphere():
    task = binary_task("mnist", n_train=50_000, n_test=9_000, dim=10, seed=0)
    assert task.y_train.sum() == 0
    torch.testing.assert_close(
        task.x_train.norm(dim=1), torch.full((50_000,), math.sqrt(10), dtype=torch.float64)
    )
    with pytest.raises(ValueError, match="balanced examples need 29500 of class 1, which has 29492"):
        binary_task("mnist", n_train=59_001, dim=10, seed=0)
