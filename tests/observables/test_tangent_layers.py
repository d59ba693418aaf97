"""Layer-wise tangent kernels of image nets against J J^T by a loop of backward passes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from symnets.models import VGG, Convolutional, FullyConnected, LeNet, ResNet
from symnets.observables import tangent_kernel
from symnets.observables._tangent_kernel._layers import layerwise_kernel
from tests.naive.tangent_kernel import product_of_rows

OUTPUTS = ("full", "trace", "sum")


def images(n: int, *, channels: int = 1, side: int = 8, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((n, channels, side, side), generator=generator, dtype=torch.float64)


def randomised(model: nn.Module) -> nn.Module:
    """The model in eval mode, with random changes of its initial weights, biases and running moments."""
    generator = torch.Generator().manual_seed(1)
    model = model.double().eval()
    for p in model.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    for name, moment in model.named_buffers():
        if "running" in name:
            moment.copy_(0.5 + torch.rand(moment.shape, generator=generator, dtype=moment.dtype))
    return model


def one_dimensional() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(2),
        nn.Conv1d(2, 4, 3, stride=2, padding="valid", dilation=2, groups=2),
        nn.BatchNorm1d(4),
        nn.SiLU(inplace=True),
        nn.Conv1d(4, 3, 3, padding="same", bias=False),
        nn.Flatten(),
        nn.LazyLinear(2),
    )


def positions_and_norms() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1, groups=2, padding_mode="circular"),
        nn.GroupNorm(3, 6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 4, (3, 1), dilation=(1, 2)),
        nn.LayerNorm([2, 4]),
        nn.Linear(4, 3),  # at each of 8 positions
        nn.Tanh(),
        nn.AvgPool2d((1, 3)),
        nn.Flatten(),
        nn.Linear(8, 2),
    )


def few_positions() -> nn.Module:
    """Layers of two positions, whose gradients are larger than their patches and signals."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=(2, 4), padding=1, groups=2),
        nn.Tanh(),
        nn.Conv2d(16, 16, 1),
        nn.Flatten(),
        nn.Linear(32, 2),
    )


NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "convolutional": (lambda: Convolutional((1, 8, 8), 4, 2, bias=True, d_out=2), 1),
    "convolutional_scalar": (lambda: Convolutional((1, 8, 8), 4, 2, parametrization="standard"), 1),
    "vgg_bn": (lambda: VGG((1, 8, 8), 2, width=0.125), 1),
    "resnet": (lambda: ResNet((1, 8, 8), 2, width=0.25), 1),
    "lenet": (lambda: LeNet((1, 8, 8), 2, width=0.25), 1),
    "fully_connected": (lambda: FullyConnected((1, 8, 8), 2, width=0.05), 1),
    "few_positions": (few_positions, 1),
    "one_dimensional": (one_dimensional, 2),
    "positions_and_norms": (positions_and_norms, 2),
}


def net(name: str) -> tuple[nn.Module, int]:
    build, channels = NETS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build().double().eval()
        model(images(2, channels=channels))  # lazy layers
        return randomised(model), channels


def assert_equal(found: Tensor | None, expected: Tensor) -> None:
    """To 1e-12 of the largest entry: sums of up to thousands of products, of either sign."""
    assert found is not None
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12 * float(expected.abs().max()))


@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("name", NETS)
def test_kernel_is_products_of_gradients(name: str, outputs: str) -> None:
    model, channels = net(name)
    x1, x2 = images(5, channels=channels), images(4, channels=channels, seed=1)
    for columns in (None, x2):
        expected = product_of_rows(model, x1, columns, outputs)
        assert_equal(layerwise_kernel(model, x1, columns, outputs=outputs), expected)
        assert_equal(tangent_kernel(model, x1, columns, outputs=outputs), expected)


@pytest.mark.parametrize("name", ["few_positions", "positions_and_norms"])
def test_blocks_of_two_patterns_give_the_same_kernel(name: str) -> None:
    model, channels = net(name)
    x1, x2 = images(7, channels=channels), images(4, channels=channels, seed=1)
    for columns in (None, x2):
        expected = product_of_rows(model, x1, columns)
        assert_equal(layerwise_kernel(model, x1, columns, memory=1), expected)


@pytest.mark.parametrize("d_out", [None, 2])
def test_members_have_their_own_kernels(d_out: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    options = {"bias": True, "d_out": d_out, "members": 3, "generator": generator, "dtype": torch.float64}
    model = Convolutional((1, 8, 8), 4, 2, **options)
    x1, x2 = images(4), images(3, seed=1)
    found = tangent_kernel(model, x1, x2)
    own = tangent_kernel(model, torch.stack([x1, 2 * x1, -x1]))
    for s, factor in enumerate((1, 2, -1)):
        assert_equal(found[s], product_of_rows(model.member(s), x1, x2))
        assert_equal(own[s], product_of_rows(model.member(s), factor * x1))


def test_frozen_parameters_are_left_out() -> None:
    model, _ = net("vgg_bn")
    for index, p in enumerate(model.parameters()):
        p.requires_grad_(index % 3 == 0)
    x = images(4)
    assert_equal(layerwise_kernel(model, x), product_of_rows(model, x))


def test_outputs_that_use_different_layers() -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(3, 1), nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.left(x), self.right(x)], 1)

    model, x = randomised(TwoHeads()), images(4, channels=3, side=1)[..., 0, 0]
    assert_equal(layerwise_kernel(model, x), product_of_rows(model, x))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.readout = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.two(self.one(x).tanh()).tanh())


class CalledTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.readout = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.one(self.one(x).tanh()).tanh())


class UsedElsewhere(CalledTwice):
    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.one(x).tanh() @ self.one.weight)


class UsedInPlaceOfACall(CalledTwice):
    def forward(self, x: Tensor) -> Tensor:
        self.one(x)
        return self.readout(x @ self.one.weight)


class OwnParameter(CalledTwice):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.readout(self.one(x).tanh())


def doubled() -> nn.Module:
    model = FullyConnected((4, 1, 1), 2, width=0.02)
    model.readout.register_forward_hook(lambda module, inputs, output: output * 2)
    return nn.Sequential(nn.Unflatten(1, (4, 1, 1)), model)


class Symmetric(nn.Module):
    def forward(self, w: Tensor) -> Tensor:
        return w.triu() + w.triu(1).mT


def parametrised() -> nn.Module:
    layer = nn.Linear(4, 4)
    nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(4, 2))


@pytest.mark.parametrize(
    "build", [Tied, CalledTwice, UsedElsewhere, UsedInPlaceOfACall, OwnParameter, doubled, parametrised]
)
def test_other_modules_need_autodiff(build: Callable[[], nn.Module]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build().double()
    x = images(3, channels=4, side=1)[..., 0, 0]
    assert layerwise_kernel(model, x) is None
    assert_equal(tangent_kernel(model, x), product_of_rows(model, x))


def test_patterns_that_interact_need_autodiff() -> None:
    class Centred(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(0)

    x = images(4, channels=4, side=1)[..., 0, 0]
    by_batch = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double().train()
    centred = nn.Sequential(nn.Linear(4, 4), Centred(), nn.Tanh(), nn.Linear(4, 2)).double()
    assert layerwise_kernel(by_batch, x) is None
    assert layerwise_kernel(centred, x) is None


def test_the_model_is_left_as_found() -> None:
    model, _ = net("resnet")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    layerwise_kernel(model, images(3))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(p.grad is None for p in model.parameters())
