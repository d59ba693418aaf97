"""Labels that a training needs: which structures have a stress, what may be absent, isolated atoms."""

from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from symnets.potentials import LossConfig, load_data, train
from symnets.potentials._validation import before_training, data_warnings


def labelled(atoms: Atoms, **more) -> Atoms:
    """The structure with the energy, forces and, if periodic, stress of EMT."""
    probe = atoms.copy()
    probe.calc = EMT()
    results = {"energy": probe.get_potential_energy(), "forces": probe.get_forces()}
    if atoms.pbc.any():
        results["stress"] = probe.get_stress()
    atoms.calc = SinglePointCalculator(atoms, **results | more)
    return atoms


def mixed(n: int, **of_molecules) -> list[Atoms]:
    """Crystals, molecules without cell, molecules in a box, and slabs of copper, in turn."""
    structures = []
    for seed in range(n):
        molecule = Atoms("Cu3", [[0, 0, 0], [2.4, 0, 0], [0, 2.4, 0]])
        boxed, slab = molecule.copy(), fcc111("Cu", (1, 1, 3), vacuum=5.0)
        boxed.cell = np.diag([12.0] * 3)
        slab.info.clear()
        atoms = [bulk("Cu", cubic=True), molecule, boxed, slab][seed % 4]
        atoms.rattle(0.1, seed=seed)
        structures.append(labelled(atoms, **({} if atoms.pbc.any() else of_molecules)))
    return structures


@pytest.fixture
def over(config, tmp_path):
    """The configuration with other structures and options of its data."""

    def over(structures: list[Atoms], loss: tuple[float, ...] = (1.0, 1.0, 100.0), **data):
        path = tmp_path / "data.xyz"
        ase.io.write(path, structures)
        data = {"n_train": len(structures) - 4} | data
        return replace(
            config,
            data=replace(config.data, train=str(path), **data),
            loss=LossConfig(*loss),
            optimizer=replace(config.optimizer, epochs=1, batch_size=2),
            output=str(tmp_path / f"run{len(list(tmp_path.glob('run*')))}"),
        )

    return over


def test_stress_labels_of_molecules_change_nothing(over):
    """Public sets have zeros there; some batches have molecules only."""
    with_zeros = train(over(mixed(12, stress=np.zeros(6))), progress=False)
    without = train(over(mixed(12)), progress=False)
    for row, other in zip(with_zeros.history.rows, without.history.rows, strict=True):
        assert np.isfinite(list(row.values())).all()
        assert {**row, "seconds": 0} == {**other, "seconds": 0}
    assert "validation/stress_rmse" in with_zeros.history.rows[-1]


def test_structures_that_have_a_stress_are_counted(over):
    _, _, stats = load_data(over(mixed(20, stress=np.zeros(6)), n_train=16))
    assert stats.labelled["energy"] == stats.labelled["forces"] == 16
    assert 0 < stats.labelled["stress"] == stats.n_with_stress < 16

    class Model:
        cutoff = 3.0

        @staticmethod
        def parameters():
            return []

    lines = "\n".join(before_training(stats, 4, Model()))
    assert f"stress of {stats.n_with_stress}; {16 - stats.n_with_stress} of 16 can have no stress" in lines


def test_stress_of_slabs_is_learnt_but_may_be_absent(over):
    slabs = mixed(32)[3::4]
    _, _, stats = load_data(over(slabs))
    assert stats.labelled["stress"] == 4
    for atoms in slabs:
        del atoms.calc.results["stress"]
    with pytest.raises(ValueError, match=r"none of the 4 structures for training has a stress; name its key"):
        load_data(over(slabs))
    load_data(over([*slabs, *mixed(32)[0::4]]))


@pytest.mark.parametrize("kind", [1, 2])
def test_molecules_alone_have_no_stress(over, kind, tmp_path):
    molecules = mixed(32, stress=np.zeros(6))[kind::4]
    with pytest.raises(ValueError, match=r"data.xyz: none of the 4 structures for training is periodic"):
        load_data(over(molecules))
    own = tmp_path / "molecules.xyz"
    ase.io.write(own, molecules)
    load_data(over(mixed(8), validation=str(own)))  # the best model is chosen by forces
    with pytest.raises(ValueError, match=r"molecules.xyz: none of the 4 structures for validation is"):
        load_data(over(mixed(8), (0.0, 0.0, 1.0), validation=str(own)))


