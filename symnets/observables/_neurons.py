"""Neurons of nets with one hidden layer of ReLU: positions, activation patterns, and growth in training."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from symnets.models import Dense
from symnets.nn import modification


@dataclass(frozen=True)
class Neurons:
    """Neurons of a net f(x) = Σ_n a_n (v_n · x + b_n)₊ + c, without scale factors of a parametrisation.

    For a `Dense`, v and a contain its scales s_1, s_2 and the norm √2 of its ReLU: v = s_1 ω with the weights
    ω of the first layer, a = √2 s_2 β with the weights β of the last one. For the net
    f = (1/h) Σ β σ(ω · x/√d + b) of Paccolat et al. 2020 (arXiv:2007.11471), v is ω/√d and a is β/h.

    Attributes:
        weights: v.
        biases: b; zero if the net has none.
        amplitudes: a.
        constant: c, the bias of the output.
    """

    weights: Float[Tensor, "*members h d"]
    biases: Float[Tensor, "*members h"]
    amplitudes: Float[Tensor, "*members h"]
    constant: Float[Tensor, "*members"]

    @property
    def positions(self) -> Float[Tensor, "*members h d"]:
        """z = -b v/|v|², the point of the neuron's hyperplane v · x + b = 0 that is nearest to the origin.

        In the parametrisations "ntk" and "mean_field" this is -√d b ω/|ω|²; in "standard", where s_1 = 1, it
        is -b ω/|ω|². In one dimension z is the kink of the neuron. The initial biases of `Dense` are zero, so
        that all z are 0 before training unless biases are drawn at random.
        """
        return -self.biases[..., None] * self.weights / self.weights.square().sum(-1, keepdim=True)

    def preactivations(self, x: Float[Tensor, "*members n d"]) -> Float[Tensor, "*members h n"]:
        """v · x + b, which equals b (1 - z · x / |z|²)."""
        return self.weights @ x.mT + self.biases[..., None]

    def active(self, x: Float[Tensor, "*members n d"]) -> Bool[Tensor, "*members h n"]:
        """Activation patterns: which neurons are active on which patterns, v · x + b > 0.

        Equivalently z · x < |z|² if b > 0, and z · x > |z|² if b < 0: the side of the hyperplane that
        contains the origin if b > 0, the other side if b < 0.
        """
        return self.preactivations(x) > 0

    def outputs(self, x: Float[Tensor, "*members n d"]) -> Float[Tensor, "*members n"]:
        """Outputs f(x) of the net at the points x."""
        contributions = self.amplitudes[..., None] * self.preactivations(x).relu()
        return contributions.sum(-2) + self.constant[..., None]


@torch.no_grad()
def neurons(net: Dense) -> Neurons:
    """The neurons of a dense net with one hidden layer of ReLU, in any parametrisation.

    Args:
        net: depth 1, activation "relu", scalar output; single or with members. It is not changed, and the
            result shares no memory with it.

    Raises:
        ValueError: the net is of another kind, or modified (a subclass, hooks, pruned weights, ...).

    Example:
        >>> net = Dense(5, 3, 1, parametrization="mean_field", bias=True)
        >>> x = torch.randn(7, 5)
        >>> torch.allclose(neurons(net).outputs(x), net(x), atol=1e-6)
        True
    """
    if problem := modification(net, Dense):
        raise ValueError(f"net: expected an unmodified Dense, but {problem}")
    if net.depth != 1 or net.activation.name != "relu" or net.d_out is not None:
        raise ValueError(
            f"net: expected one hidden layer of ReLU and a scalar output, got depth={net.depth}, "
            f"activation={net.activation.name!r}, d_out={net.d_out}"
        )
    first, second = (w.detach() for w in net.weights)
    if len(net.biases):
        biases, constant = (b.detach().clone() for b in net.biases)
    else:
        biases, constant = first.new_zeros(first.shape[:-1]), first.new_zeros((*first.shape[:-2], 1))
    amplitudes = net.scales[1] * net.activation.norm * second[..., 0, :]
    return Neurons(net.scales[0] * first, biases, amplitudes, constant[..., 0])


@dataclass(frozen=True)
class Amplification:
    """Growth of each neuron since the start of its training.

    Attributes:
        weights: |v|/|v_0|.
        biases: |b|/|b_0|; NaN or infinite where b_0 = 0.
        amplitudes: |a|/|a_0|.
        cosine: v · v_0/(|v| |v_0|), 1 for a neuron that has not turned.
    """

    weights: Float[Tensor, "*members h"]
    biases: Float[Tensor, "*members h"]
    amplitudes: Float[Tensor, "*members h"]
    cosine: Float[Tensor, "*members h"]

    @property
    def contribution(self) -> Float[Tensor, "*members h"]:
        """|a| |v| relative to its initial value: the growth of the neuron's part of the slope of f."""
        return self.weights * self.amplitudes


def amplification(net: Dense, start: Dense) -> Amplification:
    """Growth and rotation of the neurons of a net relative to its initial weights.

    In lazy training all factors stay near 1. In feature training, the weights ω, b and β of a neuron that
    moves to an attractor grow exponentially and together, because gradient flow conserves |ω|² + b² - β² (in
    the "ntk" and "mean_field" parametrisations). The ratio of the relevant to the irrelevant components of ω
    is another quantity, `compression`.

    Args:
        net: one hidden layer of ReLU, see `neurons`.
        start: the same net before training.

    Raises:
        ValueError: nets of other kinds, or of different shapes.
    """
    now, first = neurons(net), neurons(start)
    if now.weights.shape != first.weights.shape:
        raise ValueError(
            f"net, start: expected nets of equal shape, got weights {tuple(now.weights.shape)} and "
            f"{tuple(first.weights.shape)}"
        )
    length, initial = now.weights.norm(dim=-1), first.weights.norm(dim=-1)
    return Amplification(
        length / initial,
        (now.biases / first.biases).abs(),
        (now.amplitudes / first.amplitudes).abs(),
        (now.weights * first.weights).sum(-1) / (length * initial),
    )
