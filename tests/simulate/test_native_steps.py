"""The calculator with native code: equal to torch along trajectories, with the same errors."""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError, compare_atoms
from ase.calculators.fd import calculate_numerical_stress
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet

from symnets.models import Compiled, NequIP
from symnets.simulate import SymnetsCalculator, relax, run_md


@cache
def model() -> Compiled:
    torch.manual_seed(2)
    options = {
        "cutoff": 4.0,
        "channels": 4,
        "layers": 2,
        "lmax": 1,
        "radial_hidden": (8,),
        "mean_neighbors": 20.0,
    }
    compiled = Compiled(NequIP(["H", "C", "O", "Cu"], shift=-10.0, **options).double(), 100)
    assert compiled.native is not None  # its machine code is kept, and copies share it
    return compiled


def new_calculator(*, native: bool = True, **options) -> SymnetsCalculator:
    """A calculator for a test that changes it, or its model."""
    chosen = copy.deepcopy(model())
    chosen.use_native = native
    return SymnetsCalculator(chosen, **options)


@cache
def kept_calculator(native: bool) -> SymnetsCalculator:
    return new_calculator(native=native)


def calculator(*, native: bool = True) -> SymnetsCalculator:
    """A calculator without results, whose program is made once."""
    kept = kept_calculator(native)
    kept.reset()
    return kept


@pytest.fixture
def ethanol() -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=1)
    return atoms


@pytest.fixture
def copper() -> Atoms:
    atoms = bulk("Cu") * (2, 2, 1)
    atoms.rattle(0.1, seed=1)
    return atoms


def test_the_model_is_native() -> None:
    assert model().why_not_native is None
    assert new_calculator(dtype=torch.float32).model.why_not_native is None


@pytest.mark.parametrize("name", ["ethanol", "copper"])
def test_results_are_those_of_torch(name: str, request: pytest.FixtureRequest) -> None:
    atoms = request.getfixturevalue(name)
    native, other = calculator(), calculator(native=False)
    for _ in range(2):
        assert native.get_potential_energy(atoms) == pytest.approx(
            other.get_potential_energy(atoms), abs=1e-10
        )
        for quantity in ("forces", "energies", *(["stress"] if atoms.pbc.all() else [])):
            found, expected = (c.get_property(quantity, atoms) for c in (native, other))
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            np.testing.assert_allclose(found, expected, atol=1e-10)
        atoms.positions[1] += 0.3  # more than half of the skin
        if atoms.pbc.all():
            atoms.set_cell(atoms.cell.array * 1.01, scale_atoms=True)


@pytest.mark.parametrize("name", ["ethanol", "copper"])
def test_trajectories_are_those_of_torch(name: str, request: pytest.FixtureRequest) -> None:
    ends, builds = [], []
    for chosen in (new_calculator(), new_calculator(native=False)):
        atoms = request.getfixturevalue(name).copy()
        atoms.calc = chosen
        size = atoms.get_masses()[:, None] ** 0.5
        atoms.set_momenta(size * np.random.default_rng(0).normal(size=(len(atoms), 3)))
        VelocityVerlet(atoms, units.fs).run(60)
        ends.append(atoms)
        builds.append(chosen.neighbors.n_builds)
    np.testing.assert_allclose(ends[0].positions, ends[1].positions, atol=1e-10)
    assert ends[0].get_potential_energy() == pytest.approx(ends[1].get_potential_energy(), abs=1e-9)
    assert 1 < builds[0] == builds[1] < 60


def test_simulations_are_those_of_torch(copper: Atoms) -> None:
    native, other = calculator(), calculator(native=False)
    runs = [
        run_md(copper, c, steps=10, ensemble="npt", temperature=300.0, barostat_time=50.0)
        for c in (native, other)
    ]
    np.testing.assert_allclose(runs[0].atoms.cell.array, runs[1].atoms.cell.array, atol=1e-10)
    np.testing.assert_allclose(runs[0].log.to_numpy(), runs[1].log.to_numpy(), rtol=1e-9, atol=1e-9)
    relaxed = [relax(copper, c, steps=3).energy for c in (native, other)]
    assert relaxed[0] == pytest.approx(relaxed[1], abs=1e-9)


