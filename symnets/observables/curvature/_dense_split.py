"""The two parts of the Hessian of a dense net in closed form, as blocks of pairs of layers."""

from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.loss import Loss
from symnets.models import Dense, Signals, signals
from symnets.observables._tangent_kernel._points import ranges
from symnets.observables.curvature._batches import loss_derivatives
from symnets.observables.curvature._spectrum import STRIP, add_weighted_gram, mirror

ALL = slice(None)


class Slot(NamedTuple):
    """Position of the weights or the biases of a layer in the matrix."""

    parameters: slice
    """Indices among all parameters, in the order of `model.parameters()`."""
    shape: tuple[int, int]
    """(units, inputs); (units, 1) for biases."""
    inputs: slice
    """Indices among the inputs of the layer; the last input is the 1 that biases multiply."""


class LayerBlocks:
    """Lower half of a symmetric matrix over the parameters, addressed by layer, unit and input.

    Args:
        matrix: matrix of a single net; only the lower half is written.
        model: the net.
    """

    def __init__(self, matrix: Float[Tensor, "N N"], model: Dense) -> None:
        self.matrix = matrix
        self.slots: list[list[Slot]] = []
        start = 0
        for w in model.weights:
            units, inputs = w.shape[-2:]
            self.slots.append([Slot(slice(start, start + units * inputs), (units, inputs), slice(0, inputs))])
            start += units * inputs
        for slots, b in zip(self.slots, model.biases, strict=False):
            units, inputs = b.shape[-1], slots[0].shape[1]
            slots.append(Slot(slice(start, start + units), (units, 1), slice(inputs, inputs + 1)))
            start += units

    def add(self, high: int, low: int, values: Float[Tensor, "p q i j"], units: slice = ALL) -> None:
        """Add values[p, q, i, j] to the block of layers high >= low.

        p and q are unit and input of layer `high`, i and j those of layer `low`; p is in the range `units`.
        The block of a layer with itself is symmetric: `units` must be given, and i may end where `units`
        ends.
        """
        for row, column in product(self.slots[high], self.slots[low]):
            if row.inputs.start >= values.shape[1]:
                continue
            part = values[:, row.inputs, :, column.inputs]
            if high == low and row.inputs.start < column.inputs.start:
                # Stored transposed, as (bias i, weight p); i >= units.start is added there as a row.
                part = part[:, :, : units.start]
            self._view(row, column)[units, :, : part.shape[2]] += part

    def add_same_unit(self, low: int, values: Float[Tensor, "p j i"]) -> None:
        """Add values[p, j, i] to the block of layers low + 1 and low.

        p and i are unit and input of layer low + 1, i and j those of layer low; entries between another
        input of layer low + 1 and unit i are zero.
        """
        for column in self.slots[low]:
            diagonal = self._view(self.slots[low + 1][0], column).diagonal(dim1=1, dim2=2)
            diagonal += values[:, column.inputs]

    def add_diagonal_units(self, layer: int, values: Float[Tensor, "p q j"]) -> None:
        """Add values[p, q, j] to the block of a layer with itself, at unit p and inputs q and j.

        Entries between different units are zero.
        """
        for row, column in product(self.slots[layer], self.slots[layer]):
            if row.inputs.start >= column.inputs.start:  # the other order is the transpose
                diagonal = self._view(row, column).diagonal(dim1=0, dim2=2)
                diagonal += values[:, row.inputs, column.inputs].permute(1, 2, 0)

    def _view(self, row: Slot, column: Slot) -> Float[Tensor, "p q i j"]:
        if row.parameters.start >= column.parameters.start:
            block = self.matrix[row.parameters, column.parameters]
        else:
            block = self.matrix[column.parameters, row.parameters].T
        return block.unflatten(1, column.shape).unflatten(0, row.shape)


