"""The example that compares tangent kernels of a potential before and after training."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import scripts

DATA = Path(os.environ.get("SYMNETS_DATA", "data")) / "acac" / "train_300K.xyz"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch):
    """The script with ten frames and one epoch."""
    module = scripts.example("kernel_of_a_potential")
    monkeypatch.setattr(module, "N_TRAIN", 6)
    monkeypatch.setattr(module, "N_TEST", 4)
    full = module.configuration

    def short(output: str):
        config = full(output)
        return replace(config, optimizer=replace(config.optimizer, epochs=1))

    monkeypatch.setattr(module, "configuration", short)
    return module


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="needs acac in SYMNETS_DATA")
def test_the_example_prints_both_kernels(example, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    threads = torch.get_num_threads()
    assert example.main(str(tmp_path / "run")) == 0
    torch.set_num_threads(threads)
    printed = capsys.readouterr().out
    for row in ("centred alignment", "energy, from energies, meV", "forces, from energies and forces, meV/Å"):
        assert row in printed


def test_errors_are_those_of_energies_and_of_forces(example) -> None:
    """Energies off by 2 meV and forces off by 3 meV/Å, of four frames."""
    expected = torch.randn(4 + 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = expected + torch.cat([torch.full((4,), 2e-3), torch.full((9,), -3e-3)])
    assert example.errors(found, expected) == pytest.approx((2, 3), rel=1e-6)
