"""Teacher and student kernels: findings of made-up tables, and tiny runs."""

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import teacher_student_kernels as experiment
from symnets.experiments.teacher_student_kernels import PAIRS, Config, beta

SOME = PAIRS[1:4:2]


def made_up(factor: float = 1.0, images: float = 0.4) -> pd.DataFrame:
    """Rows with the predicted exponents times a factor."""
    rng = np.random.default_rng(0)
    lines = [
        {
            "task": "fields",
            "dim": 2,
            "teacher": teacher,
            "student": student,
            "n_train": p,
            "seed": seed,
            "squared_error": p ** (-factor * beta(teacher, student, 2)) * rng.uniform(0.98, 1.02),
            "misclassified": np.nan,
        }
        for teacher, student in SOME
        for p in (128, 256, 512, 1024)
        for seed in range(4)
    ]
    lines += [
        {
            "task": "mnist",
            "dim": 2,
            "teacher": "laplace",
            "student": "laplace",
            "n_train": p,
            "seed": seed,
            "squared_error": p**-images * rng.uniform(0.98, 1.02),
            "misclassified": 0.5 * p**-images * rng.uniform(0.98, 1.02),
        }
        for p in (250, 500, 1000, 2000)
        for seed in range(3)
    ]
    return pd.DataFrame(lines)


def no_arrays(name: str) -> dict:
    raise KeyError(name)


def test_exponents_of_the_formula() -> None:
    assert beta("laplace", "gaussian", 3) == pytest.approx(1 / 3)
    assert beta("matern32", "laplace", 2) == pytest.approx(1.5)
    assert beta("gaussian", "laplace", 2) == pytest.approx(3)


def test_findings_agree_with_a_table_that_obeys_the_law_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "PAIRS", SOME)
    results = experiment.findings(made_up(), no_arrays)
    assert len(results) == len(SOME) + 2
    assert all(finding.agrees for finding in results)
    assert not any(finding.agrees for finding in experiment.findings(made_up(1.3, 0.2), no_arrays))
    panels = [axes.get_title(loc="left") for axes in experiment.figure(made_up(), no_arrays).axes]
    assert panels == ["Teacher, student on a sphere, d = 2", "Parity of images"]


def test_smooth_fields_are_learnt_better() -> None:
    rough, smooth = experiment.run(
        [Config(n_train=60, n_test=30, teacher=teacher, n_fields=8) for teacher in ("laplace", "gaussian")]
    )
    assert 0 < smooth.row["squared_error"] < 0.1 * rough.row["squared_error"]  # pyright: ignore


def test_parity_of_images_is_learnt() -> None:
    few, many = experiment.run([Config(task="digits", n_train=n, n_test=200) for n in (40, 400)])
    assert many.row["squared_error"] < few.row["squared_error"] < 1.1  # pyright: ignore
    assert many.row["misclassified"] < 0.15  # pyright: ignore
