"""Reading of labelled structures, and invalid files."""

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from symnets.data import is_isolated_atom, keys_present, read_structures, write_structures

FRAME = """2
Properties=species:S:1:pos:R:3:forces:R:3:dft:R:3 energy=-1.5 total=-2.5 pbc="F F F"
H 0.0 0.0 0.0 0.1 0.0 0.0 0.5 0.0 0.0
H 0.0 0.0 0.8 -0.1 0.0 0.0 -0.5 0.0 0.0
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes, name: str = "data.xyz") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_labels_recognised_by_ase_are_read(write):
    atoms, other = read_structures(write(FRAME * 2))
    assert atoms.get_potential_energy() == -1.5
    assert atoms.get_forces()[0, 0] == 0.1
    assert other.symbols.get_chemical_formula() == "H2"


def test_given_keys_replace_recognised_labels(write):
    (atoms,) = read_structures(write(FRAME), energy_key="total", forces_key="dft")
    assert atoms.get_potential_energy() == -2.5
    assert atoms.get_forces()[0, 0] == 0.5
    (atoms,) = read_structures(write(FRAME), energy_key="energy", forces_key="forces")
    assert atoms.get_potential_energy() == -1.5


def test_index_selects_frames(write):
    path = write("".join(FRAME.replace("-2.5", str(n)) for n in range(5)))
    for index, expected in (("1::2", [1.0, 3.0]), (-1, [4.0])):
        structures = read_structures(path, index=index, energy_key="total")
        assert [atoms.get_potential_energy() for atoms in structures] == expected
    with pytest.raises(ValueError, match="no structure at index '9:'"):
        read_structures(path, index="9:")


def test_written_structures_read_back(tmp_path):
    atoms = bulk("Ar", cubic=True)
    stress = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    atoms.calc = SinglePointCalculator(atoms, energy=-1 / 3, forces=np.full((4, 3), 0.25), stress=stress)
    write_structures(tmp_path / "folder" / "argon.xyz", [atoms, atoms])
    (back, _) = read_structures(tmp_path / "folder" / "argon.xyz", require=("energy", "forces", "stress"))
    assert back.get_potential_energy() == -1 / 3
    np.testing.assert_array_equal(back.get_forces(), 0.25)
    np.testing.assert_array_equal(back.get_stress(), stress)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["argon.xyz"]


def test_any_format_of_ase(tmp_path):
    molecule("CH4").write(tmp_path / "methane.xsf")
    (atoms,) = read_structures(tmp_path / "methane.xsf")
    assert atoms.symbols.get_chemical_formula() == "CH4"


@pytest.mark.parametrize("n_numbers", [6, 9])
def test_vasp_stress_is_read_in_ases_convention(tmp_path, rng, n_numbers):
    """The stress of a Lennard-Jones crystal written in VASP's convention is read back."""
    atoms = bulk("Ar", cubic=True, a=5.0)
    atoms.positions += rng.normal(0, 0.05, (4, 3))
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.01, rc=8.0)
    kilobar = -atoms.get_stress(voigt=False) / (0.1 * units.GPa)
    order = [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0)]
    numbers = [kilobar[element] for element in order] if n_numbers == 6 else kilobar.ravel()
    plain = atoms.copy()
    plain.info["in_kB"] = " ".join(f"{number:.12f}" for number in numbers)
    path = tmp_path / "argon.xyz"
    ase.io.write(path, plain)
    (read,) = read_structures(path, stress_key="in_kB", stress_convention="vasp")
    np.testing.assert_allclose(read.get_stress(), atoms.get_stress(), atol=1e-12)