@pytest.mark.parametrize("pbc", [True, (True, True, False)])
def test_stresses_of_atoms_add_up_to_the_stress(copper: Atoms, pbc: bool | tuple[bool, ...]) -> None:
    copper.pbc = pbc
    copper.calc = calculator()
    stresses = copper.get_stresses(include_ideal_gas=False)
    assert stresses.shape == (4, 6)
    np.testing.assert_allclose(stresses.sum(axis=0), copper.get_stress(), atol=1e-12)
    if np.all(pbc):
        numerical = calculate_numerical_stress(copper, eps=1e-5)
        np.testing.assert_allclose(copper.get_stress(), numerical, atol=1e-8)
    copper.positions[0] += 0.1
    after = copper.get_stresses()
    np.testing.assert_allclose(after.sum(axis=0), copper.get_stress(), atol=1e-12)
    assert abs(after - stresses).max() > 1e-4


def test_equal_atoms_have_equal_stresses() -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.calc = calculator()
    np.testing.assert_allclose(atoms.get_stresses(), np.tile(atoms.get_stress() / 4, (4, 1)), atol=1e-12)


def test_stresses_of_atoms_are_missing_where_they_are_not_defined(ethanol: Atoms, copper: Atoms) -> None:
    ethanol.calc, copper.calc = calculator(), calculator(native=False)
    for atoms in (ethanol, copper):
        atoms.get_forces()
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_stresses()


def test_one_call_gives_all_results(copper: Atoms, monkeypatch: pytest.MonkeyPatch) -> None:
    from symnets.native import BoundProgram

    calls, call = [], BoundProgram.__call__
    monkeypatch.setattr(BoundProgram, "__call__", lambda self, n: (calls.append(n), call(self, n))[1])
    copper.calc = calculator()
    for quantity in ("forces", "energy", "stress", "stresses", "energies"):
        copper.calc.get_property(quantity, copper)
    assert len(calls) == 1
    copper.positions[0] += 0.1
    copper.get_stresses()
    assert len(calls) == 2


def test_results_are_not_overwritten_by_the_next_step(copper: Atoms) -> None:
    copper.calc = calculator()
    copper.get_forces()
    results, atoms = copper.calc.results, copper.calc.atoms
    before, positions = copy.deepcopy(results), atoms.positions.copy()
    copper.positions[0] += 0.1
    copper.get_stresses()
    assert all(np.array_equal(results[name], before[name]) for name in before)
    np.testing.assert_array_equal(atoms.positions, positions)


