"""`symnets compile`: a trained potential made ready for inference."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import Positional

from symnets.models import describe, load, save
from symnets.simulate import compile


@dataclass(frozen=True)
class Compile:
    """Make a potential ready for inference: its radial networks become tables, exact to a tolerance.

    Energies and forces are those of the model up to the tolerance, several times faster. `symnets md`,
    `relax`, `evaluate` and `SymnetsCalculator` take either file; a compiled model cannot be trained further.

    Example:
        symnets compile runs/acac/model.safetensors -o acac_fast.safetensors
    """

    model: Annotated[Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A model file, as `symnets train` writes it."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The file to write; by default MODEL-compiled.safetensors beside the model."""
    tolerance: float = 1e-4
    """Largest error of a force component in eV/Å (of forces beyond 10 eV/Å, for each 10), measured on random
    clusters; refused above."""

    def run(self) -> None:
        """Compile, write, tell."""
        begin = time.perf_counter()
        compiled = compile(load(self.model), tolerance=self.tolerance)
        path = self.output or self.model.with_name(f"{self.model.stem}-compiled.safetensors")
        save(compiled, path, extra=describe(self.model)["extra"])
        Console().print(
            f"{path}: tables of {compiled.n_knots} knots, forces exact to {self.tolerance:g} eV/Å "
            f"and rounding; {time.perf_counter() - begin:.1f} s",
            soft_wrap=True,
            highlight=False,
        )
