"""Size of a net: numbers of parameters, weights and effective parameters."""

from dataclasses import dataclass

from torch import nn

from symnets.models._convolutional import Convolutional
from symnets.models._dense import Dense
from symnets.nn import modification


@dataclass(frozen=True)
class Size:
    """Numbers of parameters of a net (of one member).

    Attributes:
        n_params: all trainable parameters.
        n_weights: without biases; d h + h² (L - 1) + h for a `Dense` net of scalar output.
        n_effective: n_params minus one for each hidden unit of a homogeneous activation, since the function
            does not change if its incoming parameters are multiplied by c and its outgoing ones divided by c.
    """

    n_params: int
    n_weights: int
    n_effective: int


def size(model: nn.Module) -> Size:
    """Size of a net.

    `n_weights` is N of Spigler et al. 2019 (arXiv:1810.09665): their nets have biases, and they subtract
    one per neuron for its rescaling. For modules other than `Dense` and `Convolutional`, parameters
    of one axis (not counting the member axis of an `Ensemble`) count as biases, and n_effective = n_params.
    """
    lead = 0 if getattr(model, "members", None) is None else 1
    members = getattr(model, "members", None) or 1
    # The relations between weights and units hold for unmodified nets of these classes.
    plain = any(modification(model, cls) is None for cls in (Dense, Convolutional))
    weights = sum(p.numel() for p in getattr(model, "weights", [])) // members if plain else 0
    trained = [p for p in model.parameters() if p.requires_grad]
    params = sum(p.numel() for p in trained) // members
    if not weights:
        biases = sum(p.numel() for p in trained if p.ndim - lead < 2) // members
        return Size(params, params - biases, params)
    units = getattr(model, "n_hidden_units", 0)
    homogeneous = getattr(getattr(model, "activation", None), "homogeneous", False)
    return Size(params, weights, params - units if homogeneous else params)


def count_weights(d_in: int, width: int, depth: int) -> int:
    """Number of weights of a `Dense` net of scalar output, d h + h² (L - 1) + h.

    Args:
        d_in: d, number of components of an input.
        width: h, number of units of each hidden layer.
        depth: L, number of hidden layers.
    """
    return d_in * width + width * width * (depth - 1) + width