def dense_gradients(pass_: Signals, *, bias: bool) -> Float[Tensor, "N n"]:
    """Gradients ∂f_μ/∂w of a single net, rows in the order of `model.parameters()`.

    ∂f/∂W_l[p, j] = s_l D_l[p] a_(l-1)[j], ∂f/∂b_l = D_l.
    """
    activations, back = single(pass_.activations), single(pass_.signals)
    sizes = [len(d) * len(a) for d, a in zip(back, activations, strict=True)]
    n_biases = sum(len(d) for d in back) if bias else 0
    g = back[0].new_empty(sum(sizes) + n_biases, back[0].shape[1])
    start = 0
    for size, s, d, a in zip(sizes, pass_.scales, back, activations, strict=True):
        torch.mul((s * d)[:, None], a[None], out=g[start : start + size].view(len(d), len(a), -1))
        start += size
    if bias:
        torch.cat(back, out=g[start:])
    return g


def single(features: tuple[Tensor, ...]) -> list[Float[Tensor, "units n"]]:
    """Features without a member axis of length one."""
    return [a if a.ndim == 2 else a[0] for a in features]


SYMMETRIC = 6
"""Largest number of units per product in the block of a layer with itself, of which only half is computed."""


def add_second_derivatives(
    blocks: LayerBlocks, model: Dense, pass_: Signals, weights: Float[Tensor, " n"], *, budget: int
) -> None:
    """Add Σ_μ c_μ ∇²f_μ of a single net to the lower half of a matrix.

    With z_l = s_l W_l a_(l-1) + b_l and D_l = ∂f/∂z_l, for l <= m:

        ∂²f / ∂W_m[p, q] ∂W_l[i, j] = s_m s_l ( K_ml[p, i] a_(m-1)[q] a_(l-1)[j]
                                              + [l < m]  D_m[p] T_ml[q, i] a_(l-1)[j] ),
        T_ml = ∂a_(m-1)/∂z_l,     K_ml = ∂D_m/∂z_l = ∂²f/∂z_m ∂z_l,

    and a bias is a weight from a unit with a = 1, s = 1. A pass forward from layer l and one back to it give

        T_(l+1)l = diag φ'_l,   T_(m+1)l = φ'_m ∘ s_m W_m T_ml,
        K_(L+1)l = 0,           K_ml = φ''_m ∂f/∂a_m ∘ ∂z_m/∂z_l + φ'_m ∘ s_(m+1) W_(m+1)^T K_(m+1)l.

    K is zero for piecewise linear φ: the block of a layer with itself is then zero. The sum over P patterns
    is one matrix product for each pair of layers, of cost P h³ where T or K is diagonal, otherwise P h⁴, with
    h the width.

    Args:
        blocks: the matrix, to which the sum is added.
        model: the net.
        pass_: activations and signals on the patterns.
        weights: c.
        budget: largest number of entries of a product.
    """
    w = [s * layer.detach() for s, layer in zip(model.scales, model.weights, strict=True)]
    slopes, back = single(pass_.slopes), single(pass_.signals)
    inputs = [s * a for s, a in zip(model.scales, single(pass_.activations), strict=True)]
    if len(model.biases):
        inputs = [torch.cat([a, torch.ones_like(a[:1])]) for a in inputs]
    curvatures = []
    if pass_.curvatures is not None:
        for curvature, layer, d in zip(single(pass_.curvatures), w[1:], back[1:], strict=True):
            curvatures.append(weights * curvature * (layer.T @ d))
    for low in range(model.depth):
        # ∂z_m/∂z_low for m = low, low + 1, ...
        jacobians = [torch.eye(model.width, dtype=w[0].dtype, device=w[0].device)[..., None]]
        for m in range(low + 1, model.depth + 1):
            shared = ((weights * back[m])[:, None] * inputs[low]).flatten(0, 1)  # c D_m[p] a_(l-1)[j]
            if m == low + 1:  # T is diagonal
                product = shared @ (model.scales[m] * slopes[low]).T
                blocks.add_same_unit(low, product.unflatten(0, (-1, len(inputs[low]))))
                jacobians.append(w[m][..., None] * slopes[low])
                continue
            into = slopes[m - 1][:, None] * jacobians[-1]  # T
            if not curvatures:
                jacobians.clear()
            if m < model.depth:
                jacobians.append((w[m] @ into.flatten(1)).view_as(into))
            product = shared @ into.mul_(model.scales[m]).flatten(0, 1).T
            product = product.view(-1, len(inputs[low]), *into.shape[:2])
            blocks.add(m, low, product.permute(0, 2, 3, 1))
        if curvatures:
            _add_curvatures(blocks, low, jacobians, curvatures, w, slopes, inputs, budget)


