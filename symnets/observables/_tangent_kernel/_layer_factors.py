"""Gradients of the layers of a net for a block of patterns, or the factors of these gradients."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.observables._tangent_kernel._layer_calls import Call


@dataclass(frozen=True)
class Outer:
    """Factors of the gradients Σ_s d_s p_s^T of a layer, which are not formed.

    Attributes:
        patches: p_s, the entries that position s of the layer reads.
        signals: d_s, derivatives of C outputs of the net with respect to the q channels at position s.
    """

    patches: Float[Tensor, "groups n positions p"]
    signals: Float[Tensor, "groups n positions C q"]

    def __getitem__(self, rows: slice) -> "Outer":
        return Outer(self.patches[:, rows], self.signals[:, rows])

    def gradients(self) -> Float[Tensor, "n C N"]:
        """Gradients Σ_s d_s p_s^T of all patterns."""
        c, q = self.signals.shape[3:]
        gradients = self.signals.flatten(3).mT @ self.patches
        return gradients.unflatten(2, (c, q)).permute(1, 2, 0, 3, 4).flatten(2)

    def is_cheaper(self, n: int) -> bool:
        """Whether sums over pairs of positions take fewer operations than gradients, for n x n patterns."""
        positions, c, q = self.signals.shape[2:]
        p = self.patches.shape[3]
        return positions**2 * (p + c * c * (q + 2)) < c * p * q * (c + 2 * positions / n)


@dataclass(frozen=True)
class Factors:
    """Factors of the kernel of a block of patterns: gradients, and outer products that are not formed."""

    gradients: Float[Tensor, "n C N"]
    outer: tuple[Outer, ...]

    def __len__(self) -> int:
        return len(self.gradients)

    def __getitem__(self, rows: slice) -> "Factors":
        return Factors(self.gradients[rows], tuple(layer[rows] for layer in self.outer))

    @property
    def n_bytes(self) -> int:
        """Memory of all tensors."""
        tensors = [self.gradients, *[t for o in self.outer for t in (o.patches, o.signals)]]
        return sum(t.numel() * t.element_size() for t in tensors)


def outer_products_of(call: Call, deltas: Float[Tensor, "n C ..."]) -> Outer:
    """Patches and signals of a linear layer or convolution, positions flattened."""
    n, c = deltas.shape[:2]
    if call.geometry is None:
        a = call.inputs.reshape(1, n, -1, call.inputs.shape[-1])
        signals = deltas.reshape(1, n, c, -1, call.shape[-1]).transpose(2, 3)
    else:
        a = call.geometry.patches(call.inputs).transpose(0, 1)
        signals = deltas.unflatten(2, (call.geometry.groups, -1)).flatten(4).permute(2, 0, 4, 1, 3)
    columns = [call.scale * a] if call.weight else []
    if call.bias:
        columns.append(torch.ones_like(a[..., :1]))
    return Outer(torch.cat(columns, -1), signals)


def norm_gradients(call: Call, deltas: Float[Tensor, "n C ..."]) -> Float[Tensor, "n C N"]:
    """Derivatives with respect to factor and shift of a normalisation."""
    summed = [axis + 1 for axis in range(1, len(call.shape)) if axis not in call.channel_axes]
    parts = [deltas * call.inputs[:, None]] if call.weight else []
    parts += [deltas] if call.bias else []
    return torch.cat([(p.sum(summed) if summed else p).flatten(2) for p in parts], -1)


def joined(parts: list[Factors]) -> Factors:
    """The factors of successive blocks of patterns as those of one block."""
    if len(parts) == 1:
        return parts[0]
    layers = zip(*[part.outer for part in parts], strict=True)
    outer = [
        Outer(torch.cat([o.patches for o in of], 1), torch.cat([o.signals for o in of], 1)) for of in layers
    ]
    return Factors(torch.cat([part.gradients for part in parts]), tuple(outer))


def products(one: Factors, two: Factors, memory: int) -> Float[Tensor, "n1 n2 C C"]:
    """Scalar products of all gradients of two blocks."""
    c = one.gradients.shape[1]
    flat = one.gradients.flatten(0, 1) @ two.gradients.flatten(0, 1).T
    kernel = flat.unflatten(1, (-1, c)).unflatten(0, (-1, c)).transpose(1, 2)
    for a, b in zip(one.outer, two.outer, strict=True):
        groups, _, positions = a.patches.shape[:3]
        pair = 2 * kernel.element_size() * groups * (positions * c) ** 2
        step = max(1, memory // (pair * len(two)))
        for i in range(0, len(one), step):
            kernel[i : i + step] += _layer_products(a[i : i + step], b)
    return kernel


def _layer_products(one: Outer, two: Outer) -> Float[Tensor, "n1 n2 C C"]:
    """Σ_(s, s') (p_s · p'_s') (d_s · d'_s')."""
    s, c = one.signals.shape[2:4]
    patches = one.patches.flatten(1, 2) @ two.patches.flatten(1, 2).mT
    signals = one.signals.flatten(1, 3) @ two.signals.flatten(1, 3).mT
    if (c, s, len(patches)) == (1, 1, 1):
        return (patches * signals)[0, :, :, None, None]
    patches = patches.unflatten(2, (-1, s)).unflatten(1, (-1, s))
    signals = signals.unflatten(2, (-1, s, c)).unflatten(1, (-1, s, c))
    return torch.einsum("gisjt,giscjtd->ijcd", patches, signals)
