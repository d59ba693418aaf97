"""Unstable: when a simulation has left what its model and its time step can describe.

A progress bar that shows the state of what is running.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from ase import Atoms
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

MAX_STRIDE = 0.5
"""Å an atom may move in one time step; a hydrogen at 300 K moves 0.03 Å in 1 fs."""
MAX_EXPANSION = 10.0
"""Factor the volume may grow or shrink by."""


class Unstable(ValueError):
    """A simulation cannot go on; the message says where, why and what may help."""


def check_finite(atoms: Atoms, when: str) -> None:
    """Raise Unstable if energy or forces are not finite; `when` opens the message."""
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    wrong = np.flatnonzero(~np.isfinite(forces).all(axis=1))
    if len(wrong):
        raise Unstable(
            f"{when}: the forces on {atoms.symbols[wrong[0]]} (atom {wrong[0]}) are not finite; "
            "the structure is outside what the model can describe"
        )
    if not np.isfinite(energy):
        raise Unstable(
            f"{when}: the energy is {energy}; the structure is outside what the model can describe"
        )


def check_motion(atoms: Atoms, timestep: float, initial_volume: float | None, when: str) -> None:
    """Raise Unstable if an atom outruns the time step (ASE's unit) or the cell collapses or bursts."""
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
def progress_bar(name: str, total: int, *, shown: bool) -> Iterator[Callable[[int, str], None]]:
    """Yields `show(step, state)`, which moves the bar and writes the state beside it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, disable=not shown) as progress:
        task = progress.add_task(name, total=total, state="")
        yield lambda step, state: progress.update(task, completed=step, state=state)