class TestLabelsThatMayBeAbsent:
    """Isolated atoms need no label but the energy; only crystals need a stress."""

    ATOM = '1\nenergy=-0.5 config_type={} pbc="F F F"\nH 0 0 0\n'

    def test_a_named_key_is_read_where_it_is(self, write):
        path = write(FRAME + FRAME.replace("total=-2.5", ""))
        first, second = read_structures(path, energy_key="total")
        assert first.get_potential_energy() == -2.5
        assert "energy" not in second.calc.results  # the one that ASE recognises is another

    def test_only_required_labels_must_be_present(self, write):
        (atoms,) = read_structures(write(FRAME), energy_key="dft_energy", require=("forces",))
        assert set(atoms.calc.results) == {"forces"}

    @pytest.mark.parametrize("mark", ["IsolatedAtom", "isolated_atom"])
    def test_an_isolated_atom_needs_an_energy_only(self, write, mark):
        atom, _ = read_structures(write(self.ATOM.format(mark) + FRAME), require=("energy", "forces"))
        assert is_isolated_atom(atom)
        with pytest.raises(ValueError, match="frame 0: no forces under the key 'forces'"):
            read_structures(write(self.ATOM.format("slab")), require=("energy", "forces"))

    def test_two_atoms_are_not_isolated(self, write):
        with pytest.raises(ValueError, match="expected one atom, since config_type is IsolatedAtom, got 2"):
            read_structures(write(FRAME.replace("total", "config_type=IsolatedAtom total")))

    def test_slabs_and_molecules_need_no_stress_but_slabs_keep_theirs(self, write):
        slab = FRAME.replace('"F F F"', '"T T F" Lattice="9 0 0 0 9 0 0 0 9"')
        stress = ' stress="0 0 0 0 0 0 0 0 0"'
        texts = [FRAME, slab, *(text.replace(" total", f"{stress} total") for text in (FRAME, slab))]
        texts[2] = texts[2].replace('"0 0 0 0 0 0 0 0 0"', '"nan 0 0 0 0 0 0 0 0"')  # a molecule: dropped
        structures = read_structures(write("".join(texts)), require=("stress",))
        assert ["stress" in atoms.calc.results for atoms in structures] == [False, False, False, True]


class TestUnitsAndSigns:
    """The stress of a Lennard-Jones crystal, written as other codes do, is read in ASE's convention."""

    @pytest.fixture
    def argon(self, rng):
        atoms = bulk("Ar", cubic=True, a=5.0)
        atoms.positions += rng.normal(0, 0.05, (4, 3))
        atoms.calc = LennardJones(sigma=3.4, epsilon=0.01, rc=8.0)
        return atoms

    @pytest.mark.parametrize("voigt", [True, False])
    def test_a_virial_is_minus_the_volume_times_the_stress(self, tmp_path, argon, voigt):
        """-dE/dstrain by finite differences."""
        virial = np.zeros((3, 3))
        for i, j in np.ndindex(3, 3):
            energies = []
            for step in (1e-4, -1e-4):
                strain = np.eye(3)
                strain[i, j] += step / 2
                strain[j, i] += step / 2
                moved = argon.copy()
                moved.set_cell(argon.cell.array @ strain, scale_atoms=True)
                moved.calc = LennardJones(sigma=3.4, epsilon=0.01, rc=8.0)
                energies.append(moved.get_potential_energy())
            virial[i, j] = -(energies[0] - energies[1]) / 2e-4
        plain = argon.copy()
        plain.info["REF_virial"] = full_3x3_to_voigt_6_stress(virial) if voigt else virial
        ase.io.write(tmp_path / "argon.xyz", plain)
        (read,) = read_structures(tmp_path / "argon.xyz", virial_key="REF_virial")
        np.testing.assert_allclose(read.get_stress(), argon.get_stress(), atol=1e-8)

    def test_a_molecule_has_no_stress_from_its_virial(self, write):
        path = write(FRAME.replace("total", 'virial="1 0 0 0 1 0 0 0 1" total'))
        assert "stress" not in read_structures(path, virial_key="virial")[0].calc.results

    def test_vasps_nine_numbers_under_ases_own_name(self, write):
        """ASE has reduced a matrix of this name to six numbers, but in its own order."""
        matrix = np.array([[1.0, 4, 6], [4, 2, 5], [6, 5, 3]])  # xy = 4, yz = 5, zx = 6
        expected = -0.1 * units.GPa * np.array([1, 2, 3, 5, 6, 4])
        crystal = FRAME.replace('pbc="F F F"', 'Lattice="9 0 0 0 9 0 0 0 9" stress="{}"')
        text = crystal.format(" ".join(map(str, matrix.ravel())))
        for key in (None, "stress"):
            (atoms,) = read_structures(write(text), stress_key=key, stress_convention="vasp")
            np.testing.assert_allclose(atoms.get_stress(), expected, rtol=1e-12)

    @pytest.mark.parametrize("name", ["argon.traj", "argon.json", "argon.db"])
    def test_a_stress_that_ase_has_converted_is_not_converted_again(self, tmp_path, argon, name):
        labels = {"energy": argon.get_potential_energy(), "stress": argon.get_stress()}
        argon.calc = SinglePointCalculator(argon, **labels)
        ase.io.write(tmp_path / name, argon)
        np.testing.assert_array_equal(read_structures(tmp_path / name)[0].get_stress(), labels["stress"])
        for key in (None, "stress"):
            with pytest.raises(ValueError, match=r"frame 0: .* leave stress_convention at ase"):
                read_structures(tmp_path / name, stress_key=key, stress_convention="vasp")

    def test_a_virial_is_not_a_stress(self, write):
        for key in ("virial", "REF_virials"):
            with pytest.raises(ValueError, match=r"is the name of a virial.* pass it as virial_key"):
                read_structures(write(FRAME), stress_key=key)
        for other in ({"stress_key": "stress"}, {"stress_convention": "vasp"}):
            with pytest.raises(ValueError, match="virial_key: expected without stress_"):
                read_structures(write(FRAME), virial_key="virial", **other)


