"""A small training: copper with the energies of EMT."""

import ase.io
import pytest
import torch
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from symnets.models import ForceField, Nequix, save
from symnets.potentials import DataConfig, LossConfig, ModelConfig, OptimizerConfig, TrainConfig


@pytest.fixture(scope="session")
def copper(tmp_path_factory):
    """Sixteen rattled and strained cells of copper with the energies, forces and stress of EMT."""
    frames = []
    for seed in range(16):
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell * (1 + 0.01 * (seed % 4 - 1.5)), scale_atoms=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        results = {
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces(),
            "stress": atoms.get_stress(),
        }
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    path = tmp_path_factory.mktemp("copper") / "copper.xyz"
    ase.io.write(path, frames)
    return path


@pytest.fixture(scope="session")
def foundation(tmp_path_factory):
    """A file of a small model with random weights."""
    torch.manual_seed(0)
    species = ("O", "Cu", "Au")
    network = Nequix(species, cutoff=3.0, irreps="3x0e+2x1o", lmax=1, layers=2, n_basis=4, radial_hidden=(4,))
    path = tmp_path_factory.mktemp("foundation") / "foundation.safetensors"
    save(ForceField(network), path)
    return path


@pytest.fixture
def config(copper, tmp_path):
    return TrainConfig(
        data=DataConfig(train=str(copper), n_train=12, n_validation=4),
        output=str(tmp_path / "run"),
        model=ModelConfig("NequIP", cutoff=3.0, channels=4, layers=2, lmax=1, radial_hidden=(8,)),
        loss=LossConfig(energy=1.0, forces=1.0, stress=1.0),
        optimizer=OptimizerConfig(epochs=20, batch_size=4, learning_rate=0.02),
        validate_every=10,
        checkpoint_every=7,
        threads=1,
    )
