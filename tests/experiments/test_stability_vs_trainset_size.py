"""R against P: findings on tables of known laws, and archived values."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from symnets.estimates import fit_power_law
from symnets.experiments import stability_vs_trainset_size
from symnets.setups import ARCHIVED


def no_arrays(name: str) -> Mapping[str, np.ndarray]:
    raise AssertionError(f"{name}: this experiment has no arrays")


def table_of(a: float = 0.5) -> pd.DataFrame:
    """R = 20 P^-a for one net, constant for the other; seeds scatter geometrically."""
    lines = [
        {
            "data": "mnist",
            "net": net,
            "n_train": n,
            "seed": seed,
            "verdict": "FITTED",
            "R": (20 * n**-a if net == "resnet" else 2.0) * 1.2 ** (seed - 1),
            "test_error": n**-0.5,
        }
        for net in ("resnet", "fc2")
        for n in (100, 300, 1000)
        for seed in range(3)
    ]
    return pd.DataFrame(lines, index=[f"run{k}" for k in range(len(lines))])


def test_a_power_law_agrees_and_a_flat_curve_does_not():
    falls, flat = stability_vs_trainset_size.findings(table_of(), no_arrays)
    assert falls.measured.value == pytest.approx(0.5)
    assert falls.agrees
    assert falls.measured.error == pytest.approx(0, abs=1e-9)  # seeds scatter alike at every P
    assert "resnet, mnist, P = 100 to 1000" in falls.quantity
    assert flat.measured.value == pytest.approx(0, abs=1e-9)
    assert not flat.agrees
    assert falls.published.startswith("0.31 EfficientNet-B0, 0.73 ResNet (")


def test_exponents_of_archived_values_are_those_of_the_docstring():
    quoted = {
        ("cifar10", "EfficientNet-B0"): 0.64,
        ("cifar10", "MobileNet"): 0.44,
        ("cifar10", "ResNet"): 0.38,
        ("fashion-mnist", "EfficientNet-B0"): 0.44,
        ("fashion-mnist", "ResNet"): 0.72,
        ("mnist", "EfficientNet-B0"): 0.31,
        ("mnist", "ResNet"): 0.73,
    }
    for key, curve in ARCHIVED.items():
        large = curve.sizes >= 500
        exponent = -fit_power_law(curve.sizes[large], curve.r[large]).exponent.value
        assert exponent == pytest.approx(quoted[key], abs=0.005)
        assert ((curve.error > 0) & (curve.error < 0.9)).all()
    assert set(quoted) == set(ARCHIVED)


def test_the_figure_has_r_test_error_and_archived_values():
    fig = stability_vs_trainset_size.figure(table_of(), no_arrays)
    _, labels = fig.axes[0].get_legend_handles_labels()
    assert {"archived ResNet", "archived EfficientNet-B0"} <= set(labels)
    assert any("resnet, a = 0.50" in label for label in labels)
    fig.canvas.draw()


def test_two_sizes_have_no_exponent():
    table = table_of().query("n_train > 100")
    assert np.isnan(stability_vs_trainset_size.findings(table, no_arrays)[0].measured.value)
    stability_vs_trainset_size.figure(table, no_arrays).canvas.draw()
