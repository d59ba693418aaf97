import ase.io
import pytest
from ase.build import bulk

from symnets.cli import Relax, main
from symnets.data import StructureFile


def test_forces_on_a_relaxed_molecule_are_small(model, here, capsys):
    assert main(["relax", str(model), "H2O", "--fmax", "0.05", "--dtype", "float64"]) == 0
    assert "largest force" in capsys.readouterr().out
    relaxed = ase.io.read(here / "relaxed.xyz")
    assert relaxed.get_chemical_formula() == "H2O"
    assert abs(relaxed.get_forces()).max() < 0.05


def test_relaxation_of_the_cell_changes_the_volume(model, here, capsys):
    atoms = bulk("C")
    ase.io.write(here / "POSCAR", atoms)
    options = "--cell --pressure 2 --steps 3 --output CONTCAR --trajectory way.xyz"
    status = main(["relax", str(model), "POSCAR", *options.split()])
    printed = capsys.readouterr().out
    assert "pressure / GPa" in printed
    assert status == (1 if "not converged" in printed else 0)
    assert ase.io.read(here / "CONTCAR").get_volume() != pytest.approx(atoms.get_volume(), rel=1e-6)
    assert len(ase.io.read(here / "way.xyz", index=":")) >= 2


def test_exit_status_is_one_without_convergence(model, here, capsys):
    assert main(["relax", str(model), "CH3CH2OH", "--steps", "1", "--fmax", "1e-9"]) == 1
    assert "not converged in 1 steps; raise --steps" in capsys.readouterr().out


@pytest.mark.filterwarnings("default:.*the structure is in")
def test_exit_status_is_two_when_the_structure_is_in_another_file(model, here, capsys, monkeypatch):
    write = StructureFile.write

    def full(file: StructureFile, structures: list) -> None:
        if file.path.name == "end.xyz":
            raise OSError(28, "No space left on device")
        write(file, structures)

    monkeypatch.setattr(StructureFile, "write", full)
    monkeypatch.setattr("tempfile.tempdir", str(here))
    assert main(["relax", str(model), "H2O", "--fmax", "100", "--output", "end.xyz"]) == 2
    (written,) = here.glob("relaxed-*/relaxed.xyz")
    assert f"the structure is in {written}" in capsys.readouterr().err
    assert "2 if the structure could not be written" in " ".join(str(Relax.__doc__).split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.xyz"], "neither a file nor a molecule"),
        (["CH4", "--cell"], "cell: expected a structure periodic"),
        (["CH4", "--output", "end.nonsense"], "expected a name with a format of ASE"),
        (["NH3"], "the model was trained on H, C, O, not on N (atom 0)"),
    ],
)
def test_wrong_input_is_an_error_of_one_line(model, here, capsys, arguments, message):
    assert main(["relax", str(model), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert list(here.iterdir()) == []
