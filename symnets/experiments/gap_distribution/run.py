"""Runs: minimise above jamming, decompress, keep the gaps."""

from collections.abc import Sequence

import numpy as np

from symnets.data.loader import Batch
from symnets.experiments import progress
from symnets.experiments.experiment import Result, Scalar
from symnets.experiments.gap_distribution.config import Config
from symnets.experiments.gap_distribution.decompress import Decompressed, State, decompress
from symnets.experiments.nets import minimise


def run(configs: Sequence[Config]) -> list[Result]:
    """Minimises all nets together, then decompresses one by one.

    Rows as `Minimised.rows` tells them of the state before decompression; `n_minima` on the way down, and of
    the last of them and of the verge `n_left` (patterns), `n_overlaps` (Δ > tolerance), `loss` and
    `mean_overlap`, with `minimum_` and `verge_` before; None where there is none. Arrays: `minimum` and
    `verge`, gaps Δ of the patterns left; `path_n` and `path_loss` of the minima on the way.
    """
    found = minimise(configs)
    results = []
    for k, (config, row) in enumerate(zip(configs, found.rows(configs), strict=True)):
        progress.report(k / len(configs), f"decompressing net {k + 1} of {len(configs)}")
        train = Batch(found.train.inputs[[k]], found.train.targets[[k]])
        results.append(_result(row, decompress(found.model.select([k]), train, config), config.tolerance))
    return results


def _result(row: dict[str, Scalar], found: Decompressed, tolerance: float) -> Result:
    states = {"minimum": found.minima[-1] if found.minima else None, "verge": found.verge}
    row, arrays = row | {"n_minima": len(found.minima)}, {}
    for name, state in states.items():
        row |= {f"{name}_{key}": value for key, value in _numbers(state, tolerance).items()}
        if state is not None:
            arrays[name] = state.gaps.double().numpy()
    if found.minima:
        arrays["path_n"] = np.array([state.n_train for state in found.minima])
        arrays["path_loss"] = np.array([state.loss for state in found.minima])
    return Result(row, arrays)


def _numbers(state: State | None, tolerance: float) -> dict[str, Scalar]:
    if state is None:
        return dict.fromkeys(("n_left", "n_overlaps", "loss", "mean_overlap"))
    overlaps = state.gaps[state.gaps > tolerance].double()
    return {
        "n_left": state.n_train,
        "n_overlaps": len(overlaps),
        "loss": state.loss,
        "mean_overlap": float(overlaps.mean()),
    }
