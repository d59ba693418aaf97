"""Calls of the trained layers in a forward pass: their inputs, and where their outputs enter the graph."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.modules.batchnorm import _BatchNorm

from symnets.models import Convolutional
from symnets.nn import modification

LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers whose gradient is a sum over positions of products of a signal and a patch."""
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)
"""Normalisations with a factor and a shift for each channel or entry."""


class NotLayerwise(Exception):
    """Raised if the gradients of a model do not follow from the calls of its layers and need autodiff."""


@dataclass(frozen=True)
class Geometry:
    """Filter of a convolution: which inputs an output depends on."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]
    """Numbers of zeros for `torch.nn.functional.pad`, last axis first."""
    groups: int
    padding_mode: str = "constant"

    @classmethod
    def of(cls, layer: Any) -> "Geometry":
        """The geometry of a convolution of torch."""
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        padding = tuple(layer._reversed_padding_repeated_twice)
        return cls(layer.kernel_size, layer.stride, layer.dilation, padding, layer.groups, mode)

    def patches(self, x: Float[Tensor, "n channels ..."]) -> Float[Tensor, "n groups positions p"]:
        """The inputs that each output position reads, p = (channels / groups) · (entries of the kernel)."""
        x = F.pad(x, self.padding, self.padding_mode) if any(self.padding) else x
        x = x.unflatten(1, (self.groups, -1))
        axes = len(self.kernel)
        for axis, (k, s, d) in enumerate(zip(self.kernel, self.stride, self.dilation, strict=True)):
            x = x.unfold(3 + axis, d * (k - 1) + 1, s)[..., ::d]
        positions, window = range(3, 3 + axes), range(3 + axes, 3 + 2 * axes)
        return x.permute(0, 1, *positions, 2, *window).flatten(2, 1 + axes).flatten(3)


@dataclass(frozen=True)
class Call:
    """One call of a layer in a forward pass over n patterns.

    Attributes:
        kind: "linear", "convolution" or "norm".
        inputs: inputs of the layer, patterns first; for a normalisation the standardised inputs.
        shape: shape of the outputs, patterns first.
        edge: where the outputs enter the graph; None if they have no graph.
        scale: factor of the weight in the forward pass.
        weight: whether the weight is trained.
        bias: whether the bias is trained.
        geometry: geometry of a convolution.
        channel_axes: for a normalisation, axes of the outputs along which factor and shift vary.
    """

    kind: str
    inputs: Tensor
    shape: torch.Size
    edge: GradientEdge | None
    scale: float
    weight: bool
    bias: bool
    geometry: Geometry | None = None
    channel_axes: tuple[int, ...] = ()

    @property
    def n_patch_entries(self) -> int:
        """Number of entries of all patches of a convolution; 0 for other layers, whose inputs are reused."""
        if self.geometry is None:
            return 0
        per_position = self.inputs.shape[1] * math.prod(self.geometry.kernel)
        return self.shape[0] * math.prod(self.shape[2:]) * per_position


def check_layers(model: nn.Module) -> None:
    """Check that each trained parameter is the weight or bias of one unmodified layer of a known class.

    Raises:
        NotLayerwise: a parameter is not.
    """
    if modification(model, Convolutional) is None:
        return
    owned: list[int] = []
    for module in model.modules():
        if not any(p is not None and p.requires_grad for p in module._parameters.values()):
            continue
        known = next((cls for cls in LINEAR + NORMS if type(module) is cls), None)
        if known is None or module._modules:
            raise NotLayerwise(f"{type(module).__name__} has parameters of its own")
        if problem := modification(module, known):
            raise NotLayerwise(f"{type(module).__name__}: {problem}")
        if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
            raise NotLayerwise("batch normalisation by the batch couples patterns")
        owned += [id(p) for p in module._parameters.values() if p is not None]
    if len(set(owned)) < len(owned):
        raise NotLayerwise("a parameter belongs to two layers")


def forward_calls(model: nn.Module, x: Tensor) -> tuple[Tensor, list[Call]]:
    """Outputs of a model, and the calls of its trained layers.

    Raises:
        NotLayerwise: a layer is called twice or not in the usual way, a parameter is used elsewhere, or the
            outputs are not (n,) or (n, C).
    """
    if isinstance(model, Convolutional):
        return _convolutional_calls(model, x)
    calls: dict[nn.Module, Call] = {}
    with _recorded(model, calls, len(x)):
        f = model(x)
    if not isinstance(f, Tensor) or f.ndim not in (1, 2) or len(f) != len(x) or f.grad_fn is None:
        raise NotLayerwise("its outputs are not one tensor with patterns first")
    _check_uses(f, calls)
    return f, list(calls.values())


@contextmanager
def _recorded(model: nn.Module, calls: dict[nn.Module, Call], n: int) -> Iterator[None]:
    handles = []
    for module in model.modules():
        if any(p is not None and p.requires_grad for p in module._parameters.values()):
            handles.append(module.register_forward_hook(_recorder(calls, n)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _recorder(calls: dict[nn.Module, Call], n: int) -> Callable[..., None]:
    def record(layer: nn.Module, inputs: tuple[Any, ...], z: Any) -> None:
        if layer in calls:
            raise NotLayerwise("a layer is called twice")
        a = inputs[0] if len(inputs) == 1 else None
        if not isinstance(a, Tensor) or not isinstance(z, Tensor):
            raise NotLayerwise("a layer is called by keywords, or not with one tensor")
        plain = a.dtype == z.dtype == next(layer.parameters()).dtype
        if not plain or a.ndim < 2 or len(a) != n:
            raise NotLayerwise("the inputs of a layer do not have one row for each pattern")
        calls[layer] = _call(layer, a.detach(), z)

    return record


def _call(layer: Any, a: Tensor, z: Tensor) -> Call:
    weight, bias = (p is not None and p.requires_grad for p in (layer.weight, layer.bias))
    edge = get_gradient_edge(z) if z.requires_grad else None
    if isinstance(layer, nn.Linear):
        return Call("linear", a, z.shape, edge, 1.0, weight, bias)
    if not isinstance(layer, NORMS):
        geometry = Geometry.of(layer)
        if a.ndim != 2 + len(geometry.kernel):
            raise NotLayerwise("a convolution is called on one image without an axis of patterns")
        return Call("convolution", a, z.shape, edge, 1.0, weight, bias, geometry)
    axes: tuple[int, ...] = (1,)
    if isinstance(layer, nn.LayerNorm):
        axes = tuple(range(a.ndim - len(layer.normalized_shape), a.ndim))
        a = F.layer_norm(a, layer.normalized_shape, eps=layer.eps)
    elif isinstance(layer, nn.GroupNorm):
        a = F.group_norm(a, layer.num_groups, eps=layer.eps)
    else:
        a = F.batch_norm(a, layer.running_mean, layer.running_var, eps=layer.eps)
    if 0 in axes:
        raise NotLayerwise("a normalisation extends over patterns")
    return Call("norm", a, z.shape, edge, 1.0, weight, bias, channel_axes=axes)


def _check_uses(f: Tensor, calls: dict[nn.Module, Call]) -> None:
    """Check in the graph of the outputs that parameters enter it by the recorded calls only."""
    owners = {id(p): layer for layer in calls for p in layer.parameters(recurse=False)}
    seen, stack, uses = set(), [f.grad_fn], []
    while stack:
        node: Any = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        for following, _ in node.next_functions:
            if following is None:
                continue
            variable = getattr(following, "variable", None)
            if isinstance(variable, nn.Parameter):
                uses.append(id(variable))
            else:
                stack.append(following)
    if len(set(uses)) < len(uses) or not set(uses) <= owners.keys():
        raise NotLayerwise("a parameter is used outside of its layer")
    for parameter in uses:
        edge = calls[owners[parameter]].edge
        if edge is None or edge.node not in seen:
            raise NotLayerwise("a parameter is used outside of its layer")


def _convolutional_calls(model: Convolutional, x: Tensor) -> tuple[Tensor, list[Call]]:
    """Forward pass of a single `Convolutional`, whose layers are not modules."""
    model._check(x)
    if x.ndim != 4 or model.members is not None:
        raise NotLayerwise("it has an axis of members")
    calls, a = [], x
    half = model.kernel // 2
    trained_biases = [b.requires_grad for b in model.biases] or [False] * (model.depth + 1)
    for layer, (s, w) in enumerate(zip(model.scales, model.weights, strict=True)):
        b = model.biases[layer] if len(model.biases) else None
        if layer < model.depth:
            stride = (model.strides[layer],) * 2
            geometry = Geometry((model.kernel,) * 2, stride, (1, 1), (half,) * 4, 1)
            z = F.conv2d(a, s * w, b, stride, half)
        else:
            geometry = None
            a = a.mean((2, 3))
            z = F.linear(a, s * w, b)
        kind = "convolution" if geometry else "linear"
        edge = get_gradient_edge(z) if z.requires_grad else None
        calls.append(
            Call(kind, a.detach(), z.shape, edge, s, w.requires_grad, trained_biases[layer], geometry)
        )
        a = model.activation(z)
    return (z[:, 0] if model.d_out is None else z), calls
