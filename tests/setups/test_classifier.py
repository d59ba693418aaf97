"""Image classifiers: images, augmentation, training, and resumption after a kill."""

import math
from dataclasses import replace

import pytest
import torch

from symnets.data import load_images
from symnets.setups import (
    NORMALISATIONS,
    PUBLISHED,
    ClassifierConfig,
    DeformedConfig,
    classified_images,
    initial_classifier,
    measure_stability,
    stability_row,
    train_classifier,
)
from symnets.setups._classifier import augmentation, reflected, shifted
from symnets.sweeps import _checkpoints as resume
from symnets.sweeps import grid
from symnets.training import Callback, Trainer

TINY = DeformedConfig(
    net="vgg_bn",
    width=0.25,
    data="digits",
    n_train=60,
    n_test=50,
    min_steps=6,
    max_steps=6,
    cutoff=2.0,
    delta=0.5,
    n_images=30,
    n_draws=2,
)


@pytest.mark.parametrize(
    ("n_train", "steps"),
    [(100, 800), (1280, 800), (1600, 1000), (10_000, 2000)],
    ids=["the least", "the least still", "20 epochs of 50 batches", "the most"],
)
def test_steps_are_epochs_between_limits(n_train, steps):
    assert ClassifierConfig(n_train=n_train, epochs=20).steps == steps


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"net": "resnot"}, "net: unknown 'resnot'; did you mean 'resnet'"),
        ({"data": "mnits"}, "data: unknown 'mnits'; did you mean 'mnist'"),
        ({"min_steps": 3000}, "min_steps, max_steps: expected the first not above the second"),
        ({"n_train": 65}, "batch_size: 65 images in batches of 32 leave one image alone"),
        ({"rate": 0.0}, "rate: expected more than 0, got 0.0"),
    ],
)
def test_invalid_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ClassifierConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_images": 51}, "n_images: expected at most n_test = 50, got 51"),
        ({"cutoff": 1.0}, "cutoff: expected more than 1, got 1.0"),
        ({"cutoff": 15.0}, "cutoff: 15 has modes with 15 half periods along an axis of 8 pixels"),
    ],
)
def test_deformations_beyond_the_resolution_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **values)


def test_conventions_differ_by_the_documented_factor():
    """At c = 3 "one pixel" of the published formula is sqrt(1.225 / 1.7257) = 0.843 pixels."""
    published, exact = DeformedConfig(), DeformedConfig(convention="exact")
    assert published.field.typical_displacement(published.temperature) == pytest.approx(0.8425, abs=1e-4)
    assert exact.field.typical_displacement(exact.temperature) == pytest.approx(1.0)
    assert (published.field.rule, exact.field.rule) == ("half", "disc")


def test_the_published_training_is_a_configuration():
    configs = grid(DeformedConfig, **PUBLISHED, net="resnet", n_train=50_000)
    assert [config.seed for config in configs] == list(range(5))
    assert configs[0].steps == 250 * math.ceil(50_000 / 128)


def test_training_images_are_nested_and_balanced_and_test_images_are_shared():
    small, _ = classified_images(replace(TINY, n_train=30))
    large, test = classified_images(TINY)
    assert torch.equal(small.inputs, large.inputs[:30])
    assert large.targets.bincount().tolist() == [6] * 10
    assert large.inputs.shape == (60, 1, 8, 8)
    _, again = classified_images(replace(TINY, seed=1))
    assert torch.equal(test.inputs, again.inputs)
    assert torch.equal(classified_images(replace(TINY, seed=1, data_seed=0))[0].inputs, large.inputs)
    # The order must not depend on the classes, through which balanced subsets go in turn.
    assert test.targets[:10].unique().numel() < 10


def test_too_many_images_are_refused():
    with pytest.raises(ValueError, match="n_test: expected 0 to 500"):
        classified_images(replace(TINY, n_test=501, n_images=30))


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_normalisations_are_those_of_the_data(name, tmp_path):
    """White of MNIST stays 1; channels of CIFAR-10 have mean 0 and deviation 1 over the training images."""
    try:
        images = load_images(name)
    except OSError:
        pytest.skip(f"real data: {name} is not at hand")
    pixels = NORMALISATIONS[name](images[:: 10 if name == "cifar10" else 100].scaled())
    if name == "mnist":
        assert (float(pixels.min()), float(pixels.max())) == (0.0, 1.0)
        return
    # 5,000 images of 1,024 correlated pixels: the mean of the whole is known to about 0.01.
    assert pixels.mean((0, 2, 3)).abs().max() < 0.02
    assert (pixels.std((0, 2, 3)) - 1).abs().max() < 0.02


