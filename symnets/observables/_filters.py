"""Filters of convolutions: spatial frequencies, and networks with shuffled channels."""

import copy
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Float64, Int64
from torch import Generator, Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm


@dataclass(frozen=True)
class FilterProjections:
    """Mean squared projections of a layer's filters on the eigenvectors of the Laplacian of a k x k grid.

    Large projections at small eigenvalues mean filters that average over space, as pooling does
    (Tomasini et al. 2022, arXiv:2210.01506).
    """

    eigenvalues: Float64[Tensor, " modes"]
    """Eigenvalues λ, ascending; λ = 0 is the constant filter."""
    mean_squares: Float64[Tensor, " modes"]
    """<(v · w)²> over all filters w of the layer; the sum over modes is <‖w‖²>."""
    modes: Int64[Tensor, "modes 2"]
    """Numbers of half periods (p, q) along rows and columns. (p, q) and (q, p) share an eigenvalue, so that
    only the sum of their mean squares is independent of the choice of axes."""

    @property
    def fractions(self) -> Float64[Tensor, " modes"]:
        """Mean squares divided by their sum."""
        return self.mean_squares / self.mean_squares.sum()


@torch.no_grad()
def filter_projections(weight: Float[Tensor, "outputs inputs k k"]) -> FilterProjections:
    """Mean squared projections of filters on the eigenvectors of the grid Laplacian.

    With free boundary conditions, eigenvectors and eigenvalues are

        v_pq(i, j) = c_p c_q cos(π p (i + 1/2) / k) cos(π q (j + 1/2) / k),
        λ_pq = 4 sin²(π p / 2k) + 4 sin²(π q / 2k),     p, q = 0 ... k - 1.

    Args:
        weight: weight of a convolution, such as `layer.weight`.

    Raises:
        ValueError: the filters are not k x k.

    Example:
        A constant filter projects on λ = 0 only.
        >>> filter_projections(torch.ones(2, 3, 3, 3)).fractions[0].round().item()
        1.0
    """
    if weight.ndim != 4 or weight.shape[2] != weight.shape[3] or weight.numel() == 0:
        raise ValueError(f"weight: expected shape (outputs, inputs, k, k), got {tuple(weight.shape)}")
    k = weight.shape[-1]
    wave = torch.arange(k, dtype=torch.float64, device=weight.device)
    cosines = torch.cos(torch.pi * wave[:, None] * (wave + 0.5) / k)
    cosines /= cosines.norm(dim=1, keepdim=True)
    squares = (cosines @ weight.double() @ cosines.T).square().mean((0, 1))
    single = 4 * torch.sin(torch.pi * wave / (2 * k)).square()
    eigenvalues = (single[:, None] + single).flatten()
    order = torch.argsort(eigenvalues, stable=True)
    modes = torch.cartesian_prod(wave.long(), wave.long())
    return FilterProjections(eigenvalues[order], squares.flatten()[order], modes[order])


Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def channel_shuffled(model: Model, *, generator: Generator, outputs: bool = False) -> Model:
    """A copy of a model in which the input channels of every 2D convolution are permuted at random.

    Each filter keeps its spatial shape but is applied to another channel. If D, G and R of the copy (see
    `stability`) equal those of the model, they result from pooling in space; if not, from the interaction of
    channels (Tomasini et al. 2022, arXiv:2210.01506). All weights with four axes are permuted, each by its
    own permutation.
    Biases and normalisations are not; depthwise convolutions have one input channel and do not change.

    Weights that are computed from other parameters (weight norm, spectral norm) become plain weights of the
    copy.

    Args:
        model: any module; it is not changed.
        generator: source of the permutations.
        outputs: whether to permute the output channels of the weights too.

    Raises:
        ValueError: there is no weight with four axes, or the model is in TorchScript.
    """
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise ValueError(
            "model: expected modules of torch.nn, got TorchScript; pass the network from which it was traced "
            "or scripted"
        )
    shuffled = _with_plain_weights(model)
    done: set[int] = set()
    for module in shuffled.modules():
        # Weights of transposed convolutions have the input channels first.
        inputs = 0 if isinstance(module, nn.ConvTranspose2d) else 1
        for weight in module.parameters(recurse=False):
            if weight.ndim != 4 or id(weight) in done:
                continue
            done.add(id(weight))
            for axis in [inputs, 1 - inputs] if outputs else [inputs]:
                order = torch.randperm(weight.shape[axis], generator=generator, device=generator.device)
                weight.copy_(weight.index_select(axis, order.to(weight.device)))
    if not done:
        raise ValueError(f"model: expected convolutions, got {type(model).__name__} without 4-axis weights")
    return shuffled


def _with_plain_weights(model: Model) -> Model:
    """A copy of a model in which all weights are parameters, not computed from others."""
    attributes = [value for module in model.modules() for value in vars(module).values()]
    computed = [value for value in attributes if isinstance(value, Tensor) and not value.is_leaf]
    plain = copy.deepcopy(model, {id(value): value.detach().clone() for value in computed})
    for module in list(plain.modules()):
        if is_parametrized(module):
            parametrizations: nn.Module = module.parametrizations  # pyright: ignore[reportAssignmentType]
            parametrizations.eval()  # a spectral norm in train mode would take a step of its iteration
            weights = {name: getattr(module, name).detach() for name, _ in parametrizations.named_children()}
            # `remove_parametrizations` would change the class, which the model and its copy share.
            del module.parametrizations
            module.__class__ = type(module).__bases__[0]
            for name, weight in weights.items():
                module.register_parameter(name, nn.Parameter(weight.clone()))
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                nn.utils.remove_weight_norm(module, hook.name)
            elif isinstance(hook, SpectralNorm):
                nn.utils.remove_spectral_norm(module, hook.name)
    return plain
