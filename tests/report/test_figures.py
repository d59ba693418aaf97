"""Figures show their data in readable units and leave matplotlib's settings as found."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from symnets.report import COLORS, colors, energy_drift_figure, learning_curve, parity, png, save_picture
from tests.report.samples import history, md_log, predictions


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for axes in figure.axes for text in axes.texts)


def settings() -> dict[str, object]:
    """All but the backend, which merely looking at it would choose."""
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}


def test_parity_has_a_panel_for_each_label() -> None:
    assert titles(parity(predictions(stress=True))) == ["Energy", "Force components", "Stress components"]
    assert titles(parity(predictions(forces=False))) == ["Energy"]
    assert titles(parity(predictions(energy=False))) == ["Force components"]


def test_parity_states_its_errors() -> None:
    shown = texts(parity(predictions(stress=True)))
    for error in ("RMSE 5.00 meV\n", "RMSE 20.0 meV/Å\n", "RMSE 1.00 meV/Å³\n"):
        assert error in shown


def test_parity_colours_forces_by_element() -> None:
    figure = parity(predictions(energy=False))
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["C", "O"]
    n_colours = len(np.unique(figure.axes[0].collections[0].get_facecolor(), axis=0))
    assert n_colours == 2


def test_parity_of_structures_of_different_size_is_per_atom() -> None:
    made = predictions(2)
    made = type(made)(**{**made.__dict__, "n_atoms": np.array([2, 4])})
    assert titles(parity(made))[0] == "Energy per atom"


def test_parity_skips_missing_labels() -> None:
    made = predictions(4)
    made.energy_label[1] = np.nan
    offsets = parity(made).axes[0].collections[0].get_offsets()
    assert len(np.asarray(offsets)) == 3


def test_parity_without_labels_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected labels"):
        parity(predictions(energy=False, forces=False))


def test_learning_curve_draws_every_validation() -> None:
    figure = learning_curve(history())
    assert titles(figure) == ["Training loss", "Validation forces", "Validation energy"]
    curve = np.asarray(figure.axes[1].lines[0].get_xydata())
    assert curve[:, 0].tolist() == [0, 20, 40, 60, 80]
    assert curve[0, 1] == pytest.approx(100.0)  # 0.1 eV/Å in meV/Å


def test_learning_curve_against_time_is_in_minutes() -> None:
    figure = learning_curve(history(), against="seconds")
    assert figure.axes[0].get_xlabel() == "training time (min)"
    assert np.asarray(figure.axes[0].lines[0].get_xdata())[-1] == pytest.approx(0.9)


def test_learning_curve_names_what_is_missing() -> None:
    with pytest.raises(ValueError, match="'step'"):
        learning_curve(history().drop(columns="step"))
    with pytest.raises(ValueError, match="'loss'"):
        learning_curve(history()[["step", "seconds"]])


def test_energy_drift_states_the_slope() -> None:
    assert "drift 2.00 meV/atom in 1.00 ps" in texts(energy_drift_figure(md_log(slope=0.018), n_atoms=9))


def test_energy_drift_names_what_is_missing() -> None:
    with pytest.raises(ValueError, match="'temperature'"):
        energy_drift_figure(md_log().drop(columns="temperature"), n_atoms=9)
    with pytest.raises(ValueError, match="two rows"):
        energy_drift_figure(md_log()[:1], n_atoms=9)


def test_figures_are_written_as_png_atomically(tmp_path) -> None:
    path = save_picture(parity(predictions()), tmp_path / "new" / "parity.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in path.parent.iterdir()] == ["parity.png"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "parity.png"
    path.write_bytes(b"old")

    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_picture(parity(predictions()), path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["parity.png"]


def test_matplotlib_is_left_as_found() -> None:
    before = settings()
    png(parity(predictions()))
    png(energy_drift_figure(md_log(), n_atoms=9))
    assert settings() == before


def test_reports_do_not_import_pyplot() -> None:
    """pyplot chooses a display when it is imported; a report must work where there is none."""
    code = "import warnings; import symnets.report, sys; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_colors_are_distinct() -> None:
    assert len(set(colors(30))) == 30
    assert list(colors(3)) == list(COLORS[:3])
