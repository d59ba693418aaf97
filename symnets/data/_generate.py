"""Labelled structures from molecular dynamics with the semi-empirical GFN2-xTB method."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevin import Langevin
from rich.progress import track

_FRICTION = 0.01  # 1/fs: velocities decorrelate within about 0.1 ps


def generate(
    structure: Atoms,
    *,
    temperature: float = 500.0,
    frames: int = 200,
    every: int = 10,
    equilibration: int = 500,
    timestep: float = 0.5,
    seed: int = 0,
    progress: bool = True,
) -> list[Atoms]:
    """Labelled frames of molecular dynamics with GFN2-xTB, as a list; `progress` shows a progress bar.

    See `sample_trajectory` for the other arguments and the errors.
    """
    options = {"temperature": temperature, "every": every, "equilibration": equilibration}
    iterator = sample_trajectory(structure, frames=frames, timestep=timestep, seed=seed, **options)
    return list(track(iterator, "GFN2-xTB dynamics", total=frames, disable=not progress))


def sample_trajectory(
    structure: Atoms,
    *,
    temperature: float = 500.0,
    frames: int = 200,
    every: int = 10,
    equilibration: int = 500,
    timestep: float = 0.5,
    seed: int = 0,
) -> Iterator[Atoms]:
    """Frames of a Langevin trajectory with energy and forces, and stress if fully periodic, from GFN2-xTB.

    The result is reproducible bit by bit: the noise comes from `seed`, and GFN2-xTB runs on one thread,
    because the order of sums over several threads varies.

    Args:
        structure: start of the dynamics; not modified.
        temperature: K.
        frames: number of frames.
        every: time steps between frames. Frames 5 fs apart (10 steps of 0.5 fs) are still correlated.
        equilibration: time steps before the first frame.
        timestep: fs; use 0.5 for molecules with hydrogen.
        seed: seed of the initial momenta and of the noise.

    Raises:
        ImportError: the extra `demo` is not installed.
        ValueError: an argument out of range, an element without GFN2-xTB parameters, or a trajectory that
            diverged.
    """
    if len(structure) == 0:
        raise ValueError("structure: expected at least one atom, got an empty structure")
    for name, value in (("frames", frames), ("every", every)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    if equilibration < 0 or seed < 0:
        raise ValueError(f"equilibration, seed: expected at least 0, got {equilibration} and {seed}")
    for name, value in (("temperature", temperature), ("timestep", timestep)):
        if not 0 < value < 1e6:
            raise ValueError(f"{name}: expected a positive number, got {value}")
    try:
        from tblite.ase import TBLite
        from threadpoolctl import ThreadpoolController
    except ImportError as error:
        raise ImportError(f"GFN2-xTB is not installed ({error}); pip install 'symnets[demo]'") from error

    rng = np.random.default_rng(seed)
    atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)
    # Accuracy 0.1 leaves 1e-5 eV/Å of noise on the forces at no cost; the default 1.0 leaves 1e-4.
    atoms.calc = TBLite(method="GFN2-xTB", accuracy=0.1, verbosity=0)
    momentum = np.sqrt(atoms.get_masses() * units.kB * temperature)
    atoms.set_momenta(rng.standard_normal((len(atoms), 3)) * momentum[:, None])
    dynamics = Langevin(
        atoms,
        timestep * units.fs,
        temperature_K=temperature,
        friction=_FRICTION / units.fs,
        fixcm=False,
        rng=rng,
    )
    threads = ThreadpoolController()
    center = atoms.get_center_of_mass()
    for frame in range(frames):
        try:
            with threads.limit(limits=1):
                dynamics.run(every + equilibration if frame == 0 else every)
                labelled = _labelled(atoms, center)
        except RuntimeError as error:  # of tblite
            raise ValueError(
                f"GFN2-xTB failed before frame {frame}: {error}; check the structure, or lower the "
                "temperature or the time step"
            ) from error
        if not np.isfinite(labelled.get_forces()).all():
            raise ValueError(f"the dynamics exploded before frame {frame}; lower temperature or timestep")
        yield labelled


def _labelled(atoms: Atoms, center: np.ndarray) -> Atoms:
    """Copy of a structure with its calculator's results; the centre of a molecule is moved to `center`."""
    frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if not atoms.pbc.any():
        frame.positions += center - atoms.get_center_of_mass()
    results: dict[str, Any] = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    if atoms.pbc.all():
        results["stress"] = atoms.get_stress()
    frame.calc = SinglePointCalculator(frame, **results)
    return frame
