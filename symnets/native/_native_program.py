"""NativeProgram: a program as one machine-code function in this process."""

from typing import NamedTuple

import numpy as np

from symnets.native._driver_code import N_SLOTS, Constants, Slot, external, program_module
from symnets.native._layout import ALIGNMENT, Layout
from symnets.native._program import ERRORS, Program
from symnets.ops import REALS, CompiledModule
from symnets.threads import call_in_threads, thread_counter

SMALL = 1500
"""Number of edges below which one thread is faster."""


class AtomEnergies(NamedTuple):
    """Result of a call of a program, in float64."""

    energy: np.ndarray
    """Energy of each own atom in eV, (atoms,)."""
    forces: np.ndarray
    """Forces in eV/Å on own atoms and ghosts, (atoms, 3)."""
    virials: np.ndarray
    """Each atom's share of dE/dstrain in eV, (atoms, 3, 3), not symmetrised."""


class NativeProgram:
    """A program compiled for this processor, called without Python's interpreter lock.

    Memory for intermediate results is kept from call to call, and grows when more atoms or edges come. Calls
    from several threads at once need copies of their own (`copy.copy`).

    Args:
        program: a finished program.
        dtype: "float32" or "float64".
    """

    def __init__(self, program: Program, dtype: str) -> None:
        self.dtype = dtype
        self.layout = Layout(program, {*external(program), program.sizes, program.error}, REALS[dtype][1])
        constants = Constants(program, dtype)
        self._constants = _aligned(len(constants.bytes))
        self._constants[:] = np.frombuffer(constants.bytes, dtype=np.uint8)
        module = program_module(program, self.layout, constants, dtype)
        self.compiled = CompiledModule(module, {"entry": "i"})
        self._arena = _aligned(0)

    def __copy__(self) -> "NativeProgram":
        other = NativeProgram.__new__(NativeProgram)
        other.__dict__.update(self.__dict__)
        other._arena = _aligned(0)
        return other

    def __call__(
        self,
        species: np.ndarray,
        sender: np.ndarray,
        receiver: np.ndarray,
        vectors: np.ndarray,
        *,
        n_own: int | None = None,
        exchange: tuple[int, int, int] = (0, 0, 0),
    ) -> AtomEnergies:
        """Energies, forces and virials.

        Args:
            species: index of the species of each atom, from 0; ghosts last.
            sender: atom of each edge; int64, as all integers.
            receiver: own atom of each edge, in increasing order.
            vectors: from receiver to sender in Å, float64, (edges, 3).
            n_own: number of own atoms; all by default.
            exchange: addresses of the functions forward and reverse, and of their context, see `Exchange`.

        Raises:
            ValueError: two atoms at the same place, or an edge that is not finite or longer than the cutoff.
        """
        n_atoms, n_edges = len(species), len(sender)
        arrays = {
            Slot.SPECIES: np.ascontiguousarray(species, dtype=np.int64),
            Slot.SENDER: np.ascontiguousarray(sender, dtype=np.int64),
            Slot.RECEIVER: np.ascontiguousarray(receiver, dtype=np.int64),
            Slot.VECTORS: np.ascontiguousarray(vectors, dtype=np.float64),
        }
        own = n_atoms if n_own is None else n_own
        energy, forces, virials = np.empty(own), np.empty((n_atoms, 3)), np.empty((n_atoms, 3, 3))
        arrays |= {Slot.ENERGY: energy, Slot.FORCES: forces, Slot.VIRIALS: virials}
        needed = self.layout.bytes(n_atoms, n_edges)
        if self._arena.nbytes < needed:
            self._arena = _aligned(needed + needed // 4)
        slots = np.zeros(N_SLOTS, dtype=np.int64)
        slots[: Slot.THREADS + 1] = (
            own,
            n_atoms,
            n_edges,
            self._constants.ctypes.data,
            self._arena.ctypes.data,
            1,
        )
        slots[[Slot.FORWARD, Slot.REVERSE, Slot.CONTEXT]] = exchange
        for slot, array in arrays.items():
            slots[slot] = array.ctypes.data
        entry = self.compiled.functions["entry"]
        if n_edges > SMALL and (counter := thread_counter()):
            slots[Slot.COUNT_THREADS] = counter
            call_in_threads(entry, slots.ctypes.data)
        else:
            entry(slots.ctypes.data)
        if slots[Slot.ERROR]:
            raise ValueError(ERRORS[int(slots[Slot.ERROR])])
        return AtomEnergies(energy, forces, virials)


def _aligned(n_bytes: int) -> np.ndarray:
    """Uninitialised bytes at a multiple of `ALIGNMENT`."""
    memory = np.empty(n_bytes + ALIGNMENT, dtype=np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + n_bytes]
