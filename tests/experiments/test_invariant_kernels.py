"""Invariant kernels: the group, savings of made-up tables, and a tiny run."""

import numpy as np
import pandas as pd
import pytest
import torch

from symnets.experiments import invariant_kernels as experiment
from symnets.experiments.invariant_kernels import ORDERS, Config, subgroup


def made_up(power: float) -> pd.DataFrame:
    """Curves shifted by a power of the order."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                "kernel": kernel,
                "order": order,
                "n_train": p,
                "seed": seed,
                "squared_error": (order**power * p) ** (-1 / 3) * rng.uniform(0.99, 1.01),
            }
            for kernel in ("laplace", "tangent")
            for order in ORDERS
            for p in (64, 128, 256, 512, 1024, 2048)
            if p * order <= 2048
            for seed in range(4)
        ]
    )


def no_arrays(name: str) -> dict:
    raise KeyError(name)


def test_subgroups_act_without_fixed_points() -> None:
    whole = subgroup(8)
    for order in ORDERS:
        elements = subgroup(order)
        assert len(elements) == order
        assert all(any(torch.equal(g, h) for h in whole) for g in elements)
        for g in elements[1:]:
            # An eigenvalue 1 would belong to fixed points.
            assert float((torch.linalg.eigvals(g) - 1).abs().min()) > 0.1


def test_the_saving_is_the_shift_of_the_curve() -> None:
    good = experiment.findings(made_up(1.0), no_arrays)
    assert [round(finding.measured.value) for finding in good] == [2, 4, 8, 2, 4, 8]
    assert all(finding.agrees for finding in good)
    bad = experiment.findings(made_up(0.3), no_arrays)
    assert not any(finding.agrees for finding in bad)
    panels = [axes.get_title(loc="left") for axes in experiment.figure(made_up(1.0), no_arrays).axes]
    assert panels == ["laplace kernel", "Shifted by |G|", "Saving"]


@pytest.mark.parametrize("kernel", ["laplace", "tangent"])
def test_an_invariant_kernel_learns_with_fewer_points(kernel: str) -> None:
    configs = [
        Config(n_train=n, order=order, kernel=kernel, n_test=100, n_fields=16)  # pyright: ignore
        for order, n in ((1, 64), (8, 64), (1, 512))
    ]
    plain, invariant, large = (r.row["squared_error"] for r in experiment.run(configs))
    assert invariant < 0.7 * plain  # pyright: ignore
    # One set of points: errors of both are known to some 5 %.
    assert invariant == pytest.approx(large, rel=0.2)


def test_other_orders_are_refused() -> None:
    with pytest.raises(ValueError, match="order: expected one of"):
        Config(order=3)  # pyright: ignore
