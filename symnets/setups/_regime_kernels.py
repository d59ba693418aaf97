"""Tangent kernels of nets before and after their training in a regime, and the runs of each task."""

import pandas as pd
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
    width = trained.model.width
    return width * tangent_kernel(trained.initial_model(), x), width * tangent_kernel(trained.model, x)


def runs_by_task(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Runs of each data set and number of training patterns, in the order of seeds, by their description.

    Args:
        table: runs with columns `data`, `n_train` and `seed`.
    """
    names, runs = {"mnist": "MNIST, convolutional"}, table.sort_values("seed", kind="stable")
    return {
        f"{names.get(data, data)}, P = {p}": runs.query("data == @data and n_train == @p")
        for data, p in table[["data", "n_train"]].drop_duplicates().itertuples(index=False)
    }