@pytest.mark.parametrize(("weight", "present"), [("energy", ["energy"]), ("forces", ["forces"])])
def test_labels_without_weight_may_be_absent(over, weight, present):
    structures = mixed(32)[0::4]
    for atoms in structures:
        atoms.calc.results = {name: atoms.calc.results[name] for name in present}
    loss = [float(name == weight) for name in ("energy", "forces", "stress")]
    config = over(structures, loss, **{f"{n}_key": "absent" for n in ("energy", "forces") if n != weight})
    row = train(config, progress=False).history.rows[-1]
    measured = {name.split("/")[1].split("_")[0] for name in row if name.startswith("validation/")}
    assert measured == set(present)
    assert np.isfinite(list(row.values())).all()
    missing = next(name for name in ("energy", "forces") if name != weight)
    message = rf"data.xyz: none of the 4 structures for training has .*{missing}; name its key with data"
    with pytest.raises(ValueError, match=message):
        load_data(over(structures, (1.0, 1.0, 0.0)))
    with pytest.raises(ValueError, match=r"data.xyz, frame 0: no .* needs none, set loss\."):
        load_data(over(structures, (1.0, 1.0, 0.0), require_all=True))


def test_errors_name_file_and_frame(over):
    structures = mixed(8)
    results = structures[5].calc.results
    structures[5].positions[1] = structures[5].positions[0]
    structures[5].calc = SinglePointCalculator(structures[5], **results)
    with pytest.raises(ValueError, match=r"data.xyz, frame 5 \(Cu3\): pos: atoms .* at the same place"):
        load_data(over(structures))


def test_forces_alone_leave_no_reference_energy(over):
    structures = mixed(32)[0::4]
    for atoms in structures:
        del atoms.calc.results["energy"]
    _, _, stats = load_data(over(structures, (0.0, 1.0, 0.0)))
    assert (stats.energies, stats.source) == ((0.0,), "no energies")


def test_virials_give_the_stress(over):
    structures = mixed(32)[0::4]
    (expected, *_), _, _ = load_data(over(structures))
    for atoms in structures:
        atoms.info["virial"] = -atoms.get_volume() * atoms.get_stress(voigt=False)
        del atoms.calc.results["stress"]
    (found, *_), _, _ = load_data(over(structures, virial_key="virial"))
    np.testing.assert_allclose(found.stress, expected.stress, rtol=1e-5)  # written with 8 digits


def test_a_stress_in_kbar_is_reported(over):
    structures = mixed(32)[0::4]
    assert data_warnings(load_data(over(structures))[2]) == []
    for atoms in structures:
        atoms.calc.results["stress"] *= 1602.18
    (warning,) = data_warnings(load_data(over(structures))[2])
    assert "stress of implausible size in 4 of 4 structures" in warning


class TestIsolatedAtoms:
    @staticmethod
    def atom(symbol: str, edge: float, energy: float, **info) -> Atoms:
        """An atom in a periodic box, as plane-wave codes write it."""
        atoms = Atoms(symbol, cell=np.diag([edge] * 3), pbc=True, info=info)
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        return atoms

    def test_in_a_periodic_box_of_a_file_of_their_own(self, over, tmp_path):
        own = tmp_path / "isolated.xyz"
        ase.io.write(own, self.atom("Cu", 12.0, -0.5))
        _, _, stats = load_data(over(mixed(8), isolated_atoms=str(own)))
        assert (stats.energies, stats.source) == ((-0.5,), "isolated atoms")
        ase.io.write(own, self.atom("Cu", 2.5, -0.5))
        message = r"isolated.xyz: no isolated atom of Cu, which .*data.xyz contains; .* image within 3 Å"
        with pytest.raises(ValueError, match=message):
            load_data(over(mixed(8), isolated_atoms=str(own)))

    def test_marked_in_the_training_file(self, over):
        """They have no forces and no stress, are not trained on, and give the references."""
        marked = self.atom("Cu", 12.0, -0.5, config_type="IsolatedAtom")
        train_graphs, validation, stats = load_data(over([marked, *mixed(8)], n_train=4))
        assert (stats.energies, stats.source) == ((-0.5,), "isolated atoms")
        assert all(len(graph.z) > 1 for graph in (*train_graphs, *validation))
        with pytest.raises(ValueError, match="has 8 structures, but"):
            load_data(over([marked, *mixed(8)], n_train=5))

    def test_every_species_needs_one(self, over):
        marked = self.atom("Ag", 12.0, -0.5, config_type="IsolatedAtom")
        with pytest.raises(ValueError, match=r"data.xyz: no isolated atom of Cu, which"):
            load_data(over([marked, *mixed(8)], n_train=4))
        load_data(over([marked, *mixed(8)], (0.0, 1.0, 0.0), n_train=4))  # no reference is needed
