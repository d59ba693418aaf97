"""Image nets: what they compute, how they are named and how they start."""

import json
import math

import pytest
import torch
from torch import nn

from symnets.data import Loader, TensorPairs
from symnets.models import IMAGE_NETS, VGG, EfficientNet, FullyConnected, LeNet, ResNet, image_net
from symnets.training import Trainer, TrainState, cross_entropy, descend, max_steps

WITH_BATCH_NORM = ("vgg_bn", "resnet", "efficientnet", "harmonic")


def small(name: str, side: int = 8, **arguments) -> nn.Module:
    """An image net of a quarter of the width, in float64, with seeded weights."""
    torch.manual_seed(0)
    return image_net(name, (1, side, side), width=0.25, **arguments).double()


def images(n: int, side: int = 8, channels: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, channels, side, side, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", IMAGE_NETS)
@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 9, 14)])
def test_logits_of_images_of_any_size(name, shape):
    net = image_net(name, shape, 7, width=0.25)
    assert net(torch.randn(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("name", IMAGE_NETS)
def test_training_lowers_the_loss(name):
    """Two classes that the brightness of the upper half tells apart."""
    net = small(name, n_classes=2)
    labels = torch.arange(32) % 2
    x = images(32)
    x[:, :, :4] += (2.0 * labels - 1)[:, None, None, None]
    state = TrainState(net, torch.optim.Adam(net.parameters(), lr=3e-3))
    loader = Loader(TensorPairs(x, labels), 16, shuffle=True)
    record = lambda step: step in (1, 30)  # noqa: E731
    history = Trainer(max_steps(30), record=record).fit(descend(state, cross_entropy, loader))
    first, last = history.values("loss")
    assert last < 0.5 * first


@pytest.mark.parametrize("name", WITH_BATCH_NORM)
def test_in_eval_mode_images_of_a_batch_are_independent(name):
    net, x = small(name), images(6)
    net.train()(x)  # running averages that are not those of the start
    together = net.eval()(x)
    alone = torch.cat([net(image[None]) for image in x])
    # Sums of another batch may be rounded otherwise.
    torch.testing.assert_close(alone, together, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(net.train()(x), together)


@pytest.mark.parametrize("name", IMAGE_NETS)
def test_the_same_seed_gives_the_same_net(name):
    ours, theirs = small(name).state_dict(), small(name).state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("name", IMAGE_NETS)
def test_a_forward_pass_draws_no_random_numbers_and_each_layer_runs_once(name):
    net, calls = small(name), []
    leaves = [module for module in net.modules() if not list(module.children())]
    for module in leaves:
        module.register_forward_hook(lambda module, *_: calls.append(module))
    before = torch.get_rng_state()
    net(images(3))
    assert torch.equal(torch.get_rng_state(), before)
    assert len(calls) == len(set(calls)) == len(leaves)


@pytest.mark.parametrize("name", IMAGE_NETS)
def test_activations_seen_by_a_hook_stay_as_they_were(name):
    """No layer changes the output of the previous layer in place."""
    net, seen = small(name), []
    for module in net.modules():
        module.register_forward_hook(lambda _, __, output: seen.append((output, output.detach().clone())))
    net(images(3))
    assert all(torch.equal(kept, copy) for kept, copy in seen)


@pytest.mark.parametrize("name", IMAGE_NETS)
def test_initial_weights_have_the_variance_of_he(name):
    torch.manual_seed(0)
    net = image_net(name, (1, 28, 28), width=4.0 if name == "lenet" else 1.0)
    for label, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.numel() > 2000:
            fan_in = module.weight[0].numel()
            expected = (1.0 if label == "readout" else 2.0) / fan_in
            # Variance of n normal numbers: relative spread √(2/n); 5 of them.
            spread = 5 * math.sqrt(2 / module.weight.numel())
            assert float(module.weight.detach().square().mean()) == pytest.approx(expected, rel=spread)
            assert module.bias is None or not module.bias.any()


def test_pixels_enter_a_fully_connected_net_in_order():
    shape = (2, 3, 4)
    net = FullyConnected(shape, 3, depth=1).double()
    weight = net.get_submodule("features.linear1").weight
    x = torch.zeros(1, *shape, dtype=torch.float64)
    x[0, 1, 2, 3] = 1.0
    last = net.readout.weight @ weight[:, (1 * 3 + 2) * 4 + 3].relu()
    torch.testing.assert_close(net(x)[0], last)


def test_lenet_has_the_published_number_of_parameters():
    """Conv 156 + 2,416, linear 48,120 + 10,164 + 850."""
    for shape in [(1, 28, 28), (1, 32, 32)]:
        assert sum(p.numel() for p in LeNet(shape).parameters()) == 61_706


def test_vgg_and_resnet_of_full_width_have_the_published_convolutions():
    """VGG-11 without its linear layers, 9,220,480 weights and biases; ResNet-18 for 10 classes and a
    3x3 stem, 11,173,962 parameters."""
    vgg = VGG((3, 32, 32), width=4.0, batch_norm=False)
    assert sum(p.numel() for p in vgg.features.parameters()) == 9_220_480
    assert sum(p.numel() for p in ResNet((3, 32, 32), width=8.0).parameters()) == 11_173_962


@pytest.mark.parametrize(("side", "poolings"), [(4, 2), (8, 3), (15, 3), (16, 4), (28, 4), (32, 5), (64, 5)])
def test_vgg_pools_as_long_as_a_pixel_is_left(side, poolings):
    net = VGG((1, side, side), width=0.1)
    assert sum(isinstance(module, nn.MaxPool2d) for module in net.modules()) == poolings


def test_a_residual_block_of_zero_weights_is_a_relu():
    block = small("resnet").get_submodule("features.block1").eval()
    nn.init.zeros_(block.get_submodule("conv2").weight)
    x = images(2, channels=2)
    torch.testing.assert_close(block(x), x.relu())


def test_batch_normalisation_of_efficientnet():
    """The value is the published 10⁻³ here, and torch's own elsewhere."""
    for net, eps in [(EfficientNet((1, 8, 8)), 1e-3), (ResNet((1, 8, 8)), 1e-5)]:
        norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        assert norms
        assert all(norm.eps == eps and norm.momentum == 0.1 for norm in norms)


def test_width_multiplies_channels():
    wide, narrow = (
        VGG((1, 8, 8), width=width).get_submodule("features.conv8").weight for width in (2.0, 0.5)
    )
    assert (wide.shape[0], narrow.shape[0]) == (256, 64)
    assert image_net("vgg_bn", (1, 8, 8), width=1e-6)(torch.randn(3, 1, 8, 8)).shape == (3, 10)


@pytest.mark.parametrize("name", IMAGE_NETS)
def test_config_is_json_that_rebuilds(name):
    net = image_net(name, (1, 8, 8), 3, width=0.5)
    again = type(net)(**json.loads(json.dumps(net.config)))
    assert again.config == net.config
    assert [p.shape for p in again.parameters()] == [p.shape for p in net.parameters()]


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match="unknown 'vgg-bn'; did you mean 'vgg_bn'"):
        image_net("vgg-bn", (1, 28, 28))
    with pytest.raises(ValueError, match="did you mean 'resnet'"):
        image_net("ResNet18", (1, 28, 28))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (28, 28)}, r"shape: expected \(channels, rows, columns\), got \(28, 28\)"),
        ({"shape": (28, 28, 1)}, "expected at least 4 rows and columns, got 28 x 1.*channels come first"),
        ({"shape": (0, 28, 28)}, "at least 1 channel"),
        ({"shape": (1, 28, 28), "n_classes": 0}, "n_classes: expected at least 1, got 0"),
        ({"shape": (1, 28, 28), "width": 0.0}, "width: expected a positive"),
        ({"shape": (1, 28, 28), "width": math.nan}, "width: expected a positive"),
        ({"shape": (1, 28, 28), "width": math.inf}, "width: expected a positive"),
    ],
)
def test_invalid_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        image_net("lenet", **arguments)


def test_images_of_another_shape():
    with pytest.raises(ValueError, match=r"expected shape \(n, 1, 8, 8\), got \(5, 1, 9, 9\)$"):
        small("vgg")(images(5, 9))
    with pytest.raises(ValueError, match=r"channels come first: images.permute\(0, 3, 1, 2\)"):
        small("vgg")(images(5).permute(0, 2, 3, 1))
    with pytest.raises(ValueError, match="depth: expected at least 1"):
        FullyConnected((1, 8, 8), depth=0)