CHANGES: dict[str, Callable[[Atoms], None]] = {
    "nothing": lambda atoms: None,
    "positions": lambda atoms: atoms.positions.__setitem__((0, 1), 3.0),
    "positions by rounding": lambda atoms: atoms.positions.__iadd__(1e-17),
    "not a number": lambda atoms: atoms.positions.__setitem__((0, 1), np.nan),
    "numbers": lambda atoms: atoms.numbers.__setitem__(0, 8),
    "cell": lambda atoms: atoms.set_cell(atoms.cell.array * 1.1),
    "cell and positions": lambda atoms: atoms.set_cell(atoms.cell.array * 1.1, scale_atoms=True),
    "pbc": lambda atoms: atoms.set_pbc((True, False, True)),
    "fewer atoms": lambda atoms: atoms.__delitem__(0),
    "charges": lambda atoms: atoms.set_initial_charges([1.0] * len(atoms)),
    "magnetic moments": lambda atoms: atoms.set_initial_magnetic_moments([1.0] * len(atoms)),
    "momenta": lambda atoms: atoms.set_momenta(np.ones((len(atoms), 3))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_found_as_ase_finds_them(copper: Atoms, change: str) -> None:
    chosen = calculator()
    chosen.get_property("energy", copper)
    before = copper.copy()
    CHANGES[change](copper)
    assert sorted(chosen.check_state(copper)) == sorted(compare_atoms(before, copper))


def test_the_copy_of_the_atoms_has_their_arrays_info_and_constraints(copper: Atoms) -> None:
    copper.calc = calculator()
    copper.get_forces()
    copper.set_momenta(np.ones((4, 3)))
    copper.positions[0] += 0.1
    copper.get_forces()
    np.testing.assert_array_equal(copper.calc.atoms.get_momenta(), np.ones((4, 3)))
    copper.info["name"] = "copper"
    copper.set_constraint(FixAtoms([1]))
    copper.positions[0] += 0.1
    copper.get_forces()
    assert copper.calc.atoms == copper
    assert copper.calc.atoms.info == {"name": "copper"}
    assert len(copper.calc.atoms.constraints) == 1
    copper.info.clear()
    copper.set_constraint()
    copper.positions[0] += 0.1
    copper.get_forces()
    assert not copper.calc.atoms.info
    assert not copper.calc.atoms.constraints


def test_errors_during_a_run_are_those_at_its_start(ethanol: Atoms) -> None:
    for skin in (0.5, 20.0):
        atoms = ethanol.copy()
        atoms.calc = new_calculator(skin=skin)
        atoms.get_forces()
        atoms.positions[3] = atoms.positions[1]
        with pytest.raises(ValueError, match="atoms 1 and 3 are at the same place"):
            atoms.get_forces()
        atoms.positions[3, 2] = np.nan
        with pytest.raises(ValueError, match=r"positions: expected finite numbers, those of H \(atom 3\)"):
            atoms.get_forces()
        atoms.positions = ethanol.positions
        atoms.symbols[0] = "N"
        with pytest.raises(ValueError, match=r"trained on H, C, O, Cu, not on N \(atom 0\)"):
            atoms.get_forces()
        atoms.symbols[0] = "C"
        np.testing.assert_allclose(atoms.get_forces(), calculator().get_forces(ethanol), atol=1e-12)
    with pytest.raises(ValueError, match="got an empty structure"):
        calculator().get_potential_energy(Atoms())


def test_a_cell_that_is_not_finite_is_refused_during_a_run(copper: Atoms) -> None:
    copper.calc = calculator()
    copper.get_forces()
    copper.cell[0, 0] = np.nan
    with pytest.raises(ValueError, match="cell: expected finite numbers, got"):
        copper.get_forces()


def test_structures_of_any_size_follow_each_other(ethanol: Atoms, copper: Atoms) -> None:
    chosen, other = calculator(), calculator(native=False)
    for atoms in (ethanol, copper, Atoms("O"), copper * (2, 2, 2), ethanol, bulk("Cu")):
        np.testing.assert_allclose(chosen.get_forces(atoms), other.get_forces(atoms), atol=1e-10)


def test_copies_of_a_calculator_are_independent(copper: Atoms) -> None:
    first = calculator()
    expected = first.get_forces(copper)
    second = copy.deepcopy(first)
    moved = copper.copy()
    moved.positions[0] += 0.2
    assert abs(second.get_forces(moved) - expected).max() > 1e-3
    np.testing.assert_array_equal(first.get_forces(copper), expected)
    np.testing.assert_allclose(second.get_forces(copper), expected, atol=1e-12)


def test_calculators_in_threads_do_not_disturb_each_other(copper: Atoms) -> None:
    def forces(seed: int) -> np.ndarray:
        atoms = copper.copy()
        atoms.calc = new_calculator()
        atoms.set_momenta(np.random.default_rng(seed % 2).normal(size=(4, 3)))
        VelocityVerlet(atoms, units.fs).run(10)
        return atoms.get_forces()

    expected = [forces(0), forces(1)]
    with ThreadPoolExecutor(4) as pool:
        for k, found in enumerate(pool.map(forces, range(4))):
            np.testing.assert_array_equal(found, expected[k % 2])


def test_a_change_of_the_calculators_model_is_seen(copper: Atoms) -> None:
    chosen = new_calculator()
    before = chosen.get_forces(copper)
    with torch.no_grad():
        chosen.model.energy_model.atomic_energy.scale.mul_(2)  # pyright: ignore
    copper.positions += 0.0
    chosen.reset()
    np.testing.assert_allclose(chosen.get_forces(copper), 2 * before, atol=1e-10)
    handle = chosen.model.register_forward_hook(
        lambda module, inputs, output: output._replace(forces=0 * output.forces)
    )
    chosen.reset()
    np.testing.assert_array_equal(chosen.get_forces(copper), 0 * before)
    handle.remove()
    chosen.reset()
    np.testing.assert_allclose(chosen.get_forces(copper), 2 * before, atol=1e-10)


def test_cells_are_relaxed(copper: Atoms) -> None:
    forces = []
    for chosen in (calculator(), calculator(native=False)):
        atoms = copper.copy()
        atoms.calc = chosen
        forces.append(FrechetCellFilter(atoms).get_forces())
    np.testing.assert_allclose(forces[0], forces[1], atol=1e-9)
