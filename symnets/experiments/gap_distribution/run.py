"""Runs: minimise above jamming, decompress, keep the gaps."""

from collections.abc import Sequence

import numpy as np

from symnets.data.loader import Batch
from symnets.experiments import progress
from symnets.experiments.decompression import JammedState, decompress
from symnets.experiments.experiment import Result, Scalar
from symnets.experiments.gap_distribution.config import Config
from symnets.experiments.nets import minimise


def run(configs: Sequence[Config]) -> list[Result]:
    """Minimises all nets together, then decompresses one by one.

    Rows as `Minimised.rows` tells them of the state before decompression; `n_minima` on the way down, and of
    the last of them `jammed_n_train` (patterns left), `jammed_n_unsatisfied` (Δ > tolerance), `jammed_loss`
    and `mean_overlap`; None if there is none. Arrays: `gaps`, Δ of the patterns left; `path_n` and
    `path_loss` of all minima on the way.
    """
    found = minimise(configs)
    results = []
    for k, (config, row) in enumerate(zip(configs, found.rows(configs), strict=True)):
        progress.report(k / len(configs), f"decompressing net {k + 1} of {len(configs)}")
        train = Batch(found.train.inputs[[k]], found.train.targets[[k]])
        results.append(_result(row, decompress(found.model.select([k]), train, config), config.tolerance))
    return results


def _result(row: dict[str, Scalar], minima: list[JammedState], tolerance: float) -> Result:
    row = row | {"n_minima": len(minima)}
    names = ("jammed_n_train", "jammed_n_unsatisfied", "jammed_loss", "mean_overlap")
    if not minima:
        return Result(row | dict.fromkeys(names))
    last = minima[-1]
    overlaps = last.gaps[last.gaps > tolerance].double()
    values = (last.n_train, len(overlaps), last.loss, float(overlaps.mean()))
    arrays = {
        "gaps": last.gaps.double().numpy(),
        "path_n": np.array([state.n_train for state in minima]),
        "path_loss": np.array([state.loss for state in minima]),
    }
    return Result(row | dict(zip(names, values, strict=True)), arrays)
