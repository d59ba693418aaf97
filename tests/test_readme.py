"""README and the page on training: configurations are valid, commands exist, and CI runs the installation."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from symnets.config import parse_config
from symnets.potentials import DataConfig, ModelConfig, TrainConfig

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "how-to" / "train.md"]
page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in some language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def test_ci_runs_the_commands_of_readme() -> None:
    lines = "\n".join(blocks(ROOT / "README.md", "bash")).splitlines()
    commands = [line for line in lines if line.startswith("python -m venv")]
    assert [command.split()[-2:] for command in commands] == [
        [".venv/bin/symnets", "demo"],
        ["&&", ".venv/bin/pytest"],
    ]
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    for command in commands:
        assert f'="{command}"\n' in script


@page
def test_configurations_are_valid(page: Path) -> None:
    code = blocks(page, "yaml")
    assert code
    for block in code:
        parse_config(TrainConfig, yaml.safe_load(block), where=page.name)


def test_training_page_shows_all_fields_with_their_defaults() -> None:
    documented = max((yaml.safe_load(block) for block in blocks(PAGES[1], "yaml")), key=len)
    defaults = asdict(TrainConfig(data=DataConfig(train="mine.xyz"), output="runs/mine"))
    assert documented == json.loads(json.dumps(defaults))
    baseline, network, products = (vars(ModelConfig(name)) for name in ("Invariant", "NequIP", "MACE"))
    network = {name: value for name, value in network.items() if name != "parity"}
    scalar = {name: value for name, value in network.items() if name != "irreps_last"}
    assert baseline == scalar | {"architecture": "Invariant", "lmax": 3}
    own = {"architecture": "MACE", "lmax": 3, "feature_lmax": 1, "correlation": 3, "layers": 2}
    of_published_models = {
        "radial_basis": "bessel",
        "envelope_order": 6,
        "distance_transform": None,
        "self_connection": True,
        "density_normalization": False,
        "readout_hidden": None,
    }
    assert products == network | own | of_published_models
