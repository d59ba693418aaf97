"""Options of the commands that read labelled structures: keys of the labels, convention of the stress."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LabelOptions:
    """Keys of the labels in files, and convention of the stress, for `symnets.data.read_files`."""

    energy_key: str | None = None
    """Key of the energy (eV) in the files; by default the one ASE recognises."""
    forces_key: str | None = None
    """Key of the forces (eV/Å) in the files; by default the one ASE recognises."""
    stress_key: str | None = None
    """Key of the stress in the files; by default the one ASE recognises."""
    virial_key: str | None = None
    """Key of the virial, -volume times stress in eV, from which the stress is computed."""
    stress_convention: Literal["ase", "vasp"] = "ase"
    """Convention of the stress in the files: ase (eV/Å³, positive under tension) or vasp (kbar, positive
    under compression, order xx yy zz xy yz zx)."""
