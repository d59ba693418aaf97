"""Shuffled channels: spatial filters are kept, channels are permuted."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from symnets.observables import channel_shuffled, filter_projections


def net() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(7, 9, 3), nn.ReLU(), nn.Conv2d(9, 5, 3), nn.Flatten(), nn.Linear(20, 3)
        ).double()


def shuffled(model: nn.Module, **options: bool) -> nn.Module:
    return channel_shuffled(model, generator=torch.Generator().manual_seed(1), **options)


@pytest.mark.parametrize("outputs", [False, True])
def test_filters_keep_their_shape_in_space(outputs: bool) -> None:
    before, after = net(), shuffled(net(), outputs=outputs)
    for k in (0, 2):
        assert not torch.equal(after[k].weight, before[k].weight)
        torch.testing.assert_close(after[k].weight.norm(), before[k].weight.norm())
        torch.testing.assert_close(
            filter_projections(after[k].weight).mean_squares,
            filter_projections(before[k].weight).mean_squares,
        )
        rows = {tuple(row) for row in before[k].weight.flatten(0, 1).flatten(1).tolist()}
        assert {tuple(row) for row in after[k].weight.flatten(0, 1).flatten(1).tolist()} == rows
        assert torch.equal(after[k].bias, before[k].bias)
    assert torch.equal(after[4].weight, before[4].weight)


def test_all_filters_of_a_layer_share_one_permutation() -> None:
    """The copy is the net on permuted channels, in its first layer."""
    before, after = net()[:1], shuffled(net())[:1]
    matches = [
        [torch.equal(after[0].weight[:, i], before[0].weight[:, j]) for j in range(7)] for i in range(7)
    ]
    order = torch.tensor(matches).int().argmax(1)
    assert sorted(order.tolist()) == list(range(7))
    x = torch.randn(2, 7, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    back = torch.empty_like(x)
    back[:, order] = x
    torch.testing.assert_close(after(x), before(back))


def test_the_model_is_not_changed_and_tied_weights_stay_tied() -> None:
    first = net()
    tied = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    tied[1].weight = tied[0].weight
    copy = shuffled(tied)
    assert copy[1].weight is copy[0].weight
    shuffled(first)
    assert torch.equal(first[0].weight, net()[0].weight)


def test_inputs_of_transposed_convolutions_come_first() -> None:
    layer = nn.ConvTranspose2d(6, 2, 1)
    copy = shuffled(layer)
    torch.testing.assert_close(copy.weight.sum(0), layer.weight.sum(0))
    assert not torch.allclose(copy.weight, layer.weight)


def test_a_net_without_convolutions_is_refused() -> None:
    with pytest.raises(ValueError, match="got Linear without 4-axis weights"):
        shuffled(nn.Linear(3, 2))


@pytest.mark.filterwarnings("ignore:.*deprecated in favor of:FutureWarning")
@pytest.mark.parametrize(
    "norm",
    [
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
    ],
)
@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
def test_computed_weights_are_permuted_as_plain_ones(
    norm: Callable[[nn.Module], nn.Module], layer: type[nn.Module]
) -> None:
    """Permuted norms would not belong to permuted directions, nor singular vectors to permuted matrices."""
    x = torch.rand(2, 4, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        computed, plain = (nn.Sequential(layer(4, 6, 3), nn.Flatten()).double() for _ in range(2))
        norm(computed[0])
    computed(x)
    computed.eval()
    before = computed(x)
    with torch.no_grad():
        plain[0].weight.copy_(computed[0].weight)
        plain[0].bias.copy_(computed[0].bias)
    for outputs in (False, True):
        found = shuffled(computed, outputs=outputs)
        torch.testing.assert_close(found(x), shuffled(plain, outputs=outputs)(x))
        assert isinstance(found[0].weight, nn.Parameter)
    assert torch.equal(computed(x), before)
    assert not torch.equal(found(x), before)


def test_torchscript_is_refused() -> None:
    for script in (
        torch.jit.script(net()),
        nn.Sequential(torch.jit.trace(net(), torch.rand(1, 7, 6, 6).double())),
    ):
        with pytest.raises(ValueError, match="pass the network from which it was traced or scripted"):
            shuffled(script)
