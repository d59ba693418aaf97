"""Shuffled channels: spatial filters are kept, channels are permuted."""

import pytest
import torch
from torch import nn

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
