"""Checks of the inputs of `stability`, and their messages."""

import numpy as np
import pytest
import torch
from torch import nn

from symnets.data._images import digits
from symnets.diffeo import FoldingWarning
from symnets.observables import stability
from tests.observables.stability.nets import SHAPE, field, images, measure


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (images().movedim(1, -1), ValueError, r"channels come last; use images.movedim\(-1, 1\)"),
        (images()[:, 0], ValueError, r"no channels; use images\[:, None\]"),
        (images().flatten(1), ValueError, "images are flattened"),
        (images()[:, :, 1:], ValueError, r"expected shape \(n, channels, 6, 7\) as for the field"),
        (images()[:0], ValueError, "at least one"),
        (images().log(), ValueError, "NaN or infinity"),
        (images() / 0, ValueError, "NaN or infinity"),
        (images().int(), TypeError, "torch.int32; divide by 255"),
        (images().numpy(), TypeError, "got ndarray"),
        (digits()[0], TypeError, r"use images.scaled\(\)"),
    ],
)
def test_images_are_checked(wrong: torch.Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        measure(nn.Identity(), wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.01}, "expected one of the two, got both"),
        ({"delta": None}, "got neither"),
        ({"delta": -1.0}, "delta: expected a finite number >= 0, got -1.0"),
        ({"delta": None, "temperature": float("nan")}, "temperature: expected a finite number"),
        ({"noise": "same"}, "noise: expected one of per_image, mean, got 'same'"),
        ({"average": "mode"}, "average: expected one of mean, median, reference"),
        ({"batch_norm": "none"}, "batch_norm: expected one of running, batch"),
        ({"n_draws": 0}, "n_draws: expected at least 1"),
        ({"batch_size": 0}, "batch_size: expected at least 1"),
        ({"confidence": 95}, "between 0 and 1, got 95"),
    ],
)
def test_options_are_checked(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(nn.Identity(), **options)


def test_layers_are_names_or_types() -> None:
    for wrong in (0, 1.5, [0]):
        with pytest.raises(TypeError, match="expected names, module types or 'all', got"):
            measure(nn.Identity(), layers=wrong)


def test_without_a_generator_torchs_default_gives_the_seed() -> None:
    values = []
    for _ in range(2):
        torch.manual_seed(3)
        values.append(measure(nn.Tanh(), generator=None).R.value)
    np.testing.assert_array_equal(*values)
    assert measure(nn.Tanh(), generator=None).R.value != values[0]


def test_one_folding_warning_at_the_calling_line() -> None:
    with pytest.warns(FoldingWarning, match="folds with probability") as emitted:
        stability(nn.Identity(), images(60), field(), delta=3.0, n_draws=3, generator=None)
    (one,) = emitted
    assert one.filename == __file__


def test_the_reference_average_limits_the_number_of_images() -> None:
    x = torch.zeros(1, 2, *SHAPE).expand(5001, 2, *SHAPE)
    with pytest.raises(ValueError, match="at most 5000 images, got 5001"):
        measure(nn.Identity(), x, average="reference")


def test_results_print_as_a_table(capsys: pytest.CaptureFixture) -> None:
    found = measure(nn.Sequential(nn.Flatten(), nn.Tanh()), layers="all", progress=True)
    assert "30/30" in capsys.readouterr().err
    row = found.row("init/")
    assert row["init/R"] == found.R.value[-1]
    assert row["init/0/G_low"] == found.G.low[0]
    assert all(isinstance(number, float) for number in row.values())
    assert list(found.table().columns[:3]) == ["D", "D_low", "D_high"]
    text = str(found)
    assert "30 images x 2 draws, delta 0.3 px" in text
    assert f"{found.R.value[-1]:.4g}" in text
    assert np.all(found.R.low <= found.R.value)
    assert np.all(found.R.value <= found.R.high)
