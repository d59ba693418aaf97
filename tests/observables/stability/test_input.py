"""What is refused at the door, and what the messages say."""

import numpy as np
import pytest
import torch
from torch import nn

from symnets.data.images.digits import digits
from tests.observables.stability.nets import SHAPE, images, measure


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (images().movedim(1, -1), ValueError, r"channels come last; take images.movedim\(-1, 1\)"),
        (images()[:, 0], ValueError, r"no channels; take images\[:, None\]"),
        (images().flatten(1), ValueError, "images are flattened"),
        (images()[:, :, 1:], ValueError, r"expected shape \(n, channels, 6, 7\) as the field has"),
        (images()[:0], ValueError, "at least one"),
        (images().log(), ValueError, "NaN or infinity"),
        (images() / 0, ValueError, "NaN or infinity"),
        (images().int(), TypeError, "torch.int32; divide by 255"),
        (images().numpy(), TypeError, "got ndarray"),
        (digits()[0], TypeError, r"take images.scaled\(\)"),
    ],
)
def test_images_are_checked(wrong: torch.Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        measure(nn.Identity(), wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.01}, "expected one of them, got both"),
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


def test_the_reference_average_takes_few_images() -> None:
    x = torch.zeros(1, 2, *SHAPE).expand(5001, 2, *SHAPE)
    with pytest.raises(ValueError, match="at most 5000 images, got 5001"):
        measure(nn.Identity(), x, average="reference")


def test_results_read_well(capsys: pytest.CaptureFixture) -> None:
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
