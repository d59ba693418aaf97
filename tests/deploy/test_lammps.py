"""The LAMMPS pair style with a message-passing toy model, which exchanges features of ghosts."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from tests.deploy.lammps import ENERGY, Frames, Lammps, build_toy, script_of

pytestmark = pytest.mark.slow
RUN = "run 0\n" + ENERGY
NVE = "timestep 0.001\nfix motion all nve\nrun 100\n" + ENERGY


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_toy(tmp_path_factory.mktemp("toy") / "libtoy.so")


@pytest.fixture(scope="module")
def float_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_toy(tmp_path_factory.mktemp("toy") / "libtoy32.so", "REAL=float")


def crystal(repeats: int = 3, *, element: str = "mixed") -> Atoms:
    """A distorted triclinic crystal of copper, of which every third atom is carbon if it is mixed."""
    atoms = bulk("Cu", cubic=True).repeat(repeats)
    cell = atoms.cell[:] + repeats * np.array([[0, 0, 0], [0.3, 0, 0], [0.5, -0.4, 0]])
    atoms.set_cell(cell, scale_atoms=True)
    atoms.rattle(0.1, seed=1)
    if element == "mixed":
        atoms.numbers[::3] = 6
    momenta = np.random.default_rng(2).normal(scale=0.5, size=(len(atoms), 3))
    atoms.set_momenta(momenta - momenta.mean(0))
    return atoms


def assert_same(one: Frames, other: Frames, tolerance: float) -> None:
    """Two runs agree; the tolerance is relative to the largest value of each quantity."""
    for name in ("energies", "virials", "positions", "forces", "atom_energies", "atom_virials"):
        expected, got = np.asarray(getattr(one, name)), np.asarray(getattr(other, name))
        assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max(), name


def test_forces_and_virial_are_derivatives_of_the_energy(lammps, toy, tmp_path):
    def energy(atoms: Atoms) -> float:
        return lammps.frames(tmp_path, atoms, f"symnets {toy}", "* * C Cu").energies[0]

    atoms, step = crystal(2), 1e-4
    got = lammps.frames(tmp_path, atoms, f"symnets {toy}", "* * C Cu")
    direction = np.random.default_rng(0).normal(size=(len(atoms), 3))
    moved = [atoms.copy(), atoms.copy()]
    strain = np.array([[0.3, 0, 0], [0.7, -0.5, 0], [-0.4, 0.6, 0.2]])  # keeps the cell lower triangular
    strained = [atoms.copy(), atoms.copy()]
    for sign, one, other in zip((1, -1), moved, strained, strict=True):
        one.positions += sign * step * direction
        other.set_cell(atoms.cell[:] @ (np.eye(3) + sign * step * strain), scale_atoms=True)
    slope = (energy(moved[0]) - energy(moved[1])) / (2 * step)
    assert -(got.forces * direction).sum() == pytest.approx(slope, rel=1e-6)  # error of the difference: 1e-7
    xx, yy, zz, xy, xz, yz = got.virials[0]
    virial = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    slope = (energy(strained[0]) - energy(strained[1])) / (2 * step)
    assert -(virial * strain).sum() == pytest.approx(slope, rel=1e-6)


def test_energies_and_virials_of_atoms_sum_to_the_total(lammps, toy, tmp_path):
    got = lammps.frames(tmp_path, crystal(2), f"symnets {toy}", "* * C Cu", ranks=2)
    assert got.atom_energies.sum() == pytest.approx(got.energies[0], rel=1e-12)
    np.testing.assert_allclose(got.atom_virials.sum(0), got.virials[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "processes",
    [
        (2, "processors 2 1 1"),
        (4, "processors 1 2 2"),
        (4, "comm_style tiled\nprocessors * * *"),
    ],
)
def test_processes_agree(processes, lammps, toy, tmp_path):
    """After 100 steps of dynamics; only the order of sums differs, which the dynamics amplifies."""
    ranks, before = processes
    balance = "balance 1.05 rcb\n" if "tiled" in before else ""
    coeff = ("* * C Cu", balance + NVE)
    one = lammps.frames(tmp_path, crystal(), f"symnets {toy}", "* * C Cu", NVE, every=100)
    many = lammps.frames(tmp_path, crystal(), f"symnets {toy}", *coeff, ranks=ranks, before=before, every=100)
    assert_same(one, many, 1e-9)


def test_float_rows_are_exchanged(lammps, toy, float_toy, tmp_path):
    """Five and one float of a row do not fill doubles; energies of float32 differ by its rounding."""
    double = lammps.frames(tmp_path, crystal(), f"symnets {toy}", "* * C Cu")
    single = [
        lammps.frames(tmp_path, crystal(), f"symnets {float_toy}", "* * C Cu", ranks=ranks)
        for ranks in (1, 2)
    ]
    for frames in single:
        assert_same(double, frames, 3e-6)
    assert "32 bit" in single[0].log


def test_cell_smaller_than_the_cutoff(lammps, toy, tmp_path):
    """One atom and its images have the energy of each atom of a larger crystal."""
    small = bulk("Cu")
    small.set_cell([[2.5, 0, 0], [1.2, 2.2, 0], [1.3, 0.7, 2.1]], scale_atoms=True)
    large = small.repeat(4)
    one = lammps.frames(tmp_path, small, f"symnets {toy}", "* * Cu", before="box tilt large")
    many = lammps.frames(tmp_path, large, f"symnets {toy}", "* * Cu", before="box tilt large", ranks=2)
    assert many.energies[0] / len(large) == pytest.approx(one.energies[0], rel=1e-12)
    np.testing.assert_allclose(many.virials / len(large), one.virials, rtol=1e-9, atol=1e-9)


def test_processes_without_atoms(lammps, toy, tmp_path):
    """A cluster in a corner of a large box, which one of four processes owns."""
    cluster = Atoms("CuC3", [[1, 1, 1], [2.5, 1.2, 1], [1, 3, 2], [2, 2, 3]], cell=[30, 30, 30], pbc=False)
    one = lammps.frames(tmp_path, cluster, f"symnets {toy}", "* * C Cu")
    four = lammps.frames(tmp_path, cluster, f"symnets {toy}", "* * C Cu", ranks=4, before="processors 2 2 1")
    assert_same(one, four, 1e-12)


def test_types_of_one_element(lammps, toy, tmp_path):
    """Two types of copper are the same element; the model sees elements only."""
    atoms = crystal(2, element="Cu")
    labelled = atoms.copy()
    labelled.numbers[::2] = 47  # another type in the data file
    one = lammps.frames(tmp_path, atoms, f"symnets {toy}", "* * Cu")
    two = lammps.frames(tmp_path, labelled, f"symnets {toy}", "* * Cu Cu", types=["Cu", "Ag"])
    assert_same(one, two, 1e-12)


def test_overlay_adds_another_style(lammps, toy, tmp_path):
    atoms = crystal(2)
    other = "lj/cut 4.0"
    values = "* * 0.05 2.0"
    alone = lammps.frames(tmp_path, atoms, f"symnets {toy}", "* * C Cu")
    pairs = lammps.frames(tmp_path, atoms, other, values)
    both = lammps.frames(
        tmp_path,
        atoms,
        f"hybrid/overlay symnets {toy} {other}",
        f"* * symnets C Cu\npair_coeff {values.replace('* *', '* * lj/cut')}",
        ranks=2,
    )
    assert both.energies[0] == pytest.approx(alone.energies[0] + pairs.energies[0], rel=1e-12)
    np.testing.assert_allclose(both.forces, alone.forces + pairs.forces, atol=1e-11)
    np.testing.assert_allclose(both.virials, alone.virials + pairs.virials, rtol=1e-9, atol=1e-9)


def test_types_of_another_style_are_no_neighbors(lammps, toy, tmp_path):
    """In a hybrid with NULL for carbon the energy is that of the copper atoms alone."""
    atoms = crystal(2)
    copper = atoms[atoms.numbers == 29]
    alone = lammps.frames(tmp_path, copper, f"symnets {toy}", "* * Cu")
    part = lammps.frames(
        tmp_path,
        atoms,
        f"hybrid symnets {toy} zero 3.0",
        "* * symnets NULL Cu\npair_coeff 1 * zero",
        ranks=2,
    )
    assert part.energies[0] == pytest.approx(alone.energies[0], rel=1e-12)
    np.testing.assert_allclose(part.forces[atoms.numbers == 29], alone.forces, atol=1e-12)
    assert not part.forces[atoms.numbers == 6].any()


def test_two_models_in_one_process(lammps, toy, float_toy, tmp_path):
    alone = lammps.frames(tmp_path, crystal(2), f"symnets {toy}", "* * C Cu")
    both = lammps.frames(
        tmp_path,
        crystal(2),
        f"hybrid/overlay symnets {toy} symnets {float_toy} threads 2",
        "* * symnets 1 C Cu\npair_coeff * * symnets 2 C Cu",
    )
    np.testing.assert_allclose(both.forces, 2 * alone.forces, atol=1e-5)  # the second is in float32


def test_minimisation_lowers_the_forces(lammps, toy, tmp_path):
    commands = RUN + "minimize 0 1e-3 200 400\n" + ENERGY
    got = lammps.frames(tmp_path, crystal(2), f"symnets {toy}", "* * C Cu", commands, every=1, ranks=2)
    assert got.energies[1] < got.energies[0]
    assert np.abs(got.forces).max() < 1e-3  # eV/Å; more than 1 at first


def test_constant_pressure_conserves_the_enthalpy(lammps, toy, tmp_path):
    """Barostat of a triclinic cell: the conserved quantity of `fix nph` drifts if the virial is wrong."""
    conserved = 'print "RESULT $(econserve:%.16g) 0 0 0 0 0 0"\n'
    commands = (
        "timestep 0.001\nfix motion all nph tri 1000 1000 0.5\nthermo_style custom step econserve vol\n"
        f'run 0\n{conserved}run 200\n{conserved}print "VOLUME $(vol)"\n'
    )
    got = lammps.frames(tmp_path, crystal(2), f"symnets {toy}", "* * C Cu", commands, every=100, ranks=2)
    volume = float(got.log.split("VOLUME ")[-1].split()[0])
    assert abs(volume / crystal(2).get_volume() - 1) > 1e-3
    assert got.energies[1] == pytest.approx(got.energies[0], abs=0.01)


def test_model_is_given_again_after_a_restart(lammps, toy, tmp_path):
    """A restart file has positions and cell; the pair style, given again, has the same energy as before."""
    again = f"pair_style symnets {toy}\npair_coeff * * C Cu\n"
    first = "fix motion all nve\nrun 10\n" + ENERGY + "write_restart ten.restart\n"
    virial = "compute virial all pressure NULL virial\nthermo_style custom step pe c_virial[*]\n"
    second = "clear\nread_restart ten.restart\n" + again + virial + RUN
    done = lammps.frames(tmp_path, crystal(2), f"symnets {toy}", "* * C Cu", again + first + second, ranks=2)
    assert done.energies[1] == pytest.approx(done.energies[0], rel=1e-12)
    np.testing.assert_allclose(done.virials[1], done.virials[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("macro", "changes", "message"),
    [
        ("", {"pair": "symnets missing.so"}, "cannot load ./missing.so"),
        ("", {"pair": "symnets"}, "Usage: pair_style symnets LIBRARY"),
        ("", {"pair": "symnets {toy} threads 0"}, "threads must be at least 1"),
        ("", {"pair": "symnets {toy} cores 2"}, "keyword: cores"),
        ("", {"pair": "symnets libc.so.6"}, "cannot load ./libc.so.6"),
        ("", {"pair": "symnets {libc}"}, "is not a library written by symnets export"),
        ("ABI=2", {}, "has version 2 of the interface of symnets, but this pair style needs 1"),
        ("ALTERED", {}, "the library was altered"),
        ("", {"coeff": "* * C Ag"}, "Ag is not an element of the symnets model, which knows C Cu"),
        ("", {"coeff": "* * C Xx"}, "Xx is not an element of the symnets model, which knows C Cu"),
        ("", {"coeff": "* * C"}, "the element of each of the 2 atom types"),
        ("", {"coeff": "1 2 C Cu"}, "Pair_coeff must start with * * for pair style symnets"),
        ("", {"coeff": "* * C NULL"}, "All pair coeffs are not set"),
        ("", {"newton": "off"}, "requires newton pair on"),
        ("", {"units": "real"}, "use units metal, not real"),
        ("", {"same_place": True}, "at step 0: two atoms are at the same place"),
    ],
)
def test_errors(macro, changes, message, lammps, toy, tmp_path):
    library = build_toy(tmp_path / "libother.so", macro) if macro else toy
    pair = changes.get("pair", "symnets {toy}")
    libc = next(Path("/lib").glob("*/libm.so.6"), "libm.so.6")
    atoms = crystal(2)
    if changes.get("same_place"):
        atoms.positions[1] = atoms.positions[0]
    script = script_of(
        tmp_path,
        atoms,
        pair.format(toy=library, libc=libc),
        changes.get("coeff", "* * C Cu"),
        RUN,
        newton=changes.get("newton", "on"),
    )
    script = script.replace("units metal", f"units {changes.get('units', 'metal')}")
    done = lammps.run(tmp_path, script)
    assert done.returncode != 0
    assert message in done.stdout


def test_bonded_neighbors_must_be_kept(lammps, toy, tmp_path):
    """With bonds LAMMPS removes bonded atoms from the neighbor list, unless special_bonds says otherwise."""
    atoms = Atoms("C2", [[1, 1, 1], [2.4, 1, 1]], cell=[12, 12, 12], pbc=True)
    free = lammps.frames(tmp_path, atoms, f"symnets {toy}", "* * C")
    script = script_of(tmp_path, atoms, f"symnets {toy}", "* * C", "{}" + RUN, style="bond")
    data = (tmp_path / "atoms.data").read_text()
    head, _, rest = data.partition("atoms\n")
    data = f"{head}atoms\n1 bonds\n1 bond types\n{rest}\nBonds\n\n1 1 1 2\n"
    data = data.replace("Atoms # atomic", "Atoms # bond")
    lines = [
        f"{line.split()[0]} 1 {' '.join(line.split()[1:])}" if len(line.split()) == 5 else line
        for line in data.splitlines()
    ]
    (tmp_path / "atoms.data").write_text("\n".join(lines) + "\n")
    bonds = "bond_style zero\nbond_coeff *\n"
    refused = lammps.run(tmp_path, script.format(bonds))
    assert "use special_bonds lj/coul 1 1 1" in refused.stdout
    done = lammps.run(tmp_path, script.format(bonds + "special_bonds lj/coul 1 1 1\n"))
    energy = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("RESULT"))
    assert float(energy) == pytest.approx(free.energies[0], rel=1e-12)


def test_plugin_of_another_release_is_not_loaded(lammps, toy, tmp_path, monkeypatch):
    import symnets.deploy._lammps as module

    headers = module.find_headers(next(lammps.environment.glob("lib/python*/site-packages/lammps/include")))
    monkeypatch.setattr(module, "find_headers", lambda _: headers._replace(version=20250612))
    other = Lammps(lammps.environment, module.build_lammps_plugin(headers.folder, tmp_path / "plugin"))
    done = other.run(tmp_path, script_of(tmp_path, crystal(2), f"symnets {toy}", "* * C Cu", RUN))
    assert done.returncode != 0
    assert "it was built for LAMMPS 20250612, and this is LAMMPS 20250722" in done.stdout
    assert "Run `symnets lammps build`" in done.stdout
