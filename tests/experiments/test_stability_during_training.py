"""R along a training: findings on arrays of known curves, and a tiny net on digits."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import stability_during_training
from symnets.experiments.stability_during_training import Config
from symnets.sweeps import _checkpoints as resume

TINY = Config(
    net="lenet",
    data="digits",
    n_train=60,
    n_test=50,
    min_steps=10,
    max_steps=10,
    cutoff=2.0,
    delta=0.5,
    n_images=20,
    n_draws=1,
)


def table_of() -> pd.DataFrame:
    lines = [{"net": "vgg", "data": "mnist", "verdict": "FITTED", "seed": k} for k in range(3)]
    return pd.DataFrame(lines, index=["run0", "run1", "run2"])


def arrays_of(end: float):
    """R goes from 1 to `end`, geometrically, while the error falls from 0.9 to 0.05."""

    def arrays(name: str) -> dict[str, np.ndarray]:
        r = np.geomspace(1.0, end, 6)
        return {
            "step": np.array([0, 1, 3, 10, 32, 100]),
            "test_error": np.geomspace(0.9, 0.05, 6),
            "R": r,
            "D": np.ones(6) + 0.1 * np.array([0, 1, 0, 1, 0, 1]),
            "G": 1 / r,
            "D_batch": np.ones(6) + 0.1 * np.array([0, 1, 0, 1, 0, 1]),
            "G_batch": 1 / r**0.5,
            "R_batch": r**0.5,
        }

    return arrays


def test_a_fall_of_r_agrees_and_a_rise_does_not():
    start, fall, alike, along, _ = stability_during_training.findings(table_of(), arrays_of(0.1))
    assert (start.measured.value, fall.measured.value, along.measured.value) == pytest.approx((1.0, 0.1, 1.0))
    assert alike.measured.value == pytest.approx(0.1**0.5)
    assert "running statistics at the end" in fall.quantity
    assert "statistics of the batch at both" in alike.quantity
    assert start.agrees
    assert fall.agrees
    assert along.agrees
    _, rise, _, against, _ = stability_during_training.findings(table_of(), arrays_of(8.0))
    assert rise.measured.value == pytest.approx(8)
    assert not rise.agrees
    assert against.measured.value == pytest.approx(-1)


def test_the_figure_has_error_and_all_three():
    made = stability_during_training.figure(table_of(), arrays_of(0.1))
    assert len(made.axes) == 4
    made.canvas.draw()


def test_a_run_measures_the_start_the_course_and_the_end():
    (result,) = stability_during_training.run([TINY])
    step = result.arrays["step"]
    assert step[0] == 0
    assert step[-1] == 10
    assert (np.diff(step) > 0).all()
    assert result.arrays["R"][0] == result.row["R_init"]
    assert result.arrays["test_error"][-1] == result.row["test_error"]
    # Without batch normalisation there is but one kind of statistics.
    assert result.arrays["R"][-1] == pytest.approx(result.row["R"])
    np.testing.assert_array_equal(result.arrays["R_batch"], result.arrays["R"])


def test_running_statistics_are_used_from_step_30():
    (result,) = stability_during_training.run(
        [replace(TINY, net="vgg_bn", width=0.25, min_steps=32, max_steps=32, per_decade=2)]
    )
    step, r, r_batch = (result.arrays[name] for name in ("step", "R", "R_batch"))
    early = step < stability_during_training.RUNNING_FROM
    np.testing.assert_array_equal(r[early], r_batch[early])
    assert (r[~early] != r_batch[~early]).all()
    assert r[-1] == pytest.approx(result.row["R"])


def test_measurements_do_not_change_the_training_and_survive_a_kill(tmp_path, monkeypatch):
    (whole,) = stability_during_training.run([TINY])
    monkeypatch.setattr(resume, "PERIOD", 0.0)
    real = stability_during_training.stability_row

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stability_during_training, "stability_row", killed)
    with pytest.raises(KeyboardInterrupt), resume.resumable(tmp_path / "run"):
        stability_during_training.run([TINY])
    monkeypatch.setattr(stability_during_training, "stability_row", real)
    with resume.resumable(tmp_path / "run"):
        (resumed,) = stability_during_training.run([TINY])
    assert resumed.row == whole.row
    for name, values in whole.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[name], values)
