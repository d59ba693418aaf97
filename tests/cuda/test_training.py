"""Potentials trained on a GPU: as on the CPU, interrupted, moved between the two, and resumed."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from torch import nn

from symnets.cli import main
from symnets.data import Loader, build_graphs, read_archive
from symnets.models import load
from symnets.observables import errors, predictions
from symnets.potentials import (
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
    train,
)
from symnets.training import INTERRUPTED, TrainState, averaged, descend, with_average
from symnets.training import _trainer as trainer

SMALL = {"cutoff": 3.0, "channels": 4, "layers": 2, "lmax": 1, "radial_hidden": (8,)}


@pytest.fixture(scope="module")
def copper(tmp_path_factory) -> Path:
    """Ten rattled cells of copper with the energies, forces and stress of EMT."""
    frames = []
    for seed in range(10):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **labels, stress=atoms.get_stress())
        frames.append(atoms)
    path = tmp_path_factory.mktemp("copper") / "copper.xyz"
    ase.io.write(path, frames)
    return path


@pytest.fixture
def config(copper: Path, device: torch.device, tmp_path: Path) -> TrainConfig:
    """Twenty steps in float64 on the device, so that only rounding differs."""
    return TrainConfig(
        data=DataConfig(train=str(copper), n_train=8, n_validation=2),
        output=str(tmp_path / "run"),
        model=ModelConfig("NequIP", **SMALL),
        loss=LossConfig(energy=1.0, forces=1.0, stress=1.0),
        optimizer=OptimizerConfig(epochs=10, batch_size=4, learning_rate=0.01, clip_norm=10.0),
        validate_every=5,
        checkpoint_every=4,
        dtype="float64",
        device=str(device),
    )


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`stop_after(n, killed=...)`: the next training ends after n steps by Ctrl-C, or is killed."""

    def prepare(n: int, *, killed: bool = False) -> None:
        left = n

        def interrupted() -> bool:
            nonlocal left
            left -= 1
            if left == 0 and killed:
                raise RuntimeError("killed")
            return left == 0

        @contextmanager
        def interruptible() -> Iterator[Callable[[], bool]]:
            yield interrupted

        monkeypatch.setattr(trainer, "interruptible", interruptible)

    return prepare


def checkpoint(folder: str) -> dict[str, torch.Tensor]:
    """Weights, running average and optimizer state at the end of a training."""
    tensors, _ = read_archive(Path(folder) / "checkpoint.safetensors", "checkpoint")
    return {name: value for name, value in tensors.items() if not name.startswith("generator/")}


@pytest.mark.parametrize(
    ("architecture", "method"), [("NequIP", "Adam"), ("MACE", "Muon"), ("Invariant", "Adam")]
)
def test_a_history_equals_that_of_the_cpu(config, architecture, method):
    config = replace(
        config, model=ModelConfig(architecture, **SMALL), optimizer=replace(config.optimizer, method=method)
    )
    there = train(config, progress=False)
    here = train(replace(config, device="cpu", output=f"{config.output}-cpu"), progress=False)
    assert there.device.type == torch.device(config.device).type
    assert [row["step"] for row in there.history.rows] == [5, 10, 15, 20]
    for row, expected in zip(there.history.rows, here.history.rows, strict=True):
        del row["seconds"], expected["seconds"]
        # Rounding of 1e-16 grows during twenty nonlinear steps.
        assert row == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("method", "killed"), [("Adam", False), ("Muon", True)])
def test_a_training_that_was_stopped_ends_with_the_same_bits(config, stop_after, method, killed):
    config = replace(config, deterministic=True, optimizer=replace(config.optimizer, method=method))
    cut = replace(config, output=f"{config.output}-cut")
    train(config, progress=False)
    stop_after(7, killed=killed)
    if killed:
        with pytest.raises(RuntimeError, match="killed"):
            train(cut, progress=False)
    else:
        assert train(cut, progress=False).history.reason == INTERRUPTED
    stop_after(-1)
    resumed = train(cut, resume=True, progress=False)
    assert resumed.history.reason == "20 steps done"
    whole, parts = checkpoint(config.output), checkpoint(cut.output)
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert torch.equal(parts[name], value), name


@pytest.mark.parametrize("method", ["Adam", "Muon"])
def test_a_training_moves_between_the_device_and_the_cpu(config, device, stop_after, method):
    config = replace(config, optimizer=replace(config.optimizer, method=method))
    cpu = replace(config, device="cpu", output=f"{config.output}-cpu")
    train(cpu, progress=False)
    for n, place in ((6, str(device)), (6, "cpu"), (-1, str(device))):
        stop_after(n)
        state = train(replace(config, device=place), resume=True, progress=False)
        assert state.device.type == torch.device(place).type
        tensors, _ = read_archive(Path(config.output) / "checkpoint.safetensors", "checkpoint")
        assert ("generator/cuda" in tensors) == (state.device.type == "cuda")
    assert state.history.reason == "20 steps done"
    whole, parts = checkpoint(cpu.output), checkpoint(config.output)
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-6, atol=1e-9)


def test_float32_learns(config):
    state = train(replace(config, dtype="float32"), progress=False)
    first, *_, last = state.history.values("validation/forces_rmse")
    assert last < first


def test_a_model_is_evaluated_as_on_the_cpu(config, copper, device, capsys):
    train(replace(config, optimizer=replace(config.optimizer, epochs=1)), progress=False)
    path = Path(config.output) / "model.safetensors"
    graphs = build_graphs(ase.io.read(copper, ":"), SMALL["cutoff"], dtype=torch.float64)
    there, here = (predictions(load(path, device=place), Loader(graphs, 3)) for place in (device, "cpu"))
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(getattr(there, name), getattr(here, name), rtol=0, atol=1e-10)
    capsys.readouterr()
    assert main(["evaluate", str(path), str(copper), "--json", "--device", str(device)]) == 0
    forces = json.loads(capsys.readouterr().out)["errors"]["forces"]
    assert forces["rmse"] == pytest.approx(errors(here).forces.rmse, rel=1e-8)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")  # torch warns that it is a prototype
def test_a_step_does_not_wait_for_the_gpu(device):
    if device.type != "cuda":
        pytest.skip("the CPU has no queue to wait for")
    x = torch.linspace(-1, 1, 12)[:, None]
    loader = Loader(list(zip(x, 2 * x + 1, strict=True)), 4, shuffle=True)
    model = nn.Linear(1, 1).to(device)
    state = TrainState(model, torch.optim.AdamW(model.parameters(), lr=0.1, fused=True))
    dynamics = averaged(
        descend(with_average(state), lambda y, t: ((y - t) ** 2).sum(1), loader, clip_norm=1.0), 0.9
    )
    next(dynamics)  # the first step may wait, for what is made once
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            next(dynamics)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert isinstance(state.last_loss, torch.Tensor)
    assert state.loss > 0
