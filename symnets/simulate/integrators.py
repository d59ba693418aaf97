"""The integrators of molecular dynamics, by ensemble; all of them are ASE's."""

from typing import Literal, get_args

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.verlet import VelocityVerlet

Ensemble = Literal["nve", "nvt", "nvt-nose-hoover", "npt"]


def integrator(
    atoms: Atoms,
    ensemble: Ensemble,
    *,
    timestep: float,
    temperature: float,
    pressure: float,
    thermostat_time: float,
    barostat_time: float,
    generator: np.random.Generator,
) -> MolecularDynamics:
    """ASE's dynamics for an ensemble; the atoms need their momenta and calculator by now.

    | ensemble | integrator | keeps |
    |---|---|---|
    | `nve` | velocity Verlet | energy |
    | `nvt` | Langevin, friction 1 / `thermostat_time` | temperature; momentum diffuses |
    | `nvt-nose-hoover` | Nosé-Hoover chain of 3 | temperature, deterministic |
    | `npt` | isotropic Martyna-Tobias-Klein | temperature and pressure; the shape of the cell |

    Langevin's is the one to trust for a small molecule: the chain gives all 3 N velocities their k_B T
    / 2, and as total momentum stays zero the others get a little more.

    Args:
        timestep: fs.
        temperature: K.
        pressure: GPa, positive compresses.
        thermostat_time, barostat_time: fs over which temperature and pressure are held.

    Raises:
        ValueError: an unknown ensemble, or a structure the ensemble is not made for.
    """
    if ensemble not in get_args(Ensemble):
        raise ValueError(f"ensemble: expected one of {', '.join(get_args(Ensemble))}, got {ensemble!r}")
    if ensemble == "npt" and not (atoms.pbc.all() and atoms.get_volume() > 0):
        raise ValueError("ensemble npt: expected a structure periodic along all three vectors of its cell")
    if ensemble in ("nvt-nose-hoover", "npt") and atoms.constraints:
        raise ValueError(f"ensemble {ensemble}: ASE's integrator knows no constraints; use nvt or nve")

    step, tdamp = timestep * units.fs, thermostat_time * units.fs
    match ensemble:
        case "nve":
            return VelocityVerlet(atoms, step)
        case "nvt":
            # fixcm would bias the temperature of small structures.
            return Langevin(
                atoms, step, temperature_K=temperature, friction=1 / tdamp, fixcm=False, rng=generator
            )
        case "nvt-nose-hoover":
            return NoseHooverChainNVT(atoms, step, temperature, tdamp)
        case "npt":
            pdamp = barostat_time * units.fs
            return IsotropicMTKNPT(atoms, step, temperature, pressure * units.GPa, tdamp, pdamp)
