"""Fixtures of exported potentials."""

import pytest

from tests.deploy.lammps import Lammps, environment


@pytest.fixture(scope="session")
def lammps(tmp_path_factory: pytest.TempPathFactory) -> Lammps:
    """An environment with LAMMPS, and the pair style compiled for it."""
    return environment(tmp_path_factory.mktemp("lammps"))