def _add_curvatures(
    blocks: LayerBlocks,
    low: int,
    jacobians: list[Tensor],
    curvatures: list[Tensor],
    w: list[Tensor],
    slopes: list[Tensor],
    inputs: list[Tensor],
    budget: int,
) -> None:
    """Add the terms with K, for one lower layer."""
    if low == len(curvatures) - 1:  # K is diagonal
        pairs = (inputs[low][:, None] * inputs[low]).flatten(0, 1)
        blocks.add_diagonal_units(low, (curvatures[low] @ pairs.T).unflatten(1, (len(inputs[low]), -1)))
        return
    k = None
    for m in range(len(curvatures) - 1, low - 1, -1):
        own = curvatures[m][:, None] * jacobians[m - low]
        k = own if k is None else own.add_(slopes[m][:, None] * (w[m + 1].T @ k.flatten(1)).view_as(own))
        pairs = (inputs[m][:, None] * inputs[low]).flatten(0, 1)  # a_(m-1)[q] a_(l-1)[j]
        rows = max(1, budget // (k.shape[1] * len(pairs)))
        for units in ranges(len(k), min(rows, SYMMETRIC) if m == low else rows):
            part = k[units, : units.stop] if m == low else k[units]
            product = part.flatten(0, 1) @ pairs.T
            shape = (*part.shape[:2], len(inputs[m]), len(inputs[low]))
            blocks.add(m, low, product.view(shape).permute(0, 2, 1, 3), units)


SMALL = 2**20
"""Number of entries that temporaries may have even for small nets: 8 MB in float64."""


@torch.no_grad()
def add_dense_split(
    h0: Float[Tensor, "N N"],
    hp: Float[Tensor, "N N"],
    model: Dense,
    loss: Loss,
    x: Float[Tensor, "n d_in"],
    y: Float[Tensor, " n"],
) -> None:
    """Write H0 and Hp of a single net into matrices of zeros.

    With the outputs f_μ = f(x_μ), P patterns and G the gradients ∂f_μ/∂w,

        H0 = G diag(ℓ''/P) G^T,   Hp = Σ_μ (ℓ'_μ/P) ∇²f_μ  (`add_second_derivatives`).

    Only patterns with ℓ' or ℓ'' not zero are used. They are taken in portions, so that temporaries have fewer
    than N² entries (or take less than 8 MB, or as much as one pattern needs, if that is more).

    Source of the split: Geiger et al. 2019, arXiv:1809.09349.
    """
    budget = max(len(h0) ** 2, SMALL) // 8
    portion = max(1, budget // _entries_per_pattern(model, len(h0)))
    outputs = torch.cat([model(x[part]) for part in ranges(len(x), portion)])
    d1, d2 = loss_derivatives(loss, outputs, y, list(model.parameters()))
    active = torch.nonzero((d1 != 0) | (d2 != 0))[:, 0]
    blocks = LayerBlocks(hp, model)
    for part in ranges(len(active), portion):
        chosen = active[part]
        pass_ = signals(model, x[chosen])
        if bool((d2[chosen] != 0).any()):
            gradients = dense_gradients(pass_, bias=bool(len(model.biases)))
            add_weighted_gram(h0, gradients, d2[chosen] / len(x))
            del gradients
        if bool((d1[chosen] != 0).any()):
            add_second_derivatives(blocks, model, pass_, d1[chosen] / len(x), budget=budget)
    mirror(h0)
    mirror(hp)


def _entries_per_pattern(model: Dense, n_params: int) -> int:
    """Upper bound of the number of entries of temporaries for each pattern."""
    h, wide = model.width, max(model.d_in, model.width) + 1
    smooth = model.activation.curvature is not None
    jacobians = (model.depth + 5 if smooth else 3) * h * h if model.depth > 1 else 0
    second = jacobians + 2 * h * wide + (wide * wide if smooth else 0)
    return model.d_in + 8 * h * model.depth + max(n_params + STRIP, second)
