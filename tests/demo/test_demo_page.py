"""The page of the demo shows the errors, the energy drift and the time of each stage."""

from pathlib import Path

from ase import Atoms

from symnets.demo import demo_page
from symnets.models import ForceField, Invariant
from symnets.simulate import MDRun, energy_drift
from tests.report.samples import history, md_log, predictions


def test_page_shows_errors_drift_and_stages(tmp_path: Path) -> None:
    model = Invariant(("C", "O"), lmax=0, channels=2, layers=1, radial_hidden=(4,), mean_neighbors=1.0)
    log = md_log(slope=0.003)
    path = demo_page(
        tmp_path / "report.html",
        model=ForceField(model),
        predictions=predictions(),
        history=history(),
        dynamics=MDRun(Atoms("OCO"), log, energy_drift(log, 3), 2000, False),
        stages=[("label", "12 frames", 3.25), ("train", "90 steps", 6.0)],
    )
    page = path.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3
    for expected in ("20.0 meV/Å", "5.00 meV", "1.00 meV/atom", "9 s", "12 frames", "Invariant", "C O"):
        assert expected in page
