"""`symnets demo`: its page with all stages in a shortened run, the report, and refused options."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from symnets.cli import main
from symnets.data import read_structures, sample_trajectory
from symnets.demo import _demo, _digits
from symnets.experiments import jamming_sharpness
from symnets.potentials import train
from tests.test_pages import DEMO, folder, run_page  # noqa: F401

pytest.importorskip("tblite", reason="labels come from GFN2-xTB, in the extra demo")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens what no option of the demo does: fewer steps between labelled frames, and in trainings.

    The potential is trained for four epochs, 80 steps, on a busy machine, too.
    """

    def frames(*arguments, **options):
        return sample_trajectory(*arguments, **options | {"every": 5, "equilibration": 100})

    def four_epochs(config, **options):
        if config.max_minutes is not None:  # not the training that times a few steps
            optimizer = replace(config.optimizer, epochs=4)
            config = replace(config, optimizer=optimizer, max_minutes=None)
        return train(config, **options)

    monkeypatch.setattr(_demo, "sample_trajectory", frames)
    monkeypatch.setattr(_demo, "train", four_epochs)
    monkeypatch.setattr(_digits, "STEPS", 30)
    nets = [replace(config, steps=300) for config in jamming_sharpness.PRESETS["minute"]]
    monkeypatch.setitem(jamming_sharpness.PRESETS, "minute", nets)


@pytest.mark.slow
def test_demo_from_labels_to_report(
    folder: Path,  # noqa: F811
    short: None,
    capsys: pytest.CaptureFixture,
) -> None:
    """All commands of the page run, without a network, and the demo has written what it promises."""
    run_page(DEMO, slow=True)
    demo = folder / "demo"
    printed = capsys.readouterr().out
    for stage in ("label", "train", "test", "simulate", "deform", "jam"):
        assert any(line.startswith(f"{stage} ") for line in printed.splitlines())
    assert "energy drift" in printed
    assert "trained on deformed digits" in printed
    page = (demo / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 5
    for name in (
        "train.xyz",
        "test.xyz",
        "md.xyz",
        "md.csv",
        "training/model.safetensors",
        "jamming/figure.png",
    ):
        assert (demo / name).is_file()

    # Other commands accept the model, and its errors are below the size of the forces.
    assert main(["evaluate", str(demo / "training/model.safetensors"), str(demo / "test.xyz"), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)["errors"]
    size = np.sqrt(np.mean([a.get_forces() ** 2 for a in read_structures(demo / "test.xyz")]))
    assert measured["forces"]["rmse"] < 0.75 * size

    assert main(["demo", "--output", str(demo)]) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--minutes=0", "--frames=10", "--picoseconds=-1", "--jamming-seeds=-1"])
def test_options_out_of_range_are_refused(option: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["demo", "--output", str(tmp_path / "demo"), option]) == 2
    assert "at least 100 frames" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