def test_shifts_move_whole_images():
    """A shifted image with a dark border keeps the sum of its pixels."""
    images = torch.zeros(200, 3, 16, 16)
    images[:, :, 6:10, 6:10] = torch.rand(200, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    moved = shifted(images, torch.Generator().manual_seed(1))
    torch.testing.assert_close(moved.sum((2, 3)), images.sum((2, 3)))
    first = moved.sum(1).flatten(1).ne(0).float().argmax(1)
    rows, columns = first // 16 - 6, first % 16 - 6
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (-2, 2, -2, 2)
    for image, before, row, column in zip(moved, images, rows, columns, strict=True):
        assert torch.equal(image, before.roll((int(row), int(column)), (1, 2)))


def test_half_of_the_images_are_reflected():
    images = torch.arange(4.0).expand(1000, 1, 4, 4)
    result = reflected(images, torch.Generator().manual_seed(0))
    mirrored = (result == images.flip(-1)).flatten(1).all(1)
    assert torch.equal(result[~mirrored], images[~mirrored])
    assert abs(float(mirrored.float().mean()) - 0.5) < 5 * 0.5 / 1000**0.5


def test_deformed_training_images_keep_shape_and_range():
    transform = augmentation(replace(TINY, augment="diffeo"), (1, 28, 28))
    assert transform is not None
    images = torch.rand(5, 1, 28, 28)
    deformed = transform(images, torch.Generator().manual_seed(0))
    assert torch.equal(deformed, transform(images, torch.Generator().manual_seed(0)))
    assert not torch.equal(deformed, images)
    assert torch.equal(deformed[:, :, 0], images[:, :, 0])  # the border does not move
    assert augmentation(replace(TINY, augment="none"), (1, 28, 28)) is None


def test_weights_depend_only_on_the_seed_and_the_global_generator_is_unchanged():
    before = torch.get_rng_state()
    one, other, third = (
        initial_classifier(TINY),
        initial_classifier(TINY),
        initial_classifier(replace(TINY, seed=1)),
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.readout.weight, other.readout.weight)  # pyright: ignore
    assert not torch.equal(one.readout.weight, third.readout.weight)  # pyright: ignore


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_digits_are_learned(optimiser):
    config = replace(
        TINY,
        net="lenet",
        width=1.0,
        optimiser=optimiser,
        rate=0.01,
        n_train=500,
        min_steps=200,
        max_steps=200,
    )
    trained = train_classifier(config)
    assert trained.row["steps_done"] == 200
    assert trained.row["train_error"] < 0.25  # of chance: 0.9
    assert trained.row["test_error"] < 0.3
    assert not trained.net.training
    assert torch.equal(trained.initial.readout.weight, initial_classifier(config).readout.weight)  # pyright: ignore


def test_a_training_with_too_large_a_learning_rate_is_reported_as_diverged():
    trained = train_classifier(replace(TINY, optimiser="sgd", rate=1e9, net="fc2", max_steps=50))
    assert trained.row["verdict"] == "DIVERGED"


def test_rows_have_stability_before_and_after_training_with_intervals():
    trained = train_classifier(TINY)
    row = stability_row(trained, TINY)
    start = measure_stability(trained.initial, trained.test, TINY, trained=False)
    end = measure_stability(trained.net, trained.test, TINY, trained=True)
    for stability, ending in ((start, "_init"), (end, "")):
        assert row[f"R{ending}"] == stability.R.value[-1]
        assert row[f"R_low{ending}"] < row[f"R{ending}"] < row[f"R_high{ending}"]  # pyright: ignore
    assert row["R"] == pytest.approx(row["D"] / row["G"])  # pyright: ignore
    assert (start.batch_norm, end.batch_norm) == ("batch", "running")
    assert not set(row) & set(vars(TINY))
    assert stability_row(train_classifier(TINY), TINY) == row


class Killed(BaseException):
    """An exception that no code catches."""


class KillAt(Callback):
    """Kill a training after a step."""

    def __init__(self, after):
        self.after = after

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass

    def after_step(self, state):
        if state.step >= self.after:
            raise Killed


@pytest.mark.parametrize("augment", ["none", "crop-flip", "diffeo"])
def test_a_killed_and_resumed_training_is_bitwise_the_same(augment, tmp_path, monkeypatch):
    config = replace(TINY, augment=augment, batch_size=20)
    whole = train_classifier(config)
    monkeypatch.setattr(resume, "PERIOD", 0.0)
    with pytest.raises(Killed), resume.resumable(tmp_path / "run"):
        train_classifier(config, [KillAt(4)])
    assert (tmp_path / "run" / "1.safetensors").is_file()
    with resume.resumable(tmp_path / "run"):
        resumed = train_classifier(config, [KillAt(math.inf)])
    for a, b in zip(whole.net.state_dict().values(), resumed.net.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert whole.row == resumed.row
    assert not (tmp_path / "run").exists()


def killed_when_done(directory):
    """Train, and be killed before the row is written."""
    with resume.resumable(directory):
        train_classifier(TINY)
        raise Killed


def test_a_finished_training_is_not_continued(tmp_path, monkeypatch):
    """Killed during the measurement: the checkpoint is that of the last step, and no step may follow."""
    monkeypatch.setattr(resume, "PERIOD", 0.0)
    whole = train_classifier(TINY)
    with pytest.raises(Killed):
        killed_when_done(tmp_path / "run")
    monkeypatch.setattr(Trainer, "fit", None)
    with resume.resumable(tmp_path / "run"):
        assert train_classifier(TINY).row == whole.row
