"""Image nets on a GPU: outputs, gradients, D, G and R, and trainings equal those of the CPU."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from symnets.diffeo import SineField
from symnets.experiments import stability_by_layer, stability_vs_error
from symnets.models import IMAGE_NETS, image_net
from symnets.observables import (
    Stability,
    channel_shuffled,
    classification_error,
    filter_projections,
    shift_consistency,
    stability,
)
from symnets.setups import ClassifierConfig, classified_images, initial_classifier, train_classifier
from symnets.setups._classifier import augmentation
from symnets.training import cross_entropy

EXACT = {"rtol": 1e-8, "atol": 1e-10}
"""Tolerance of nets in float64, for up to twenty layers of sums of some hundred products."""
TINY = ClassifierConfig(
    data="digits", net="vgg_bn", width=0.5, n_train=200, n_test=200, batch_size=50, min_steps=60, max_steps=60
)
FIELD = SineField((8, 8), cutoff=2)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def net(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return image_net(name, (1, 8, 8), width=0.5).double()


def images(n: int) -> Tensor:
    """Random images; some are blank, which no deformation changes."""
    x = torch.rand(n, 1, 8, 8, generator=seeded(1), dtype=torch.float64)
    x[::7] = 0.5
    return x


def measured(model: nn.Module, x: Tensor, **options: object) -> Stability:
    chosen = {"delta": 0.4, "n_draws": 2, "generator": seeded(3), "batch_size": 40} | options
    return stability(model, x, FIELD, **chosen)  # pyright: ignore[reportArgumentType, reportCallIssue]


def same(there: Stability, here: Stability) -> None:
    assert there.layers == here.layers
    for name in "DGR":
        for end in ("value", "low", "high"):
            one, other = (getattr(getattr(found, name), end) for found in (there, here))
            np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-12, err_msg=name)
    assert there.noise_norm == pytest.approx(here.noise_norm, rel=1e-10)
    assert there.notes == here.notes


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", IMAGE_NETS)
def test_outputs_and_gradients(name, mode, device):
    here = net(name).train(mode == "train")
    there = copy.deepcopy(here).to(device)
    x, labels = images(12), torch.arange(12) % 10
    found = []
    for model in (here, there):
        where = next(model.parameters()).device
        outputs = model(x.to(where))
        cross_entropy(outputs, labels.to(where)).mean().backward()
        found.append([outputs.detach(), *(p.grad for p in model.parameters()), *model.buffers()])
    for one, other in zip(found[1], found[0], strict=True):
        assert one.device.type == device.type
        torch.testing.assert_close(one.cpu(), other, **EXACT)


@pytest.mark.parametrize("average", ["mean", "median", "reference"])
@pytest.mark.parametrize("noise", ["per_image", "mean"])
def test_stability_by_layer(device, average, noise):
    # 60 images are three blocks of random numbers: batches of 15 are parts of one, one of 100 has all.
    here = net("vgg_bn")
    x = images(60)
    options = {"average": average, "noise": noise, "layers": nn.ReLU, "batch_norm": "batch"}
    there = copy.deepcopy(here).to(device)
    for batch_size, given in ((15, x), (100, x.to(device))):
        known = measured(here, x, batch_size=batch_size, **options)
        same(measured(there, given, batch_size=batch_size, **options), known)


def test_stability_leaves_the_net_and_the_generators_of_the_device_as_found(device):
    model = net("vgg_bn").to(device).train()
    before = copy.deepcopy(model.state_dict())
    random = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
    measured(model, images(30), batch_norm="batch", layers="all")
    after = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
    assert torch.equal(after, random)
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_unchanged_images_have_no_d(device):
    found = measured(net("fc2").to(device), images(30), delta=0.0)
    assert found.D.value[-1] == 0
    assert found.notes


def test_errors_and_shifts(device):
    here = net("lenet")
    there = copy.deepcopy(here).to(device)
    x, labels = images(60), torch.arange(60) % 10
    known = classification_error(here, x, labels, batch_size=25)
    assert classification_error(there, x, labels, batch_size=25) == known
    assert classification_error(there, x.to(device), labels.to(device)) == known
    agreed = shift_consistency(here, x, max_shift=2, generator=seeded(), batch_size=25)
    for given in (x, x.to(device)):
        assert shift_consistency(there, given, max_shift=2, generator=seeded(), batch_size=25) == agreed


def test_filters_and_shuffled_channels(device):
    here = net("vgg")
    there = copy.deepcopy(here).to(device)
    weights = [model.get_submodule("features.conv3").weight.detach() for model in (there, here)]
    one, other = (filter_projections(weight) for weight in weights)
    torch.testing.assert_close(one.mean_squares.cpu(), other.mean_squares, **EXACT)
    np.testing.assert_allclose(stability_by_layer.filters(there), stability_by_layer.filters(here), rtol=1e-8)
    one, other = (channel_shuffled(model, generator=seeded(2)) for model in (there, here))
    for weight, known in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(weight.cpu(), known)


@pytest.mark.parametrize("augment", ["diffeo", "crop", "crop-flip"])
def test_augmentation_is_the_same_on_both(device, augment):
    transform = augmentation(replace(TINY, augment=augment), (1, 8, 8))
    assert transform is not None
    x = images(40)
    there = transform(x.to(device), seeded(4))
    assert there.device.type == device.type
    # Shifts and reflections copy values; deformations sum four products.
    tolerance = {"rtol": 0.0, "atol": 1e-12 if augment == "diffeo" else 0.0}
    torch.testing.assert_close(there.cpu(), transform(x, seeded(4)), **tolerance)


def test_images_and_initial_nets_are_the_same_on_both(device):
    config = replace(TINY, device=str(device))
    random = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
    there, here = initial_classifier(config), initial_classifier(TINY)
    after = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
    assert torch.equal(after, random)
    for weight, known in zip(there.parameters(), here.parameters(), strict=True):
        assert weight.device.type == device.type
        assert torch.equal(weight.cpu(), known)
    batches = zip(classified_images(config, device), classified_images(TINY), strict=True)
    for one, other in batches:
        assert one.inputs.device.type == device.type
        assert torch.equal(one.inputs.cpu(), other.inputs)
        assert torch.equal(one.targets.cpu(), other.targets)


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_training_takes_the_steps_of_the_cpu(device, optimiser):
    # After ten steps in float32 rounding, also of convolutions to TF32, has grown to less than 0.01.
    config = replace(TINY, optimiser=optimiser, rate=1e-2, min_steps=10, max_steps=10)
    here, there = train_classifier(config), train_classifier(replace(config, device=str(device)))
    assert there.row["final_loss"] == pytest.approx(here.row["final_loss"], rel=2e-2)
    assert all(parameter.device.type == device.type for parameter in there.net.parameters())
    assert there.row["verdict"] == here.row["verdict"]
    assert there.history.values("loss")[-1] == there.row["final_loss"]


def test_a_training_in_bfloat16_ends_near_that_in_float32(device):
    config = replace(TINY, net="lenet", width=1.0, augment="none", device=str(device))
    single, half = (train_classifier(config, precision=name) for name in ("float32", "bfloat16"))
    assert all(p.dtype == torch.float32 for p in half.net.parameters())
    for done in (single, half):
        # ln 10 = 2.3 at the start; a test error of a tenth after 60 steps.
        assert done.row["final_loss"] < 0.5  # pyright: ignore[reportOperatorIssue]
        assert done.row["test_error"] < 0.25  # pyright: ignore[reportOperatorIssue]
    assert half.row["final_loss"] == pytest.approx(single.row["final_loss"], abs=0.1)
    assert any(
        not torch.equal(one, other)
        for one, other in zip(single.net.parameters(), half.net.parameters(), strict=True)
    )


def test_the_experiment_runs_on_the_device(device):
    config = stability_vs_error.Config(
        data="digits",
        cutoff=2.0,
        delta=0.6,
        n_train=200,
        n_test=100,
        n_images=60,
        min_steps=5,
        max_steps=5,
    )
    here = stability_vs_error.run([config])[0].row
    there = stability_vs_error.run([replace(config, device=str(device))])[0].row
    assert there.keys() == here.keys()
    # The initial net is the same up to TF32.
    for name in ("D_init", "G_init", "R_init"):
        assert there[name] == pytest.approx(here[name], rel=1e-2)
    assert there["R"] == pytest.approx(here["R"], rel=0.1)
