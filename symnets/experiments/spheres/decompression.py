"""The way from a jammed packing down to its own jamming point."""

from collections.abc import Iterator
from dataclasses import dataclass

from symnets.experiments.spheres.contacts import Contacts, contacts
from symnets.experiments.spheres.packing import Minimum, relax

_MOST_STATES = 200


@dataclass(frozen=True)
class Decompressed:
    """A jammed packing on the way down.

    Attributes:
        minimum: the packing.
        contacts: what it rests on.
        phi_jamming: estimate of the packing fraction at which its energy would vanish.
    """

    minimum: Minimum
    contacts: Contacts
    phi_jamming: float

    @property
    def excess(self) -> float:
        """Packing fraction above the estimated jamming point."""
        return self.minimum.packing.phi - self.phi_jamming


def decompress(start: Minimum, *, to: float, ratio: float = 10**-0.25) -> Iterator[Decompressed]:
    """Shrinks the spheres of a jammed packing step by step until its excess packing fraction is below `to`.

    Every packing has its own jamming point. Near it sqrt(E) is linear in the packing fraction, so that one
    step of Newton's method for sqrt(E) = 0 finds it from the energy and its exact slope,

        phi_J = phi - 2 E / (dE/dphi),

    ever better as phi comes down. The next packing fraction is phi_J + ratio (phi - phi_J). A step that ends
    without energy went below the jamming point: the estimate came out too low, or the packing lost its
    stability on the way and fell into another, roomier one. That one is compressed until it jams, by half the
    step at a time, and followed from there.

    Args:
        start: an "UNSAT" minimum.
        to: smallest excess packing fraction.
        ratio: of successive excesses.

    Yields:
        Jammed packings, the start first; the last has an excess below `to`.

    Raises:
        ValueError: the start is not jammed.
        RuntimeError: `to` was not reached in 200 packings, or a minimum was not found.
    """
    if start.verdict != "UNSAT":
        raise ValueError(f"decompress: expected a jammed packing (UNSAT), got {start.verdict}")
    state = _measured(start)
    for _ in range(_MOST_STATES):
        yield state
        if state.excess < to:
            return
        phi = state.minimum.packing.phi
        step = (1 - ratio) * state.excess
        found = relax(state.minimum.packing.at(phi - step))
        for _ in range(_MOST_STATES):
            if found.verdict != "SAT":
                break
            found = relax(found.packing.at(found.packing.phi + step / 2))
        if found.verdict != "UNSAT":
            raise RuntimeError(f"decompress: no jammed packing found near packing fraction {phi:.8f}")
        state = _measured(found)
    raise RuntimeError(
        f"decompress: excess {state.excess:.1e} after {_MOST_STATES} packings, wanted {to:.1e}"
    )


def _measured(minimum: Minimum) -> Decompressed:
    measured = contacts(minimum)
    return Decompressed(minimum, measured, minimum.packing.phi - 2 * minimum.energy / measured.slope)
