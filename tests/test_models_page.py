"""docs/models.md lists all networks, as they were measured."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

import symnets.models as models
from symnets.models import architectures
from symnets.models._architectures import image_net_classes

ROOT = Path(__file__).parent.parent
ROWS = json.loads((ROOT / "benchmarks" / "results" / "models.json").read_text("utf-8"))["rows"]


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("mkdocs")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    spec = importlib.util.spec_from_file_location("model_hooks", ROOT / "docs" / "model_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("hooks", None)


def test_every_architecture_was_measured() -> None:
    measured = {row["name"] for row in ROWS}
    assert measured >= {*architectures(), *image_net_classes()}
    assert measured <= set(models.__all__)


def test_energies_are_unchanged_by_rotations_and_permutations() -> None:
    for row in ROWS:
        if row["name"] in architectures():
            assert {"translations", "rotations", "permutations"} <= set(row["symmetries"]), row["name"]


def test_the_page_shows_each_network_with_its_drawing_and_its_paper(hooks) -> None:
    page = hooks.models_page("# Networks\n")
    for row in ROWS:
        assert f"### {row['name']}\n" in page
        assert (ROOT / "docs" / "images" / "models" / f"{row['name']}.svg").exists()
        assert f"{row['n_params']:,}" in page
    assert "arXiv:2101.03164" in hooks.paper("NequIP")
    without = [name for name in architectures() if not hooks.paper(name)]
    assert not without, "an architecture's docstring names its source"
