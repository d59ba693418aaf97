"""The HTML page that `symnets demo` writes."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ase.data import chemical_symbols

import symnets
from symnets.demo._digits import DELTA, DigitNet, DigitStability
from symnets.models import ForceField
from symnets.observables import Predictions, Stability, errors
from symnets.report import (
    Facts,
    Picture,
    Section,
    Table,
    deformed_samples,
    energy_drift_figure,
    error_table,
    html_report,
    learning_curve,
    parity,
    three_digits,
)
from symnets.simulate import MDRun
from symnets.sweeps import PictureFile, WriteUp, findings_table

TITLE = "symnets: a potential, deformed images and jamming"
LEAD = (
    "symnets trains and measures neural networks for three subjects. Potentials: an O(3)-equivariant "
    "network (NequIP) was trained on energies and forces of ethanol from GFN2-xTB, tested on a second "
    "trajectory, and used for molecular dynamics. Images and deformations: the stability of a digit "
    "classifier to smooth deformations was measured before and after training. Loss landscape: nets of "
    "different size were trained on random labels to find the jamming transition."
)
_LEARNING = (
    "Training loss, and errors on the validation frames, by which the best model is selected. Validation "
    "uses the running average of the weights, which is also the saved model."
)
_PARITY = (
    "Predictions against labels for the test frames, and below their difference in thousandths of the "
    "unit. Energies are of the whole molecule, relative to the mean label."
)
_DYNAMICS = (
    "A trajectory at constant energy (velocity Verlet, 0.5 fs) with the compiled potential. Kinetic and "
    "potential energy fluctuate while their sum is conserved; the slope of the dashed line is the drift of "
    "the total energy."
)
_STABILITY = (
    "Relative stability R = D / G of a small VGG that classifies digits of 8 x 8 pixels (Petrini et al. "
    "2021, arXiv:2105.02468). D is the mean squared change of the logits when the images are deformed, G "
    "the change under Gaussian noise of the same norm, both relative to the mean squared distance "
    "between the logits of two images. What to see: training on digits lowers D, but lowers G even more, "
    "because digits of so few pixels have no fine structure and noise is easy to ignore; R therefore "
    "rises, whereas it falls in nets trained on photographs. Training on digits that are deformed anew "
    "in every step brings R back to about its initial value or below. Batch normalisation uses the "
    "statistics of each batch in all nets, so that the rows can be compared. The last column has R with "
    "running statistics, as the trained nets are used; a net with initial weights has none."
)
_DEFORMED = (
    "Four digits, and the same digits under random deformations of growing size: typical displacements δ "
    f"of {DELTA / 2:g}, {DELTA:g} and {2 * DELTA:g} pixels. The table is for δ = {DELTA:g}."
)
_JAMMING = (
    "Each point is a net trained to fit P random points with random labels with a margin of one. N is "
    "its number of weights, N_Δ the number of points that violate the margin at the end of training. The "
    "jump of N_Δ / N is the jamming transition (Geiger et al. 2019, arXiv:1809.09349)."
)


def demo_page(
    path: str | Path,
    *,
    model: ForceField,
    predictions: Predictions,
    history: pd.DataFrame,
    dynamics: MDRun,
    stages: Sequence[tuple[str, str, float]],
    digits: DigitStability | None = None,
    jamming: WriteUp | None = None,
) -> Path:
    """Write the results of the demo to one self-contained HTML page.

    Args:
        path: the file to write.
        model: the trained potential.
        predictions: predictions for test frames with labels of energy and forces.
        history: rows of the training history, see `learning_curve`.
        dynamics: a trajectory at constant energy.
        stages: name, description and seconds of each stage.
        digits: the stability of the digit classifier; left out if None.
        jamming: the results of the jamming study, with its figure; left out if None.
    """
    measured = errors(predictions)
    assert measured.energy is not None
    assert measured.forces is not None
    drift = 1000 * dynamics.drift.per_atom
    facts = {
        "Force RMSE": f"{three_digits(1000 * measured.forces.rmse)} meV/Å",
        "Energy RMSE": f"{three_digits(1000 * measured.energy.rmse)} meV",
        f"Energy drift in {dynamics.drift.duration:g} ps": f"{three_digits(drift)} meV/atom",
        "Total time": f"{sum(seconds for *_, seconds in stages):.0f} s",
    }
    energies = energy_drift_figure(dynamics.log, n_atoms=len(dynamics.atoms))
    sections = [
        Section("Summary", [Facts(facts), _stages(stages)]),
        Section("Potential: training", [Picture(learning_curve(history, against="seconds"), _LEARNING)]),
        Section("Potential: errors", [_errors(predictions), Picture(parity(predictions), _PARITY)]),
        Section("Potential: molecular dynamics", [Picture(energies, _DYNAMICS)]),
        *([] if digits is None else [digits_section(digits)]),
        *([] if jamming is None else [_jamming(jamming)]),
        Section("Model and versions", [_versions(model)]),
    ]
    return html_report(path, TITLE, sections, lead=LEAD)


def digits_section(study: DigitStability) -> Section:
    """Section on the stability of the digit classifier: table of D, G and R, and deformed digits."""
    samples = deformed_samples(
        study.images[:4],
        study.field,
        deltas=[DELTA / 2, DELTA, 2 * DELTA],
        generator=torch.Generator().manual_seed(0),
    )
    header = ("classifier", "test error", "D", "G", "R", "95 % interval of R", "R, running statistics")
    table = Table(header, [_net(net) for net in study.nets])
    return Section("Images and deformations", [_STABILITY, table, Picture(samples, _DEFORMED)])


def _net(net: DigitNet) -> tuple[str, ...]:
    stability, running = net.batch_statistics, net.running_statistics
    d, g, r = (f"{estimate.value[-1]:.3f}" for estimate in (stability.D, stability.G, stability.R))
    interval = f"{stability.R.low[-1]:.2f} to {stability.R.high[-1]:.2f}"
    return net.name, f"{100 * net.error.error:.1f} %", d, g, r, interval, _running(running)


def _running(stability: Stability | None) -> str:
    return "none" if stability is None else f"{stability.R.value[-1]:.3f}"


def _jamming(study: WriteUp) -> Section:
    figure = next(path for path in study.files if path.suffix == ".png")
    blocks: list[Any] = [findings_table(study.findings), PictureFile(figure, _JAMMING)]
    return Section("Loss landscape: jamming", blocks)


def _stages(stages: Sequence[tuple[str, str, float]]) -> Table:
    rows = [(name, description, f"{seconds:.1f}") for name, description, seconds in stages]
    return Table(("stage", "description", "seconds"), rows)


def _errors(predictions: Predictions) -> Table:
    return Table(("", "MAE", "RMSE", "unit", "count"), error_table(errors(predictions)))


def _versions(model: ForceField) -> Table:
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
