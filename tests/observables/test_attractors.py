"""Neurons of one hidden layer: positions, active condition, attractors, and nets with one neuron for each."""

import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from symnets.models import Dense, convert
from symnets.observables import amplification, attractors, merge_neurons, neurons

PARAMETRIZATIONS = ["ntk", "standard", "mean_field"]


def net_of(
    seed: int = 0,
    *,
    d: int = 3,
    h: int = 30,
    parametrization: str = "ntk",
    members: int | None = None,
    bias: bool = True,
    whole_numbers: bool = False,
) -> Dense:
    """A net with random biases; with whole numbers, many patterns lie exactly on hyperplanes of neurons."""
    generator = Generator().manual_seed(seed)
    net = Dense(
        d,
        h,
        1,
        parametrization=parametrization,  # pyright: ignore[reportArgumentType]
        bias=bias,
        members=members,
        generator=generator,
        dtype=torch.float64,
    )
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(generator=generator)
            if whole_numbers:
                p.copy_((2 * p).round())
    return net


def patterns(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
@pytest.mark.parametrize("members", [None, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_neurons_are_the_net(parametrization: str, members: int | None, bias: bool) -> None:
    net, x = net_of(parametrization=parametrization, members=members, bias=bias), patterns(1, 9, 3)
    torch.testing.assert_close(neurons(net).outputs(x), net(x), rtol=1e-12, atol=1e-12)
    if members:
        own = torch.stack([x, 2 * x])
        torch.testing.assert_close(neurons(net).outputs(own), net(own), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_positions_in_the_weights_of_each_parametrisation(parametrization: str) -> None:
    """z = -√d b ω/|ω|² where ω/√d multiplies x, and -b ω/|ω|² in standard weights."""
    net = net_of(parametrization=parametrization)
    omega, b = net.weights[0], net.biases[0]
    factor = 1.0 if parametrization == "standard" else 3**0.5
    expected = -factor * (b / omega.square().sum(1))[:, None] * omega
    torch.testing.assert_close(neurons(net).positions, expected.detach(), rtol=1e-13, atol=0)
    same = neurons(convert(net, "standard").model)
    torch.testing.assert_close(same.positions, expected.detach(), rtol=1e-13, atol=0)


def test_a_position_is_the_point_of_the_hyperplane_nearest_to_the_origin() -> None:
    found = neurons(net_of())
    z, v = found.positions, found.weights
    assert found.preactivations(z).diagonal().abs().max() < 1e-14
    cosine = (z * v).sum(1) / (z.norm(dim=1) * v.norm(dim=1))
    torch.testing.assert_close(cosine.abs(), torch.ones_like(cosine))


def test_in_one_dimension_a_position_is_the_kink() -> None:
    net = net_of(d=1, h=1)
    z = float(neurons(net).positions)
    x = z + torch.tensor([[-2.0], [-1.0], [1.0], [2.0]], dtype=torch.float64)
    left, middle, right = net(x).diff().tolist()
    assert 0 in (left, right)  # flat on one side
    assert middle == pytest.approx(left + right)


def test_active_condition() -> None:
    """Active where b (1 - z · x/|z|²) > 0: z · x < |z|² if b > 0, and > if b < 0."""
    found, x = neurons(net_of()), patterns(1, 50, 3)
    z, b = found.positions, found.biases[:, None]
    projected, squared = z @ x.T, z.square().sum(1, keepdim=True)
    torch.testing.assert_close(found.preactivations(x), b * (1 - projected / squared), rtol=1e-9, atol=1e-12)
    condition = torch.where(b > 0, projected < squared, projected > squared)
    assert torch.equal(found.active(x), condition)
    assert 0.2 < condition.double().mean() < 0.8
    assert bool((found.active(torch.zeros(1, 3, dtype=torch.float64)) == (b > 0)).all())  # the origin


def test_groups_have_one_activation_pattern_and_one_sign() -> None:
    net, x = net_of(h=60, d=2), patterns(1, 6, 2)
    found, a = attractors(net, x), neurons(net).amplitudes
    keys = [(*bits.tolist(), float(s)) for bits, s in zip(found.active, a.sign(), strict=True)]
    contributing = [k for k in range(60) if any(keys[k][:-1])]
    assert found.n_silent == 60 - len(contributing) > 0
    assert found.n_groups == len({keys[k] for k in contributing})
    assert found.n_patterns == len({keys[k][:-1] for k in contributing}) < found.n_groups
    for i in contributing:
        for j in contributing:
            assert (found.group[i] == found.group[j]) == (keys[i] == keys[j])
            assert (found.pattern[i] == found.pattern[j]) == (keys[i][:-1] == keys[j][:-1])
    sizes = torch.bincount(found.group[found.group >= 0]).tolist()
    assert all(first >= second for first, second in pairwise(sizes))


def test_attractors_of_members_are_those_of_single_nets() -> None:
    net = net_of(members=3)
    own = patterns(1, 3, 7, 3)
    found = attractors(net, own)
    for s in range(3):
        single = attractors(net.member(s), own[s])
        assert torch.equal(found.group[s], single.group)
        assert torch.equal(found.pattern[s], single.pattern)
        assert found.n_groups[s] == single.n_groups


@given(
    seed=st.integers(0, 10_000),
    d=st.integers(1, 4),
    h=st.integers(1, 60),
    n=st.integers(1, 12),
    members=st.sampled_from([None, 1, 3]),
    parametrization=st.sampled_from(PARAMETRIZATIONS),
    bias=st.booleans(),
    whole_numbers=st.booleans(),
)
def test_merged_neurons_have_the_same_outputs_on_the_training_patterns(
    seed: int,
    d: int,
    h: int,
    n: int,
    members: int | None,
    parametrization: str,
    bias: bool,
    whole_numbers: bool,
) -> None:
    net = net_of(
        seed,
        d=d,
        h=h,
        parametrization=parametrization,
        members=members,
        bias=bias,
        whole_numbers=whole_numbers,
    )
    x = patterns(seed, n, d)
    x = (2 * x).round() if whole_numbers else x
    merged, groups = merge_neurons(net, x), attractors(net, x)
    assert merged.width == max(1, int(groups.n_groups.max())) <= h
    assert (merged(x) - net(x)).abs().max() < 1e-12
    assert bool((groups.n_groups <= 2 * groups.n_patterns).all())
    assert (merged.parametrization, merged.members) == (net.parametrization, net.members)


def test_merging_again_changes_nothing() -> None:
    net, x = net_of(h=80, d=2), patterns(1, 5, 2)
    once = merge_neurons(net, x)
    twice = merge_neurons(once, x)
    assert once.width == twice.width < 80
    far = 10 * patterns(2, 20, 2)
    torch.testing.assert_close(once(far), twice(far), rtol=1e-12, atol=1e-12)
    assert (once(far) - net(far)).abs().max() > 0.1  # the net changes away from the training patterns


def test_one_neuron_is_not_enough_for_an_activation_pattern_with_both_signs() -> None:
    """3 |x + 1|₊ - 5 |x|₊ is 1 at x = 1 and -1 at x = 2: the output of a single neuron has one sign."""
    net = Dense(1, 2, 1, parametrization="standard", bias=True, dtype=torch.float64)
    with torch.no_grad():
        net.weights[0].copy_(torch.tensor([[1.0], [1.0]]))
        net.biases[0].copy_(torch.tensor([1.0, 0.0]))
        net.weights[1].copy_(torch.tensor([[3.0, -5.0]], dtype=torch.float64) / 2**0.5)
    x = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    torch.testing.assert_close(net(x), torch.tensor([1.0, -1.0], dtype=torch.float64))
    found = attractors(net, x)
    assert (found.n_patterns, found.n_groups) == (1, 2)
    assert merge_neurons(net, x).width == 2


def test_merged_neurons_are_balanced() -> None:
    merged = neurons(merge_neurons(net_of(), patterns(1, 4, 3)))
    squares = merged.weights.square().sum(1) + merged.biases.square()
    torch.testing.assert_close(squares, merged.amplitudes.square())


def test_nets_without_active_neurons_have_one_neuron_left() -> None:
    net = net_of()
    with torch.no_grad():
        net.biases[0].fill_(-100.0)
    merged = merge_neurons(net, patterns(1, 4, 3))
    assert merged.width == 1
    assert torch.equal(merged(patterns(2, 5, 3)), net.biases[1].detach().expand(5))


def test_growth_and_rotation() -> None:
    start = net_of(members=2)
    net = copy.deepcopy(start)
    with torch.no_grad():
        net.weights[0] *= 3
        net.weights[1] *= -2
        net.biases[0] *= 5
    found = amplification(net, start)
    one = torch.ones(2, 30, dtype=torch.float64)
    for name, factor in {"weights": 3, "amplitudes": 2, "biases": 5, "cosine": 1, "contribution": 6}.items():
        torch.testing.assert_close(getattr(found, name), factor * one)
    with pytest.raises(ValueError, match="equal shape"):
        amplification(net, start.member(0))


def test_nets_are_as_found_and_random_numbers_are_not_used() -> None:
    net, x = net_of(members=2), patterns(1, 5, 3)
    net.weights[0].grad = torch.ones_like(net.weights[0])
    before, state = [p.detach().clone() for p in net.parameters()], torch.get_rng_state()
    neurons(net).weights.zero_()
    neurons(net).biases.zero_()
    neurons(net).constant.zero_()
    amplification(net, net)
    with torch.no_grad():
        for p in merge_neurons(net, x).parameters():
            p.zero_()
    assert all(torch.equal(p, value) for p, value in zip(net.parameters(), before, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(net.weights[0].grad, torch.ones_like(net.weights[0]))


def test_other_nets_are_refused() -> None:
    with pytest.raises(ValueError, match="depth=2"):
        neurons(Dense(3, 4, 2))
    with pytest.raises(ValueError, match="activation='tanh'"):
        neurons(Dense(3, 4, 1, activation="tanh"))
    with pytest.raises(ValueError, match="d_out=1"):
        neurons(Dense(3, 4, 1, d_out=1))
    with pytest.raises(ValueError, match="its class is Linear"):
        neurons(torch.nn.Linear(3, 1))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"expected shape \(n, 3\)"):
        attractors(net_of(), patterns(1, 4, 2))
