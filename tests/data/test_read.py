"""Reading of labelled structures, and invalid files."""

from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator

from symnets.data import read_structures, write_structures

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
    write_structures(path, [plain])
    (read,) = read_structures(path, stress_key="in_kB", stress_convention="vasp")
    np.testing.assert_allclose(read.get_stress(), atoms.get_stress(), atol=1e-12)


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
            read_structures(write(FRAME.replace("energy=-1.5", "energy=nan")))

    def test_an_empty_structure(self, write):
        with pytest.raises(ValueError, match="frame 0: the structure is empty; expected at least one atom"):
            read_structures(write("0\n\n"))

    def test_a_missing_forces_key_lists_the_keys_present(self, write):
        message = (
            r"frame 0: no forces under the key 'REF_forces'; pass its key as forces_key. "
            r"Keys present: per structure energy, total; per atom dft, forces"
        )
        with pytest.raises(ValueError, match=message):
            read_structures(write(FRAME), forces_key="REF_forces")

    def test_a_required_label_that_is_absent(self, write):
        with pytest.raises(ValueError, match=r"no stress under the key 'stress'.*Keys present"):
            read_structures(write(FRAME), require=("energy", "stress"))

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
