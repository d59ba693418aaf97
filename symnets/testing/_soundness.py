"""Numerical laws: one and two atoms, finite outputs at any density, unchanged inputs, float32 precision."""

import torch
from ase import Atoms

from symnets.data import from_ase
from symnets.device import model_device
from symnets.models import EnergyForces, ForceField
from symnets.testing._check import deviation, deviations, evaluate, in_precision, require

SCALES = (0.7, 1.0, 10.0)
"""Factors of all lengths: compressed, unchanged, and so sparse that atoms have no neighbours."""


def assert_few_atoms_work(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Assert that the force on a single atom is zero, and that the forces on two atoms are central.

        F = 0;   F₁ = -F₂,   F₁ × (r₁ - r₂) = 0.

    Every atom of the structure is evaluated alone and together with the first atom, without periodic images.

    Raises:
        AssertionError: an output is not finite or a relative error is above the tolerance.
    """
    isolated = Atoms(atoms.numbers, atoms.positions)
    for index in range(len(isolated)):
        one = evaluate(force_field, [isolated[[index]]])
        _require_finite("few atoms", one)
        error = deviation(one.forces, torch.zeros_like(one.forces))
        require("few atoms", {"forces on one atom": error}, tolerance)
    for index in range(1, len(isolated)):
        two = evaluate(force_field, [isolated[[0, index]]])
        _require_finite("few atoms", two)
        axis = torch.as_tensor(isolated.positions[0] - isolated.positions[index]).to(two.forces)
        along = (two.forces[0] @ axis) * axis / axis.square().sum()
        error = deviation(two.forces, torch.stack([along, -along]))
        require("few atoms", {"forces on two atoms": error}, tolerance)


def assert_finite(
    force_field: ForceField, atoms: Atoms, *, scales: tuple[float, ...] = SCALES, seed: int = 0
) -> None:
    """Assert finite outputs for dense and sparse structures: positions and cell are multiplied by each scale.

    Raises:
        AssertionError: an output is not finite.
    """
    for scale in scales:
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell.array * scale)
        scaled.positions = atoms.positions * scale
        prediction = evaluate(force_field, [scaled])
        _require_finite("finite", prediction)


def assert_inputs_untouched(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-12, seed: int = 0
) -> None:
    """Assert that a prediction is repeatable, and changes no graph, weight, mode or random generator.

    Raises:
        AssertionError: one of these changed, or a second prediction differs from the first.
    """
    force_field = in_precision(force_field, torch.float64)
    device = model_device(force_field)
    graph = from_ase(atoms.copy(), force_field.cutoff, dtype=torch.float64).to(str(device))
    before, weights = graph.clone().to_dict(), _copies(force_field)
    generators, training = _generators(device), force_field.training
    first = force_field(graph)
    after = graph.to_dict()
    changed = [key for key in {**before, **after} if not _same(before.get(key), after.get(key))]
    changed += [key for key, value in _copies(force_field).items() if not torch.equal(value, weights[key])]
    if graph.pos.requires_grad or graph.cell.requires_grad:
        changed.append("requires_grad")
    if force_field.training != training:
        changed.append("training mode")
    if not torch.equal(generators, _generators(device)):
        changed.append("torch's generator")
    require("inputs untouched", {f"{name} (changed)": 1.0 for name in changed}, 0.0)
    errors = deviations(force_field(graph), first)
    errors = {f"{quantity} at a second call": error for quantity, error in errors.items()}
    require("inputs untouched", errors, tolerance)


def assert_precisions_agree(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-4, seed: int = 0
) -> None:
    """Assert that float32 agrees with float64 to the precision of float32, and that dtypes are as documented.

    Energies are always float64; forces and stress have the dtype of the positions. The tolerance of 1e-4 is a
    thousand times the resolution of float32, since a deep network loses two or three digits. Errors are
    relative to the largest component, or to 0.1 eV (eV/Å, eV/Å³) if that is larger, since weak forces are
    small differences of larger numbers.

    Raises:
        AssertionError: a dtype is wrong, or a relative error is above the tolerance.
    """
    double = evaluate(force_field, [atoms])
    single = evaluate(force_field, [atoms], dtype=torch.float32)
    for prediction, dtype in ((double, torch.float64), (single, torch.float32)):
        dtypes = EnergyForces(torch.float64, dtype, dtype, torch.float64)  # pyright: ignore
        for name, output, expected in zip(EnergyForces._fields, prediction, dtypes, strict=True):
            if output is not None and output.dtype != expected:
                raise AssertionError(
                    f"the law 'precision' is broken: {name} is {output.dtype}, not {expected}, "
                    f"for positions in {dtype}"
                )
    require("precision", deviations(single, double, floor=0.1), tolerance)


def _require_finite(law: str, prediction: EnergyForces) -> None:
    """Raise AssertionError for an output that is not finite."""
    outputs = {name: value for name, value in prediction._asdict().items() if value is not None}
    require(law, {f"{name} (not finite)": float(not v.isfinite().all()) for name, v in outputs.items()}, 0.0)


def _generators(device: torch.device) -> torch.Tensor:
    """States of torch's generators of the CPU and of a GPU."""
    states = [torch.get_rng_state()]
    if device.type == "cuda" and torch.cuda.is_available():
        states.append(torch.cuda.get_rng_state(device))
    return torch.cat(states)


def _copies(force_field: ForceField) -> dict[str, torch.Tensor]:
    """Copies of parameters and buffers by name."""
    tensors = [*force_field.named_parameters(), *force_field.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in tensors}


def _same(one: object, other: object) -> bool:
    """Whether two fields of a graph are equal, where NaN equals NaN."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same_kind = one.shape == other.shape and one.dtype == other.dtype
        return same_kind and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
    return one is other or one == other
