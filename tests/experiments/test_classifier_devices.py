"""Trainings of classifiers on other devices: same random numbers and steps as on the CPU."""

from dataclasses import replace
from unittest import mock

import pytest
import torch

from symnets.setups import ClassifierConfig, classified_images, train_classifier
from symnets.setups._classifier import augmentation
from symnets.setups._classifier_training import MixedPrecision, initial_classifier
from symnets.sweeps._batches import run_hash, scalars
from symnets.training import cross_entropy
from tests.second_device import on_device, second_device

TINY = ClassifierConfig(
    data="digits", net="fc2", width=0.1, n_train=40, n_test=50, batch_size=20, min_steps=4, max_steps=4
)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("augment", ["diffeo", "crop", "crop-flip"])
def test_augmentation_is_the_same_on_the_device(augment):
    transform = augmentation(replace(TINY, augment=augment), (1, 8, 8))
    assert transform is not None
    x = torch.rand(10, 1, 8, 8, generator=seeded(), dtype=torch.float64)
    with second_device():
        there = transform(x.to("cuda"), seeded())
        assert on_device(there)
        torch.testing.assert_close(there.cpu(), transform(x, seeded()), rtol=0.0, atol=1e-12)


def test_images_nets_and_losses_are_the_same_on_the_device():
    with second_device():
        net = initial_classifier(replace(TINY, device="cuda"))
        train, test = classified_images(TINY, "cuda")
        assert all(map(on_device, [*net.parameters(), *train, *test]))
        loss = cross_entropy(net(train.inputs), train.targets)
        here, _ = classified_images(TINY)
        known = cross_entropy(initial_classifier(TINY)(here.inputs), here.targets)
        torch.testing.assert_close(loss.cpu(), known)
        with mock.patch("torch.Tensor.__int__", side_effect=AssertionError("the device is waited for")):
            cross_entropy(net(train.inputs), train.targets)


def test_initial_weights_do_not_change_the_generators_of_gpus():
    with mock.patch.object(torch, "manual_seed", side_effect=AssertionError("seeds all GPUs")):
        initial_classifier(TINY)


def test_the_hash_of_a_run_does_not_depend_on_the_device():
    hashes = {run_hash("x", scalars(replace(TINY, device=device))) for device in ("cpu", "cuda", "cuda:1")}
    assert len(hashes) == 1


def test_an_unavailable_device_is_refused():
    with pytest.raises(ValueError, match="device: expected one that torch"):
        train_classifier(replace(TINY, device="cuda:77"))


def test_mixed_precision_rounds_only_in_training_mode():
    net = initial_classifier(TINY)
    mixed, (train, _) = MixedPrecision(net), classified_images(TINY)
    assert torch.equal(mixed.eval()(train.inputs), net(train.inputs))
    rounded = mixed.train()(train.inputs)
    assert rounded.dtype == torch.float32
    # bfloat16 has 8 binary digits: a relative error of 1/256 and of not much less.
    error = ((rounded - net(train.inputs)).abs().max() / rounded.abs().max()).item()
    assert 1e-5 < error < 3e-2
    rounded.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in net.parameters())


def test_bfloat16_training_updates_and_measures_float32_weights():
    single, half = (train_classifier(TINY, precision=name) for name in ("float32", "bfloat16"))
    assert half.row.keys() == single.row.keys()
    assert half.row["final_loss"] != single.row["final_loss"]
    assert half.row["final_loss"] == pytest.approx(single.row["final_loss"], rel=3e-2)
    assert type(half.net) is type(single.net)
    with pytest.raises(ValueError, match="precision: expected one of"):
        train_classifier(TINY, precision="float16")  # pyright: ignore[reportArgumentType]
