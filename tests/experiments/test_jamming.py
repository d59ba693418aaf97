"""Jamming of nets: findings on tables of known transitions, and a few tiny runs."""

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import jamming_plane, jamming_sharpness
from symnets.sweeps import grid


def nothing(_hash):
    return {}


def test_line_recovers_the_exponent_of_a_sharp_boundary():
    rows = [
        {
            "n_train": p,
            "n_weights": n,
            "seed": s,
            "verdict": "UNSAT",
            "jammed": n < 2 * p**0.75 * (1 + 0.01 * s),
        }
        for p in (100, 200, 400, 800)
        for n in np.geomspace(p**0.75, 4 * p**0.75, 30)
        for s in range(3)
    ]
    line = jamming_plane.line(pd.DataFrame(rows))
    assert line.law is not None
    assert line.law.exponent.value == pytest.approx(0.75, abs=0.01)
    assert line.law.prefactor.value == pytest.approx(2.0, rel=0.05)


def made_up(jump: float) -> pd.DataFrame:
    ratios = np.repeat([1.5, 2.0, 2.5, 3.0], 4)
    share = np.where(ratios > 2.2, jump + 0.1 * (ratios - 2.2), 0.0)
    return pd.DataFrame(
        {
            "depth": 3,
            "width": 10,
            "ratio": ratios,
            "seed": np.tile(range(4), 4),
            "verdict": np.where(share > 0, "UNSAT", "SAT"),
            "unsatisfied_per_weight": share,
            "final_loss": share,
            "jammed_above": 0.1,
        }
    )


@pytest.mark.parametrize(("jump", "agrees"), [(0.5, True), (0.12, False)])
def test_a_jump_agrees_and_a_ramp_does_not(jump, agrees):
    gap, place, *_ = jamming_sharpness.findings(made_up(jump), nothing)
    assert gap.agrees is agrees
    assert place.measured.value == pytest.approx(2.25)


def test_a_table_without_converged_runs_does_not_agree():
    table = made_up(0.5).assign(verdict="UNCONVERGED")
    gap = jamming_sharpness.findings(table, nothing)[0]
    assert np.isnan(gap.measured.value)
    assert not gap.agrees


def test_diverged_runs_are_left_out():
    table = made_up(0.5)
    more = table.assign(verdict="DIVERGED", unsatisfied_per_weight=9.0, seed=table["seed"] + 4)
    both = pd.concat([table, more])
    for a, b in zip(
        jamming_sharpness.findings(table, nothing), jamming_sharpness.findings(both, nothing), strict=True
    ):
        assert a.measured.value == b.measured.value


def test_tiny_runs_have_rows_and_figures():
    configs = grid(jamming_sharpness.Config, n_train=(4, 60), width=3, dim=3, steps=300, seed=range(2))
    results = [*jamming_sharpness.run(configs[:2]), *jamming_sharpness.run(configs[2:])]
    rows = [vars(config) | result.row for config, result in zip(configs, results, strict=True)]
    table = pd.DataFrame(rows)
    assert len(jamming_sharpness.figure(table, nothing).axes) == 2
    assert set(table["verdict"]) <= {"SAT", "UNSAT", "UNCONVERGED"}


def test_presets_are_grids_of_distinct_configs():
    for module in (jamming_plane, jamming_sharpness):
        for configs in module.PRESETS.values():
            assert len(set(configs)) == len(configs)
