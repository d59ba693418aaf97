"""Two losses on the same nets: findings on tables of known curves, and tiny nets on digits."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from symnets.experiments import loss_comparison
from symnets.experiments.loss_comparison import Config
from symnets.setups import initial_net, patterns


def no_arrays(name: str) -> Mapping[str, np.ndarray]:
    raise AssertionError(f"{name}: this experiment has no arrays")


def table_of(difference: float, last: float = 1e-3) -> pd.DataFrame:
    """The hinge jams at N* between 100 and 200; cross-entropy errs by `difference` more, at the last size."""
    lines = []
    for loss in ("quadratic_hinge", "cross_entropy"):
        for k, n in enumerate((50, 100, 200, 400)):
            for seed in range(3):
                hinge = loss == "quadratic_hinge"
                lines.append(
                    {
                        "loss": loss,
                        "n_train": 300,
                        "tolerance": 1e-3,
                        "n_weights": n,
                        "seed": seed,
                        "unsatisfied_per_weight": (2.0, 0.6, 0.0, 0.0)[k],
                        "n_misclassified": (20, 3, 0, 0)[k],
                        "final_loss": (1e-1, 1e-2, 1e-9, 0.0)[k] if hinge else (1e-1, 5e-2, 1e-2, last)[k],
                        "test_error": 0.2 - 0.02 * k + 0.001 * seed + (0 if hinge or k < 3 else difference),
                    }
                )
    return pd.DataFrame(lines, index=[f"run{k}" for k in range(len(lines))])


def test_equal_errors_and_one_jump_agree_with_the_publications() -> None:
    results = loss_comparison.findings(table_of(0.012), no_arrays)
    assert all(finding.agrees for finding in results)
    measured = [finding.measured.value for finding in results]
    assert measured == pytest.approx([0.003, 0.012, 0.6, 0.03, 0.0, 1e-3])
    assert "N = 400" in results[1].quantity
    assert results[1].measured.error == pytest.approx(
        0.0, abs=1e-12
    )  # seeds are paired: their scatter cancels


def test_a_difference_of_five_percent_does_not_agree() -> None:
    results = loss_comparison.findings(table_of(-0.05), no_arrays)
    assert not results[0].agrees
    assert results[1].measured.value == pytest.approx(-0.05)
    assert not results[1].agrees
    assert not loss_comparison.findings(table_of(0.0, last=0.0), no_arrays)[-1].agrees


def test_both_losses_are_needed() -> None:
    table = table_of(0.0)
    with pytest.raises(ValueError, match="expected runs with quadratic_hinge and cross_entropy"):
        loss_comparison.findings(table.query("loss == 'cross_entropy'"), no_arrays)


def test_the_figure_has_errors_counts_and_losses() -> None:
    made = loss_comparison.figure(table_of(0.0), no_arrays)
    titles = [axes.get_title(loc="left") for axes in made.axes]
    assert titles == ["Test error", "Patterns not satisfied", "Loss at the end"]
    made.canvas.draw()


TINY = Config(n_train=12, width=8, data="digits", n_test=40, steps=400, dtype="float64")


def test_losses_start_from_the_same_nets_and_patterns_but_only_the_hinge_stops() -> None:
    other = replace(TINY, loss="cross_entropy")
    assert torch.equal(patterns(TINY).x_train, patterns(other).x_train)
    assert torch.equal(initial_net(TINY).weights[1], initial_net(other).weights[1])
    assert loss_comparison.batch_key(TINY) != loss_comparison.batch_key(other)
    (hinge,), (entropy,) = loss_comparison.run([TINY]), loss_comparison.run([other])
    assert hinge.row["verdict"] == "SAT"
    assert hinge.row["n_unsatisfied"] == 0
    steps, loss = hinge.row["steps_done"], entropy.row["final_loss"]
    assert isinstance(steps, int)
    assert steps < 400
    assert entropy.row["steps_done"] == 400
    assert entropy.row["verdict"] in ("UNSAT", "UNCONVERGED")
    assert isinstance(loss, float)
    assert loss > 0
    assert entropy.row["n_misclassified"] == 0
