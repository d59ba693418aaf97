"""Fixtures of the commands: an untrained potential, and a temporary working directory."""

from pathlib import Path

import pytest
import torch

from symnets.models import ForceField, NequIP, WithZBL, save


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A file of a small untrained network with ZBL repulsion, which keeps atoms apart."""
    torch.manual_seed(0)
    network = NequIP(
        ["H", "C", "O"], cutoff=3.5, lmax=1, channels=4, layers=2, radial_hidden=(8,), scale=0.05
    )
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(ForceField(WithZBL(network)), path)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
