"""`symnets compile`: prepare a trained potential for fast inference."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import Positional

from symnets.files import claim, locked
from symnets.models import ForceField, describe, load, save
from symnets.simulate import compile


@dataclass(frozen=True)
class Compile:
    """Prepare a potential for fast inference by replacing its radial networks with tables.

    Energies and forces agree with those of the model to the tolerance and are computed several times
    faster. `symnets md`, `relax`, `evaluate` and `SymnetsCalculator` accept both kinds of file. A compiled
    model cannot be trained further.

    Example:
        symnets compile runs/acac/model.safetensors -o acac_fast.safetensors
    """

    model: Annotated[Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """Model file written by `symnets train`, or the name of a published model in `symnets models`."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """File to write; by default MODEL-compiled.safetensors beside the model."""
    tolerance: float = 1e-4
    """Largest allowed error of a force component in eV/Å, measured on random clusters; it scales with forces
    beyond 10 eV/Å. A model with a larger error is not written."""
    species: tuple[str, ...] | None = None
    """Elements to keep, such as Cu O; all by default. Models with a distance transform, such as MACE-MPA-0,
    have tables for each pair of elements."""
    overwrite: bool = False
    """Replace the output if it exists."""

    def run(self) -> None:
        """Compile the model, write it and print the settings of its tables."""
        begin = time.perf_counter()
        path = self.output or self.model.with_name(f"{self.model.stem}-compiled.safetensors")
        with locked(path, file=True):
            path = claim(path, overwrite=self.overwrite, option="--output")
            model = load(self.model, ForceField)
            compiled = compile(model, tolerance=self.tolerance, species=self.species)
            save(compiled, path, extra=describe(self.model)["extra"])
        Console().print(
            f"{path}: tables of {compiled.n_knots} knots, forces exact to {self.tolerance:g} eV/Å "
            f"and rounding; {time.perf_counter() - begin:.1f} s",
            soft_wrap=True,
            highlight=False,
        )
        reason = compiled.why_not_native
        Console().print(
            "on the CPU it is one call of native code"
            if reason is None
            else f"it is computed through torch, without native code: {reason}",
            soft_wrap=True,
            highlight=False,
        )
