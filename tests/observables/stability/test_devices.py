"""D, G and R on another device agree with the CPU, without synchronisation in the loop."""

import copy
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from symnets.diffeo import SineField
from symnets.models import image_net
from symnets.observables import classification_error, shift_consistency, stability
from tests.second_device import call as CALL
from tests.second_device import move as MOVE
from tests.second_device import on_device, second_device

FIELD = SineField((8, 8), cutoff=2)


@pytest.fixture(autouse=True)
def _device():
    state = torch.zeros(1, dtype=torch.uint8)
    with (
        second_device(),
        mock.patch.object(torch.cuda, "get_rng_state", return_value=state),
        mock.patch.object(torch.cuda, "set_rng_state"),
    ):
        yield


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return image_net("lenet", (1, 8, 8), width=0.5).double()


def images(n: int) -> Tensor:
    return torch.rand(n, 1, 8, 8, generator=seeded(1), dtype=torch.float64)


@pytest.mark.parametrize("average", ["mean", "median", "reference"])
@pytest.mark.parametrize("noise", ["per_image", "mean"])
def test_numbers_agree_with_the_cpu(net, average, noise):
    x, there = images(30), copy.deepcopy(net).to("cuda")
    found = []
    for model, given, batch_size in ((net, x, 10), (there, x, 100), (there, x.to("cuda"), 10)):
        found.append(
            stability(
                model,
                given,
                FIELD,
                delta=0.3,
                layers=nn.ReLU,
                n_draws=2,
                average=average,
                noise=noise,
                batch_size=batch_size,
                generator=seeded(2),
            )
        )
    for one, batches_alike in zip(found[1:], (False, True), strict=True):
        for name in "DGR":
            here, other = getattr(found[0], name), getattr(one, name)
            np.testing.assert_allclose(other.value, here.value, rtol=1e-8)
            if batches_alike:  # limits take the mean of the images so far
                np.testing.assert_allclose(other.low, here.low, rtol=1e-8)


def test_nothing_is_read_from_the_device_before_the_end(net):
    """`float`, `tolist`, `cpu` and the like wait for a GPU: they are as many for 100 images as for 50."""
    there = copy.deepcopy(net).to("cuda")
    counts = []
    for n in (50, 100):
        x, labels, reads = images(n).to("cuda"), (torch.arange(n) % 10).to("cuda"), []

        def call(func, *args, reads=reads):
            if func is torch.ops.aten._local_scalar_dense.default and on_device(args[0][0]):
                reads.append(func)
            return CALL(func, *args)

        def move(tensor, device, reads=reads):
            if on_device(tensor) and device.type == "cpu":
                reads.append(move)
            return MOVE(tensor, device)

        with mock.patch("tests.second_device.call", call), mock.patch("tests.second_device.move", move):
            stability(
                there, x, FIELD, delta=0.3, layers=nn.ReLU, n_draws=1, generator=seeded(2), batch_size=25
            )
            classification_error(there, x, labels, batch_size=25)
            shift_consistency(there, x, max_shift=2, generator=seeded(), batch_size=25)
        counts.append(len(reads))
    assert counts[0] == counts[1] > 0


def test_errors_and_shifts(net):
    x, labels, there = images(30), torch.arange(30) % 10, copy.deepcopy(net).to("cuda")
    known = classification_error(net, x, labels, batch_size=20)
    assert classification_error(there, x, labels, batch_size=20) == known
    assert classification_error(there, x.to("cuda"), labels.to("cuda"), batch_size=20) == known
    agreed = shift_consistency(net, x, max_shift=2, generator=seeded(), batch_size=20)
    assert shift_consistency(there, x.to("cuda"), max_shift=2, generator=seeded()) == agreed
    assert all(on_device(parameter) for parameter in there.parameters())
