"""The example from a foundation model to a compiled potential, with a small model and few steps."""

from dataclasses import replace

import pytest
import torch

from symnets.models import Compiled, ForceField, Nequix, load, save
from tests import scripts


@pytest.mark.slow
def test_the_example_ends_in_molecular_dynamics(tmp_path, monkeypatch, capsys):
    module = scripts.example("foundation_to_yours")
    torch.manual_seed(0)
    small = Nequix(
        ("O", "Cu", "Au"), cutoff=3.5, irreps="3x0e+2x1o", lmax=1, layers=2, n_basis=4, radial_hidden=(4,)
    )
    save(ForceField(small), tmp_path / "small.safetensors")
    whole = module.alloy
    monkeypatch.setattr(module, "alloy", lambda: whole(12))

    def one_epoch(config, minutes):
        return replace(config, optimizer=replace(config.optimizer, epochs=1, warmup=0))

    monkeypatch.setattr(module, "fit_epochs", one_epoch)
    options = module.Options(
        foundation=str(tmp_path / "small.safetensors"),
        output=tmp_path / "run",
        steps=4,
        n_replay=4,
        threads=1,
    )
    module.main(options)
    yours = load(tmp_path / "run" / "yours.safetensors")
    assert isinstance(yours, Compiled)
    assert yours.species == (8, 29, 79)
    assert (tmp_path / "run" / "training" / "finetune.html").exists()
    assert "dynamics: 4 steps of 144 atoms" in capsys.readouterr().out
