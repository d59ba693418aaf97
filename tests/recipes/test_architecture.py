"""The architecture on docs/recipes/architecture.md is trained, saved, loaded, and obeys every law."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import ase.io
import pytest
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from symnets.cli import main
from symnets.models import ForceField, load
from symnets.potentials import ModelConfig
from symnets.testing import assert_lawful

PAGE = Path(__file__).parents[2] / "docs" / "recipes" / "architecture.md"


def blocks(language: str) -> list[str]:
    """Code blocks of the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the page's module, its YAML file and copper to learn from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("mine.py").write_text(blocks("python")[0])
    config = yaml.safe_load(blocks("yaml")[0])
    config |= {"seed": 0, "threads": 1, "optimizer": {"epochs": 1, "batch_size": 4}}
    config["data"] |= {"n_train": 8, "n_validation": 2}
    Path("pairs.yaml").write_text(yaml.safe_dump(config))
    frames = []
    for seed in range(10):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    ase.io.write("mine.xyz", frames)
    yield tmp_path
    sys.modules.pop("mine", None)


def test_the_architecture_of_the_page_is_trained_loaded_and_lawful(
    folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["train", "pairs.yaml", "--model.n-basis", "4"]) == 0
    assert "2 steps done" in capsys.readouterr().err
    path = folder / "runs" / "pairs" / "model.safetensors"
    asks = r"asks for the model 'PairPotential'.*SYMNETS_CLASSES=mine.module:PairPot.*load\(path, classes="
    for elsewhere in ("", "mine:Other,mine:", "math:PairPotentials"):
        monkeypatch.setenv("SYMNETS_CLASSES", elsewhere)
        sys.modules.pop("mine", None)
        with pytest.raises(ValueError, match=asks):
            load(path)
        assert "mine" not in sys.modules  # nothing is imported unless the file names its class
    monkeypatch.setenv("SYMNETS_CLASSES", "no.such:Other, mine:PairPotential")
    for command in ("info FILE", "evaluate FILE mine.xyz", "relax FILE mine.xyz --steps 1 --fmax 1e9"):
        assert main(command.replace("FILE", str(path)).split()) == 0
    assert main(["compile", str(path)]) == 2  # read, but not made of the layers that can be compiled
    assert "cannot be compiled: expected symnets.nn.Convolution" in capsys.readouterr().err
    monkeypatch.delenv("SYMNETS_CLASSES")
    names: dict[str, object] = {}
    exec(compile(blocks("python")[1], str(PAGE), "exec"), names)
    force_field = names["force_field"]
    assert isinstance(force_field, ForceField)
    assert force_field.energy_model.config["n_basis"] == 4  # pyright: ignore
    exec(compile(blocks("python")[2], str(PAGE), "exec"), names)


def test_the_architecture_of_the_page_obeys_the_laws_with_several_species(folder: Path) -> None:
    architecture = ModelConfig.variant({"architecture": "mine:PairPotential"})
    assert architecture.__name__ == "PairPotentialConfig"
    from mine import PairPotential  # pyright: ignore[reportMissingImports]

    assert_lawful(ForceField(PairPotential(["H", "C", "O"], cutoff=4.0, channels=4)))


def test_misspelt_options_and_values_out_of_range_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="unknown key 'chanels'; did you mean 'channels'"):
        ModelConfig("mine:PairPotential", chanels=8)
    with pytest.raises(ValueError, match=r"model\.channels: expected at least 1, got 0"):
        ModelConfig("mine:PairPotential", channels=0)
    with pytest.raises(ValueError, match="mine has no 'PairPotental'; the nearest names are PairPotential"):
        ModelConfig("mine:PairPotental")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("class Net(\n", "SyntaxError: "),
        ("x = 1 / 0\n", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(
    folder: Path, text: str, reason: str, capsys: pytest.CaptureFixture
) -> None:
    Path("broken.py").write_text(text)
    assert main(["train", "pairs.yaml", "--model.architecture", "broken:Net"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: broken:Net: importing broken failed: {reason}")
    assert error.count("\n") == 1