class TestKeysPresent:
    def test_pairs_and_data_of_a_database_are_keys(self, tmp_path):
        """ASE's own reader leaves them out, and does not accept an index with a step."""
        for name in ("data.db", "data.json"):
            with ase.db.connect(tmp_path / name) as database:
                for energy in (-1.0, -2.0, -3.0):
                    data = {"dft_forces": np.full((2, 3), energy), "energy": np.array([energy - 1])}
                    database.write(Atoms("HF"), key_value_pairs={"dft_energy": energy}, data=data)
            keys = {"energy_key": "dft_energy", "forces_key": "dft_forces"}
            first, last = read_structures(tmp_path / name, index="::2", **keys)
            assert (first.get_potential_energy(), last.get_potential_energy()) == (-1.0, -3.0)
            np.testing.assert_array_equal(last.get_forces(), -3.0)
            (last,) = read_structures(tmp_path / name, index=-1, energy_key="energy")
            assert last.get_potential_energy() == -4.0
            assert keys_present([last]) == (["dft_energy", "energy"], ["dft_forces"])
            with pytest.raises(ValueError, match="per structure dft_energy, energy; per atom dft_forces"):
                read_structures(tmp_path / name, energy_key="REF_energy")

    def test_all_results_of_ase_are_kept_listed_and_read(self, tmp_path):
        atoms = molecule("H2O")
        results = {"energy": -1.0, "free_energy": -2.0, "dipole": np.arange(3.0), "magmoms": np.ones(3)}
        atoms.calc = SinglePointCalculator(atoms, **results, energies=np.full(3, -0.5))
        for name in ("water.traj", "water.xyz"):
            ase.io.write(tmp_path / name, atoms)
            (read,) = read_structures(tmp_path / name, energy_key="free_energy")
            assert read.get_potential_energy() == -2.0
            np.testing.assert_array_equal(read.calc.results["dipole"], np.arange(3.0))
            assert keys_present([read]) == (["dipole", "energy", "free_energy"], ["energies", "magmoms"])

    def test_results_of_any_name_are_kept(self, write, monkeypatch):
        """ASE's reader of CASTEP returns results with names that other readers do not use."""

        def read(*args, **options):
            atoms = molecule("H2O")
            atoms.calc = SinglePointCalculator(atoms, energy=-1.0)
            atoms.calc.results["energy_without_dispersion_correction"] = -2.0
            return [atoms]

        monkeypatch.setattr(ase.io, "read", read)
        (atoms,) = read_structures(write(FRAME), energy_key="energy_without_dispersion_correction")
        assert atoms.get_potential_energy() == -2.0
        assert "energy_without_dispersion_correction" in keys_present([atoms])[0]


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
    @pytest.mark.parametrize("name", ["data.xyz", "data.xyz.gz"])
    def test_any_encoding_is_read(self, write, encoding, name):
        data = FRAME.replace("total", "author=Jürgen total").encode(encoding)
        path = write(gzip.compress(data) if name.endswith("gz") else data, name)
        (atoms,) = read_structures(path, energy_key="total")
        assert atoms.get_potential_energy() == -2.5
        assert atoms.info["author"] == "Jürgen"

    def test_other_text_formats_too(self, tmp_path):
        molecule("CH4").write(tmp_path / "plain.xsf")
        for encoding in ("utf-8-sig", "latin-1"):
            text = "# Universität\n" + (tmp_path / "plain.xsf").read_text()
            (tmp_path / "methane.xsf").write_bytes(text.encode(encoding))
            (atoms,) = read_structures(tmp_path / "methane.xsf")
            np.testing.assert_allclose(atoms.positions, molecule("CH4").positions, atol=1e-9)

    def test_a_truncated_archive_is_named(self, write):
        data = gzip.compress(FRAME.encode() * 50)
        with pytest.raises(ValueError, match=r"data\.xyz\.gz: cannot be decompressed"):
            read_structures(write(data[: len(data) // 2], "data.xyz.gz"))


class TestRefuses:
    def test_a_file_that_does_not_exist(self):
        with pytest.raises(FileNotFoundError, match=r"absent\.xyz: no such file"):
            read_structures("absent.xyz")

    def test_a_directory(self, tmp_path):
        with pytest.raises(ValueError, match="expected a file, got a directory"):
            read_structures(tmp_path)

    @pytest.mark.parametrize("text", ["", "\n\n"])
    def test_an_empty_file(self, write, text):
        with pytest.raises(
            ValueError, match=r"data\.xyz: the file is empty; expected at least one structure"
        ):
            read_structures(write(text))

    @pytest.mark.parametrize("rows", [0, 1])
    @pytest.mark.parametrize("more", [1, 20])
    def test_a_truncated_file(self, write, rows, more):
        """Truncated in the second line, or in the first or second row."""
        start = sum(len(line) for line in FRAME.splitlines(keepends=True)[: 2 + rows])
        message = f"frame 1 has {rows} complete rows for the 2 atoms of its header; the file is truncated"
        with pytest.raises(ValueError, match=message):
            read_structures(write(FRAME + FRAME[: start + more]))

    def test_a_header_without_frame(self, write):
        with pytest.raises(ValueError, match="frame 1 has 0 complete rows for the 2 atoms"):
            read_structures(write(FRAME + "2\n"))

    def test_a_second_line_with_an_invalid_lattice(self, write):
        with pytest.raises(ValueError, match=r"ASE cannot read it as extxyz: .*Lattice"):
            read_structures(write(FRAME.replace("energy=", "Lattice=bad energy=")))

    def test_frames_after_a_blank_line(self, write):
        with pytest.raises(
            ValueError, match="line 5 is blank where frame 1 should begin, and is followed by"
        ):
            read_structures(write(FRAME + "\n" + FRAME))

    def test_text_that_is_not_xyz(self, write):
        with pytest.raises(ValueError, match="expected the number of atoms of frame 0 on line 1, got 'hello"):
            read_structures(write("hello world\n"))

    def test_binary_noise(self, write, rng):
        with pytest.raises(ValueError, match="not a text file"):
            read_structures(write(b"\xff\xae" + rng.bytes(1000)))

    def test_an_unknown_format(self, write):
        with pytest.raises(ValueError, match="unknown format; expected one that ASE reads"):
            read_structures(write("some words\n", "data.unheard"))

    def test_implausible_numbers_of_atoms_and_columns(self, write):
        with pytest.raises(ValueError, match="has 1 complete rows for the 99999999999 atoms"):
            read_structures(write("99999999999\n\nH 0 0 0\n"))
        with pytest.raises(ValueError, match="each with 1 to 1000 columns"):
            read_structures(write("1\nProperties=species:S:1:pos:R:99999999\nH 0 0 0\n"))

    @pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
    def test_positions_that_are_not_finite(self, write, bad):
        with pytest.raises(
            ValueError, match=r"frame 1: positions: expected finite numbers, got NaN .* row 1"
        ):
            read_structures(write(FRAME + FRAME.replace("0.8", bad)))

    def test_labels_that_are_not_finite(self, write):
        with pytest.raises(ValueError, match=r"frame 0: forces \(forces\): expected finite numbers.* row 1"):
            read_structures(write(FRAME.replace("-0.1", "nan")))
        with pytest.raises(ValueError, match=r"frame 0: energy \(energy\): expected finite numbers"):
            read_structures(write(FRAME.replace("energy=-1.5", "energy=inf")))

    def test_a_label_that_is_nan_throughout_is_missing(self, write):
        (atoms,) = read_structures(write(text := FRAME.replace("energy=-1.5", "energy=nan")))
        assert "energy" not in atoms.calc.results
        with pytest.raises(ValueError, match=r"frame 0: energy \(energy\): expected a number, got NaN"):
            read_structures(write(text), require=("energy",))

    def test_an_empty_structure(self, write):
        with pytest.raises(ValueError, match="frame 0: the structure is empty; expected at least one atom"):
            read_structures(write("0\n\n"))

    def test_a_missing_forces_key_lists_the_keys_present(self, write):
        message = (
            r"no forces under the key 'REF_forces'; pass its key as forces_key. "
            r"Keys present: per structure energy, total; per atom dft, forces"
        )
        for frames in (1, 2):
            with pytest.raises(ValueError, match=message):
                read_structures(write(FRAME * frames), forces_key="REF_forces")
        with pytest.raises(ValueError, match=f"data.xyz, frame 0: {message}"):
            read_structures(write(FRAME), forces_key="REF_forces", require=("forces",))

    def test_a_required_label_that_is_absent(self, write):
        crystal = FRAME.replace('pbc="F F F"', 'Lattice="9 0 0 0 9 0 0 0 9"')
        with pytest.raises(ValueError, match=r"frame 1: no stress under the key 'stress'.*Keys present"):
            read_structures(write(FRAME + crystal), require=("energy", "stress"))
        with pytest.raises(ValueError, match="frame 1: no energy under the key 'energy'"):
            read_structures(write(FRAME + FRAME.replace("energy=-1.5", "")), require=("energy",))

    def test_a_label_of_the_wrong_size_or_kind(self, write):
        with pytest.raises(ValueError, match=r"energy \(pair\): expected 1 numbers, got shape \(2,\)"):
            read_structures(write(FRAME.replace("total=-2.5", 'pair="1.0 2.0"')), energy_key="pair")
        with pytest.raises(ValueError, match=r"energy \(total\): expected numbers, got 'much'"):
            read_structures(write(FRAME.replace("-2.5", "much")), energy_key="total")

    def test_an_element_that_does_not_exist(self, write):
        with pytest.raises(ValueError, match=r"ASE cannot read it as extxyz: KeyError: 'Qq'"):
            read_structures(write(FRAME.replace("H 0.0 0.0 0.8", "Qq 0.0 0.0 0.8")))

    def test_an_empty_list_to_write(self, tmp_path):
        with pytest.raises(ValueError, match="no structure to write"):
            write_structures(tmp_path / "none.xyz", [])


def test_a_file_that_is_no_database_is_left_as_it_is(write):
    path = write(b"S", "frames.db")
    with pytest.raises(ValueError, match=r"frames\.db: ASE cannot read it as db"):
        read_structures(path)
    assert path.read_bytes() == b"S"


def test_a_database_of_another_program_is_left_as_it_is(tmp_path):
    path = tmp_path / "frames.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute("create table mine (x)")
        file.commit()
    before = path.read_bytes()
    with pytest.raises(ValueError, match="there is no table of structures in it"):
        read_structures(path)
    assert path.read_bytes() == before


def test_atomic_numbers_beyond_the_periodic_table_are_refused(tmp_path):
    path = tmp_path / "frames.traj"
    ase.io.write(path, ase.Atoms(numbers=[1, 119], positions=np.eye(3)[:2]))
    with pytest.raises(ValueError, match="atomic numbers: expected 0 to 118, got 119"):
        read_structures(path)
