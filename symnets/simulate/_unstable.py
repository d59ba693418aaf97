"""Checks that a simulation is stable, and its progress bar."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from ase import Atoms
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

MAX_STRIDE = 0.5
"""Largest displacement of an atom in one time step, Å; a hydrogen at 300 K moves 0.03 Å in 1 fs."""
MAX_EXPANSION = 10.0
"""Largest factor by which the volume may change."""


class Unstable(ValueError):
    """Error of a simulation that became unstable; the message has the step, the reason and remedies."""


def check_finite(atoms: Atoms, when: str) -> None:
    """Raise Unstable if energy or forces are not finite; the message starts with `when`."""
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    wrong = np.flatnonzero(~np.isfinite(forces).all(axis=1))
    if len(wrong):
        raise Unstable(
            f"{when}: the forces on {atoms.symbols[wrong[0]]} (atom {wrong[0]}) are not finite; "
            "the structure is outside the range of the model"
        )
    if not np.isfinite(energy):
        raise Unstable(f"{when}: the energy is {energy}; the structure is outside the range of the model")


def check_motion(atoms: Atoms, timestep: float, initial_volume: float | None, when: str) -> None:
    """Raise Unstable if an atom moves too far in a time step (ASE's unit), or the volume changes too much."""
    stride = np.linalg.norm(atoms.get_velocities(), axis=1) * timestep
    fastest = int(stride.argmax())
    if not stride[fastest] < MAX_STRIDE:
        raise Unstable(
            f"{when}: the structure explodes: {atoms.symbols[fastest]} (atom {fastest}) moves "
            f"{stride[fastest]:.2g} Å in one step; shorten the time step, lower the temperature, relax the "
            "structure first, or train the model on such structures"
        )
    if initial_volume is not None:
        expansion = atoms.get_volume() / initial_volume
        if not 1 / MAX_EXPANSION < expansion < MAX_EXPANSION:
            raise Unstable(
                f"{when}: the cell explodes: its volume is {expansion:.2g} times the initial one; relax the "
                "cell first, or lengthen the time of the barostat"
            )


@contextmanager
def progress_bar(name: str, total: int, *, enabled: bool) -> Iterator[Callable[[int, str], None]]:
    """Progress bar: yields `show(step, text)`, which updates the bar and the text beside it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, disable=not enabled) as progress:
        task = progress.add_task(name, total=total, state="")
        yield lambda step, state: progress.update(task, completed=step, state=state)
