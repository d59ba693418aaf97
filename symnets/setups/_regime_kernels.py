"""Tangent kernels of nets before and after their training in a regime."""

import copy

from jaxtyping import Float
from torch import Tensor

from symnets.observables import tangent_kernel
from symnets.setups._regimes import TrainedRegime


def regime_kernels(
    trained: TrainedRegime, x: Float[Tensor, "members n ..."] | None = None
) -> tuple[Float[Tensor, "members n n"], Float[Tensor, "members n n"]]:
    """Tangent kernels of √h f, the net in the NTK parametrisation, at the start and at the end of the flow.

    Args:
        trained: the nets.
        x: points; the training patterns if None.
    """
    x = trained.train.inputs if x is None else x
    start = copy.deepcopy(trained.model)  # with the parameters that are trained
    start.load_state_dict(trained.start.state_dict())
    width = trained.model.width
    return width * tangent_kernel(start, x), width * tangent_kernel(trained.model, x)
