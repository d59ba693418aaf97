"""Attractors: groups of neurons that are active on the same patterns, and nets with one neuron per group."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from symnets.models import Dense
from symnets.observables._neurons import Neurons, neurons


@dataclass(frozen=True)
class Attractors:
    """Groups of neurons with equal activation pattern and equal sign of the output weight β.

    Neurons that are active on no pattern, or have output weight zero, do not contribute to the outputs: they
    are in no group. Groups of each member are numbered from 0, the largest first.

    Attributes:
        active: activation pattern of each neuron, one bit for each training pattern.
        group: index of each neuron's group, equal for neurons with equal activation pattern and sign of β; -1
            for a neuron in no group.
        pattern: index of each neuron's activation pattern, regardless of the sign of β; -1 as for `group`.
    """

    active: Bool[Tensor, "*members h n"]
    group: Int[Tensor, "*members h"]
    pattern: Int[Tensor, "*members h"]

    @property
    def n_groups(self) -> Int[Tensor, "*members"]:
        """Number of groups; at most two for each activation pattern."""
        return self.group.amax(-1) + 1

    @property
    def n_patterns(self) -> Int[Tensor, "*members"]:
        """Number of different activation patterns of the neurons that contribute."""
        return self.pattern.amax(-1) + 1

    @property
    def n_silent(self) -> Int[Tensor, "*members"]:
        """Number of neurons that are in no group."""
        return (self.group < 0).sum(-1)


@torch.no_grad()
def attractors(net: Dense, x: Float[Tensor, "*members n d"]) -> Attractors:
    """Attractors of a net with one hidden layer: neurons grouped by activation pattern and output sign.

    On the training patterns on which a neuron is active, its output is linear in its weights. For neurons
    that are active on the same patterns, with the same sign of the output weight β, the gradients of the loss
    with respect to these weights point in the same direction, and feature training brings the neurons
    together (Petrini's candidacy exam, 2020).

    Args:
        net: one hidden layer of ReLU, see `neurons`.
        x: training patterns (n, d), or (S, n, d) if each member has its own.

    Raises:
        ValueError: the net is of another kind, or the patterns have another shape.
    """
    net._check(x)
    found = neurons(net)
    active = found.active(x)
    if net.members is None:
        return Attractors(active, *_numbers(active, found.amplitudes))
    pairs = [_numbers(bits, a) for bits, a in zip(active, found.amplitudes, strict=True)]
    group, pattern = (torch.stack(column) for column in zip(*pairs, strict=True))
    return Attractors(active, group, pattern)


def _numbers(
    active: Bool[Tensor, "h n"], amplitudes: Float[Tensor, " h"]
) -> tuple[Int[Tensor, " h"], Int[Tensor, " h"]]:
    """Indices of the groups and of the activation patterns."""
    same = torch.unique(active, dim=0, return_inverse=True)[1]
    contributes = active.any(1) & (amplitudes != 0)
    return _by_size(2 * same + (amplitudes > 0), contributes), _by_size(same, contributes)


def _by_size(key: Int[Tensor, " h"], contributes: Bool[Tensor, " h"]) -> Int[Tensor, " h"]:
    """Indices of the different keys, the most frequent first; -1 for neurons that do not contribute."""
    _, inverse, counts = torch.unique(key[contributes], return_inverse=True, return_counts=True)
    rank = torch.empty_like(counts)
    rank[counts.argsort(descending=True, stable=True)] = torch.arange(len(counts), device=counts.device)
    numbers = torch.full_like(key, -1)
    numbers[contributes] = rank[inverse]
    return numbers


@torch.no_grad()
def merge_neurons(net: Dense, x: Float[Tensor, "*members n d"]) -> Dense:
    """A smaller net with one neuron for each attractor, and the same outputs on the training patterns.

    Weights are those of `Neurons`: f(x) = Σ_n a_n (v_n · x + b_n)₊ + c. Let A be the patterns on which the
    neurons n of a group are active, and σ the sign of their a. The neuron

        v = Σ_n |a_n| v_n,   b = Σ_n |a_n| b_n,   a = σ

    has the sum of the outputs of the group on A. On other training patterns all v_n · x + b_n are at most 0,
    and so is their sum with positive weights |a_n|: the new neuron is not active there. So it can replace the
    group. This fails if signs are mixed: v · x + b, with a_n in place of |a_n|, may then be negative within
    A, or positive outside of it. An activation pattern therefore needs up to two neurons, one for each sign.
    v, b and a are rescaled to |v|² + b² = a², which does not change the function.

    The new net has the parametrisation of the old one: the weights are divided by the scales of the new
    width. Outputs at points other than the training patterns change.

    Args:
        net: one hidden layer of ReLU, see `neurons`. It is not changed.
        x: training patterns (n, d), or (S, n, d) if each member has its own.

    Returns:
        A net of width max(1, n_groups). If it has members, n_groups is the largest of all members, and
        members with fewer groups are padded with neurons of weight zero.

    Raises:
        ValueError: the net is of another kind, or the patterns have another shape.
    """
    groups, found = attractors(net, x), neurons(net)
    width = max(1, int(groups.n_groups.max()))
    merged = Dense(
        net.d_in,
        width,
        1,
        parametrization=net.parametrization,  # pyright: ignore[reportArgumentType]
        bias=bool(len(net.biases)),
        members=net.members,
        generator=Generator().manual_seed(0),  # the random numbers of the caller are not used
        dtype=net.weights[0].dtype,
    ).to(net.weights[0].device)
    if net.members is None:
        parts = _sums(found, groups.group, width)
    else:
        members = [Neurons(*(column[s] for column in vars(found).values())) for s in range(net.members)]
        sums = [_sums(one, group, width) for one, group in zip(members, groups.group, strict=True)]
        parts = [torch.stack(column) for column in zip(*sums, strict=True)]
    weights, biases, amplitudes = parts
    merged.weights[0].copy_(weights / merged.scales[0])
    merged.weights[1].copy_(amplitudes[..., None, :] / (merged.scales[1] * merged.activation.norm))
    if len(merged.biases):
        merged.biases[0].copy_(biases)
        merged.biases[1].copy_(found.constant[..., None])
    return merged.train(net.training)


def _sums(found: Neurons, group: Int[Tensor, " h"], width: int) -> list[Tensor]:
    """v, b and a of one neuron for each group, padded with zeros to a width."""
    chosen = group >= 0
    group, a = group[chosen], found.amplitudes[chosen]
    v, b = found.weights[chosen], found.biases[chosen]
    weights = v.new_zeros(width, v.shape[1]).index_add_(0, group, a.abs()[:, None] * v)
    biases = b.new_zeros(width).index_add_(0, group, a.abs() * b)
    signs = a.new_zeros(width).index_put_((group,), a.sign())
    norm = torch.hypot(weights.norm(dim=1), biases).sqrt()
    scale = torch.where(norm > 0, 1 / norm, 0)
    return [scale[:, None] * weights, scale * biases, signs * norm]
