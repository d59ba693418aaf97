"""`symnets demo`: all stages in a shortened run, the report, and refused options."""

import json
from pathlib import Path

import numpy as np
import pytest

from symnets.cli import main
from symnets.data import read_structures

pytest.importorskip("tblite", reason="labels come from GFN2-xTB, in the extra demo")


@pytest.mark.slow
def test_demo_from_labels_to_report(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "demo"
    options = ["--minutes", "0.4", "--frames", "100", "--picoseconds", "0.05", "--jamming-seeds", "1"]
    assert main(["demo", "--output", str(folder), *options]) == 0
    printed = capsys.readouterr().out
    for stage in ("label", "train", "test", "simulate", "deform", "jam"):
        assert any(line.startswith(f"{stage} ") for line in printed.splitlines())
    assert "energy drift" in printed
    assert "trained on deformed digits" in printed
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 5
    for name in (
        "train.xyz",
        "test.xyz",
        "md.xyz",
        "md.csv",
        "training/model.safetensors",
        "jamming/figure.png",
    ):
        assert (folder / name).is_file()

    # Other commands accept the model, and its errors are below the size of the forces.
    assert (
        main(["evaluate", str(folder / "training/model.safetensors"), str(folder / "test.xyz"), "--json"])
        == 0
    )
    measured = json.loads(capsys.readouterr().out)["errors"]
    size = np.sqrt(np.mean([a.get_forces() ** 2 for a in read_structures(folder / "test.xyz")]))
    assert measured["forces"]["rmse"] < 0.75 * size  # the number of steps depends on the machine

    assert main(["demo", "--output", str(folder), *options]) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--minutes=0", "--frames=10", "--picoseconds=-1", "--jamming-seeds=-1"])
def test_options_out_of_range_are_refused(option: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["demo", "--output", str(tmp_path / "demo"), option]) == 2
    assert "at least 100 frames" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
