"""NativeProgram: a program as one machine-code function in this process."""

import weakref
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from symnets.native._driver_code import N_SLOTS, Constants, Slot, external, program_key, program_module
from symnets.native._layout import ALIGNMENT, Layout
from symnets.native._program import ERRORS, Program
from symnets.ops import CompiledModule
from symnets.threads import call_in_threads, thread_counter

MOST_EDGES_OF_ONE_THREAD = 1500
"""A call with at most this many edges uses one thread, which is faster."""

_GIVEN = np.array(
    [
        Slot.LOCAL,
        Slot.TOTAL,
        Slot.THREADS,
        Slot.FORWARD,
        Slot.REVERSE,
        Slot.CONTEXT,
        Slot.WEIGHTS,
        Slot.ARENA,
        Slot.SPECIES,
        Slot.SENDER,
        Slot.RECEIVER,
        Slot.VECTORS,
        Slot.ENERGY,
        Slot.FORCES,
        Slot.VIRIALS,
    ]
)
"""Entries that are the same in all calls of a `BoundProgram`."""

_in_use: weakref.WeakValueDictionary[Hashable, CompiledModule] = weakref.WeakValueDictionary()
"""Machine code in use, by `program_key`; programs that differ in their weights alone share it."""


class AtomEnergies(NamedTuple):
    """Result of a call of a program, in float64."""

    energy: np.ndarray
    """Energy of each own atom in eV, (own atoms,)."""
    forces: np.ndarray
    """Forces in eV/Å on own atoms and ghosts, (atoms, 3)."""
    virials: np.ndarray
    """Each atom's share of dE/dstrain in eV, (atoms, 3, 3), not symmetrised."""


class NativeProgram:
    """A program compiled for this processor, called without Python's interpreter lock.

    Memory for intermediate results is kept from call to call, and grows with the largest structure. Threads
    that call at the same time need a copy each (`copy.copy`).

    Args:
        program: a finished program.
        dtype: "float32" or "float64".
    """

    def __init__(self, program: Program, dtype: str) -> None:
        self.dtype = dtype
        self.layout = Layout(program, {*external(program), program.sizes, program.error}, dtype)
        constants = Constants(program, dtype)
        self.constants = _aligned(len(constants.bytes))
        self.constants[:] = np.frombuffer(constants.bytes, dtype=np.uint8)
        key = program_key(program, self.layout, constants, dtype)
        compiled = _in_use.get(key)
        if compiled is None:
            module = program_module(program, self.layout, constants, dtype)
            compiled = _in_use[key] = CompiledModule(module, {"entry": "i"})
        self.compiled = compiled
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
        """Energies, forces and virials of atoms.

        Args:
            species: index of the species of each atom, from 0, (atoms,); ghosts last.
            sender: atom at which each edge starts, (edges,); all integers are int64.
            receiver: own atom at which each edge ends, (edges,), in increasing order.
            vectors: from receiver to sender in Å, float64, (edges, 3).
            n_own: number of own atoms; all by default.
            exchange: addresses of the functions forward and reverse, and of their context, see `Exchange`.

        Raises:
            ValueError: two atoms at the same place, or an edge that is not finite or longer than the cutoff.
        """
        bound = BoundProgram(
            self,
            np.ascontiguousarray(species, dtype=np.int64),
            np.ascontiguousarray(sender, dtype=np.int64),
            np.ascontiguousarray(receiver, dtype=np.int64),
            np.ascontiguousarray(vectors, dtype=np.float64),
            n_own=n_own,
            exchange=exchange,
        )
        return bound(len(sender))

    def arena(self, n_atoms: int, n_edges: int) -> np.ndarray:
        """Memory for intermediate results, enough for these numbers of atoms and edges."""
        needed = self.layout.bytes(n_atoms, n_edges)
        if self._arena.nbytes < needed:
            self._arena = _aligned(needed + needed // 4)
        return self._arena


class BoundProgram:
    """A native program with fixed arrays, whose numbers change between calls, as in molecular dynamics.

    A call allocates nothing. Its result is overwritten by the next call.

    Args:
        program: the program. Its memory is used, so that calls of this object and of `program` must not
            overlap.
        species: index of the species of each atom, from 0, (atoms,). All integers are int64, and all arrays
            are contiguous.
        sender, receiver: atoms of each edge, (edges,); a call may use only the first edges.
        vectors: from receiver to sender in Å, float64, (edges, 3).
        n_own: number of own atoms; all by default.
        exchange: addresses of the functions forward and reverse, and of their context, see `Exchange`.
    """

    def __init__(
        self,
        program: NativeProgram,
        species: np.ndarray,
        sender: np.ndarray,
        receiver: np.ndarray,
        vectors: np.ndarray,
        *,
        n_own: int | None = None,
        exchange: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        n_atoms, own = len(species), len(species) if n_own is None else n_own
        self.program = program
        self.result = AtomEnergies(np.empty(own), np.empty((n_atoms, 3)), np.empty((n_atoms, 3, 3)))
        arena = program.arena(n_atoms, len(sender))
        self._kept = (program.constants, arena, species, sender, receiver, vectors)
        self._slots = slots = np.zeros(N_SLOTS, dtype=np.int64)
        addresses = [array.ctypes.data for array in (*self._kept, *self.result)]
        slots[_GIVEN] = own, n_atoms, 1, *exchange, *addresses
        self._address, self._entry = slots.ctypes.data, program.compiled.functions["entry"]

    def __call__(self, n_edges: int) -> AtomEnergies:
        """Result for the first `n_edges` edges, in the same arrays at each call.

        Raises:
            ValueError: two atoms at the same place, or an edge that is not finite or longer than the cutoff.
        """
        slots = self._slots
        slots[Slot.ENTERED :] = 0
        slots[Slot.ERROR], slots[Slot.EDGES] = 0, n_edges
        counter = thread_counter() if n_edges > MOST_EDGES_OF_ONE_THREAD else 0
        slots[Slot.COUNT_THREADS] = counter
        if counter:
            call_in_threads(self._entry, self._address)
        else:
            self._entry(self._address)
        if slots[Slot.ERROR]:
            raise ValueError(ERRORS[int(slots[Slot.ERROR])])
        return self.result


def _aligned(n_bytes: int) -> np.ndarray:
    """Uninitialised bytes at a multiple of `ALIGNMENT`."""
    memory = np.empty(n_bytes + ALIGNMENT, dtype=np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + n_bytes]
