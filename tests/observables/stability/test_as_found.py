"""A measurement leaves model and random states as found, and depends on the seed alone."""

import copy

import pytest
import torch
from torch import nn

from tests.observables.stability.nets import Recorder, generator, images, measure, small_net


@pytest.mark.parametrize("batch_norm", ["running", "batch"])
@pytest.mark.parametrize("fails", [False, True])
def test_model_and_random_numbers_are_left_as_found(batch_norm: str, fails: bool) -> None:
    net = small_net().train()
    net[1].eval()  # modes are mixed
    net(images())  # gives buffers some values
    before, modes = copy.deepcopy(net.state_dict()), [m.training for m in net.modules()]
    state = torch.get_rng_state()
    if fails:
        with pytest.raises(RuntimeError, match="channels"):
            measure(net, images(channels=3), layers="all", batch_norm=batch_norm)
    else:
        measure(net, layers="all", batch_norm=batch_norm)
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(m._forward_hooks for m in net.modules())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


def test_batch_statistics_are_those_of_the_batch() -> None:
    """Before any training the running statistics are not those of the images."""
    net = small_net()
    running, batch = (measure(net, 5 * images(), batch_norm=how) for how in ("running", "batch"))
    assert running.R.value != pytest.approx(batch.R.value, rel=1e-3)

    # The same by hand: a net whose normalisation has no running statistics at all.
    by_hand = copy.deepcopy(net)
    by_hand[1] = nn.BatchNorm2d(3, track_running_stats=False, dtype=torch.float64)
    assert measure(by_hand, 5 * images()).R.value == pytest.approx(batch.R.value, rel=1e-12)


@pytest.mark.parametrize("average", ["mean", "median", "reference"])
@pytest.mark.parametrize("noise", ["per_image", "mean"])
def test_the_size_of_batches_changes_rounding_only(average: str, noise: str) -> None:
    x, options = images(61), {"average": average, "noise": noise, "layers": nn.Conv2d}
    whole = measure(small_net(), x, batch_size=1000, **options)
    for size in (1, 7, 25, 60):
        parts = measure(small_net(), x, batch_size=size, **options)
        for one, other in [(parts.D, whole.D), (parts.G, whole.G), (parts.R, whole.R)]:
            assert one.value == pytest.approx(other.value, rel=1e-11)
            # Shares of the pair distance are taken from the mean of the images so far.
            assert one.high == pytest.approx(other.high, rel=0.03, nan_ok=True)


def test_batches_are_at_most_batch_size() -> None:
    for size in (1, 7, 25, 60, 1000):
        net = Recorder(small_net())
        measure(net, images(61), batch_size=size)
        assert max(map(len, net.inputs)) <= size
        assert sum(map(len, net.inputs)) == 61 * 5


def test_equal_generators_give_two_nets_the_same_images() -> None:
    one, other = Recorder(small_net(1)), Recorder(small_net(2))
    measure(one)
    measure(other, average="median", confidence=0.5)
    assert all(torch.equal(a, b) for a, b in zip(one.inputs, other.inputs, strict=True))
    again = generator()
    assert measure(small_net(), generator=again).R.value != measure(small_net(), generator=again).R.value


def test_measurement_uses_the_dtype_of_the_model() -> None:
    double, single = measure(small_net()), measure(small_net().float(), images().float())
    assert single.D.value == pytest.approx(double.D.value, rel=0.5)  # other noise, other rounding
    mixed = measure(small_net(), images().float())
    assert mixed.D.value == pytest.approx(double.D.value, rel=1e-4)
