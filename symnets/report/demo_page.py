"""The page that `symnets demo` writes."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ase.data import chemical_symbols

import symnets
from symnets.experiments.deformed_digits import DELTA, DeformedDigits, ReadsDigits
from symnets.experiments.written import WriteUp
from symnets.models import ForceField
from symnets.observables import Predictions, errors
from symnets.report.deformed import deformed_samples
from symnets.report.energy_drift import energy_drift
from symnets.report.error_table import digits, error_table
from symnets.report.experiment_page import Drawing, findings_table
from symnets.report.html import Facts, Picture, Section, Table, html_report
from symnets.report.learning_curve import learning_curve
from symnets.report.parity import parity
from symnets.simulate import MDRun

LEAD = (
    "An O(3)-equivariant network (NequIP) learned the energies and forces of ethanol from frames labelled "
    "with GFN2-xTB, was tested on frames of another trajectory, and then drove molecular dynamics. A net "
    "that reads digits was shown deformed ones. Small nets memorised random points until they no longer "
    "could."
)


def demo_page(
    path: str | Path,
    *,
    model: ForceField,
    predictions: Predictions,
    history: pd.DataFrame,
    dynamics: MDRun,
    stages: Sequence[tuple[str, str, float]],
    deformed: DeformedDigits | None = None,
    jamming: WriteUp | None = None,
) -> Path:
    """Learning curve, parity plots, energy drift and tables on one self-contained page.

    Args:
        path: file to write.
        model: the trained model.
        predictions: on unseen frames with energies and forces.
        history: of the training, see `learning_curve`.
        dynamics: a run at constant energy.
        stages: what was done: (name, what there is to say, seconds).
        deformed: what nets made of deformed digits.
        jamming: what the jamming study has left, its figure among it.
    """
    found = errors(predictions)
    assert found.energy is not None
    assert found.forces is not None
    drift = 1000 * dynamics.drift.per_atom
    facts = {
        "Force RMSE": f"{digits(1000 * found.forces.rmse)} meV/Å",
        "Energy RMSE": f"{digits(1000 * found.energy.rmse)} meV",
        f"Energy drift in {dynamics.drift.duration:g} ps": f"{digits(drift)} meV/atom",
        "Time in all": f"{sum(seconds for *_, seconds in stages):.0f} s",
    }
    sections = [
        Section("In short", [Facts(facts), _stages(stages)]),
        Section("Learning", [Picture(learning_curve(history, against="seconds"), _LEARNING)]),
        Section("Errors on unseen frames", [_errors(predictions), Picture(parity(predictions), _PARITY)]),
        Section("Dynamics", [Picture(energy_drift(dynamics.log, n_atoms=len(dynamics.atoms)), _DYNAMICS)]),
        *([] if deformed is None else [_deformed(deformed)]),
        *([] if jamming is None else [_jamming(jamming)]),
        Section("What ran", [_what_ran(model)]),
    ]
    return html_report(path, "symnets learns ethanol", sections, lead=LEAD)


_LEARNING = (
    "Training loss, and errors on frames that were set aside to choose the best model. Validation uses the "
    "running average of the weights, which is also what is saved."
)
_PARITY = (
    "Predictions against labels, and below their difference in thousandths of the unit. Energies are of the "
    "whole molecule, relative to the mean label."
)
_DYNAMICS = (
    "A trajectory at constant energy (velocity Verlet, 0.5 fs). Kinetic and potential energy trade places "
    "while their sum stays; the dashed line is the straight line whose rise is the drift."
)


_STABILITY = (
    "Relative stability R = D / G of a small VGG that reads digits of 8 x 8 pixels (Petrini et al. 2021, "
    "arXiv:2105.02468). D is the squared change of its outputs when digits are deformed, G that under noise "
    "of equal norm, both relative to the distance of two digits. Before training, batch normalisations have "
    "learned no running statistics and take those of each batch; trained nets use running ones. That "
    "changes R by itself: the last column, with the statistics of each batch in all nets, compares like with "
    "like. With so few pixels, training teaches a net to ignore noise rather than deformations; digits that "
    "are deformed anew in each step teach it both."
)
_DEFORMED = (
    "Digits as they are and under deformations of maximum entropy, each row under one that grows; what was "
    f"measured is δ = {DELTA:g} pixels."
)
_JAMMING = (
    "Each mark is a net that tries to give P random points random labels with a margin of one. N is the "
    "number of its weights, N_Δ that of the points that miss the margin when minimisation ends. Where it "
    "jumps is the jamming transition (Geiger et al. 2019, arXiv:1809.09349)."
)


def _deformed(study: DeformedDigits) -> Section:
    samples = deformed_samples(
        study.images[:4],
        study.field,
        deltas=[DELTA / 2, DELTA, 2 * DELTA],
        generator=torch.Generator().manual_seed(0),
    )
    head = ("net", "test error", "D", "G", "R", "interval of R", "R, statistics of each batch")
    table = Table(head, [_net(net) for net in study.nets])
    return Section("Deformations", [_STABILITY, table, Picture(samples, _DEFORMED)])


def _net(net: ReadsDigits) -> tuple[str, ...]:
    found = net.stability
    d, g, r = (f"{estimate.value[-1]:.3f}" for estimate in (found.D, found.G, found.R))
    interval = f"{found.R.low[-1]:.2f} to {found.R.high[-1]:.2f}"
    alike = f"{net.alike.R.value[-1]:.3f}"
    return net.name, f"{100 * net.error.error:.1f} %", d, g, r, interval, alike


def _jamming(study: WriteUp) -> Section:
    figure = next(path for path in study.files if path.suffix == ".png")
    blocks: list[Any] = [findings_table(study.findings), Drawing(figure, _JAMMING)]
    return Section("Jamming", blocks)


def _stages(stages: Sequence[tuple[str, str, float]]) -> Table:
    rows = [(name, said, f"{seconds:.1f}") for name, said, seconds in stages]
    return Table(("stage", "what was done", "seconds"), rows)


def _errors(predictions: Predictions) -> Table:
    return Table(("", "MAE", "RMSE", "unit", "count"), error_table(errors(predictions)))


def _what_ran(model: ForceField) -> Table:
    n_parameters = sum(p.numel() for p in model.parameters())
    rows = [
        ("model", type(model.energy_model).__name__),
        ("elements", " ".join(chemical_symbols[number] for number in model.species)),
        ("cutoff", f"{model.cutoff:g} Å"),
        ("parameters", f"{n_parameters:,}"),
        ("symnets", symnets.__version__),
        ("torch", torch.__version__),
        ("Python", platform.python_version()),
        ("machine", f"{platform.machine()}, {platform.system()}"),
    ]
    return Table(("", ""), rows)
