"""Sensitivity: how much an exchange of inputs changes a net's layers, relative to two random inputs."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.device import model_device
from symnets.observables._as_found import as_found, copy_inputs
from symnets.observables._stability._accumulators import Accumulators
from symnets.observables._stability._features import Features, Layers, OutputSelector, select_layers
from symnets.observables._stability._result import LayerEstimates


@dataclass(frozen=True)
class Sensitivity:
    """Squared change of the layers of a net under an exchange x -> x', relative to that of two inputs x ≠ z.

        S = <‖f(x') - f(x)‖²> / <‖f(x) - f(z)‖²>.

    S is 0 for a layer that is invariant, and 1 if x' changes the layer as much as another random input does.
    """

    layers: tuple[str, ...]
    """Names in the order of execution; the output of the model is called "output" and comes last."""
    S: LayerEstimates
    """One value for each layer, with its confidence interval; NaN where all inputs have the same output."""
    n: int
    """Number of inputs."""

    @property
    def output(self) -> float:
        """S of the output."""
        return float(self.S.value[-1])

    def layer(self, name: str) -> float:
        """S of a layer.

        Raises:
            ValueError: it was not measured.
        """
        if name not in self.layers:
            raise ValueError(f"name: expected one of {', '.join(self.layers)}, got {name!r}")
        return float(self.S.value[self.layers.index(name)])


@torch.no_grad()
def sensitivity(
    model: nn.Module,
    inputs: Float[Tensor, "n *shape"],
    exchanged: Float[Tensor, "n *shape"],
    *,
    layers: Layers = None,
    output: OutputSelector | Mapping[str, OutputSelector] | None = None,
    batch_size: int = 500,
    confidence: float = 0.95,
) -> Sensitivity:
    """Sensitivity of a net and its layers to an exchange of each input for another one.

    With inputs in which synonyms of a `RandomHierarchy` are exchanged this is the synonymic sensitivity of
    Cagnetta et al. 2024 (arXiv:2307.02129); with symbols of a `SparseHierarchy` moved in their blocks, the
    sensitivity to discrete deformations of Tomasini and Wyart 2024 (arXiv:2404.10727). For images and their
    deformations it is D of `stability`, which samples the deformations itself.

    The denominator averages over all pairs of different inputs. The model is evaluated in eval mode and left
    as found.

    Args:
        model: any module with one row of output per input.
        inputs: x, at least two; they should be sampled independently.
        exchanged: x', the input for which each x is exchanged.
        layers: layers to measure besides the output, as for `stability`: names, types, or "all".
        output: selectors of outputs that are not tensors, as for `stability`.
        batch_size: largest number of inputs in a forward pass.
        confidence: confidence level of the intervals; inputs are the sampling unit (delta method).

    Raises:
        ValueError: inputs of different shapes, fewer than two, or options out of range; for layers and
            outputs as `stability`.

    Example:
        For f(x) = x, and x' independent of x and from the same distribution, S = 1 on average.
    """
    if inputs.shape != exchanged.shape or inputs.ndim == 0 or len(inputs) < 2:
        raise ValueError(
            f"inputs, exchanged: expected equal shapes with at least two inputs, got {tuple(inputs.shape)} "
            f"and {tuple(exchanged.shape)}"
        )
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    selected, named = select_layers(model, layers)
    features = Features(model, selected, named, output)
    device = model_device(model, inputs.device)
    sums, start = Accumulators("mean", len(inputs), 1), 0
    with as_found(model), features:
        model.eval()
        pairs = zip(inputs.split(batch_size), exchanged.split(batch_size), strict=True)
        for before, after in pairs:
            features.forward(copy_inputs(before).to(device), sums.on_clean(start))
            features.forward(copy_inputs(after).to(device), sums.on_perturbed(0, start))
            start += len(before)
    values = [sums.by_layer[name].estimates(confidence, 0)[0] for name in features.names]
    return Sensitivity(features.names, LayerEstimates.of(values), len(inputs))
