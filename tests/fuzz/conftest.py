"""How many damaged inputs each test tries: a few by default, more with the environment variable SYMNETS_FUZZ.

    SYMNETS_FUZZ=1000 pytest tests/fuzz -n 2 --hypothesis-show-statistics

tries 1,000 in each test, other ones in every run; what fails is printed as a small example.
"""

import os

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import HealthCheck, settings

from symnets.models import ForceField, Invariant, image_net, save

TRIED = int(os.environ.get("SYMNETS_FUZZ") or 0)
FUZZ = settings(
    max_examples=TRIED or 5,
    derandomize=not TRIED,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)


@pytest.fixture(scope="session")
def force_field(tmp_path_factory):
    """File of a small force field with random weights."""
    torch.manual_seed(0)
    net = Invariant(("H", "O"), cutoff=3.0, lmax=1, channels=4, layers=1, radial_hidden=(8,))
    path = tmp_path_factory.mktemp("force_field") / "model.safetensors"
    save(ForceField(net), path)
    return path


@pytest.fixture(scope="session")
def picture_net(tmp_path_factory):
    """File of a small image net for 8 x 8 grey images."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("image_net") / "net.safetensors"
    save(image_net("fc2", (1, 8, 8), 4), path)
    return path


@pytest.fixture(scope="session")
def frames(tmp_path_factory):
    """Text of an extxyz file: two molecules of water and a crystal, with energy, forces and stress."""
    rng = np.random.default_rng(0)
    rest = np.array([[0.0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])
    structures = []
    for atoms in (
        *[ase.Atoms("OHH", rest + 0.05 * rng.normal(size=(3, 3))) for _ in range(2)],
        bulk("O", "sc", 2.5),
    ):
        labels = {"energy": -1.5, "forces": rng.normal(size=(len(atoms), 3))}
        if atoms.pbc.all():
            labels["stress"] = 0.01 * rng.normal(size=6)
        atoms.calc = SinglePointCalculator(atoms, **labels)
        structures.append(atoms)
    path = tmp_path_factory.mktemp("frames") / "frames.xyz"
    ase.io.write(path, structures, format="extxyz")
    return path.read_text()
