"""`SharedModel`: a library written by `export`, called from Python."""

import ctypes
import json
import os
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_double, c_float, c_int64, c_void_p
from typing import Any

import numpy as np

from symnets.files import expanded
from symnets.native import AtomEnergies

ABI_VERSION = 1
"""Version of the C interface that this class calls, SYMNETS_ABI_VERSION in symnets.h."""

Exchange = Callable[[np.ndarray], None]
"""Function that changes, in place, a matrix with a row for each own atom and then one for each ghost."""

FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "symnets_abi_version": (c_int64, []),
    "symnets_model_hash": (c_char_p, []),
    "symnets_description": (c_char_p, []),
    "symnets_cutoff": (c_double, []),
    "symnets_n_species": (c_int64, []),
    "symnets_species": (POINTER(c_int64), []),
    "symnets_real_bytes": (c_int64, []),
    "symnets_exchange_columns": (c_int64, []),
    "symnets_new": (c_void_p, [POINTER(c_int64)]),
    "symnets_free": (None, [c_void_p]),
    "symnets_set_threads": (c_int64, [c_void_p, c_int64]),
    "symnets_compute": (
        c_int64,
        [c_void_p, c_int64, c_int64, c_void_p, c_int64, *[c_void_p] * 9],
    ),
    "symnets_error": (c_char_p, [c_int64]),
}
CALLBACK = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_int64)


class SharedModel:
    """A potential in a shared library that `export` has written.

    It is meant for tests of a library; `SymnetsCalculator` is more convenient for simulations. Several
    libraries can be loaded into a process, and the same library several times. Python's other threads run
    during a call. Each thread that calls a library needs an object of its own.

    Args:
        path: the library. It contains machine code: load it only if you trust who wrote it.
        threads: number of threads that a call may use.

    Attributes:
        description: model, dtype, species, cutoff, units and versions.
        species: atomic numbers of the elements that the model knows, increasing.
        cutoff: distance in Å below which a pair of atoms is an edge.
        exchange_columns: largest number of columns of the matrices that `forward` and `reverse` get.

    Raises:
        OSError: there is no such file, or it is not a shared library.
        ValueError: it was not written by `export`, or has another version of the interface; it has been
            altered; or this processor lacks instructions that it uses.

    Example:
        model = SharedModel("libmodel.so")
        graph = build_graphs([atoms], model.cutoff, dtype=torch.float64)[0]
        sender, receiver = graph.edge_index.numpy()
        energies, forces, virials = model(atoms.numbers, sender, receiver, graph.edge_vectors().numpy())
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 1) -> None:
        self._model = None
        path = expanded(path).absolute()
        self._library = library = ctypes.CDLL(str(path))
        for name, (result, arguments) in FUNCTIONS.items():
            if not hasattr(library, name):
                raise ValueError(f"{path}: expected a library written by `symnets export`, it has no {name}")
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        if (version := library.symnets_abi_version()) != ABI_VERSION:
            raise ValueError(
                f"{path}: expected version {ABI_VERSION} of the interface, got {version}; export it again"
            )
        self.description: dict[str, Any] = json.loads(library.symnets_description())
        self.species = tuple(library.symnets_species()[: library.symnets_n_species()])
        self.cutoff: float = library.symnets_cutoff()
        self.exchange_columns: int = library.symnets_exchange_columns()
        self._real = c_float if library.symnets_real_bytes() == 4 else c_double
        code = c_int64()
        self._model = library.symnets_new(ctypes.byref(code))
        self._check(code.value, f"{path}: ")
        self._check(library.symnets_set_threads(self._model, threads), "threads: ")

    def __del__(self) -> None:
        if self._model is not None:
            self._library.symnets_free(self._model)

    def __call__(
        self,
        numbers: np.ndarray,
        sender: np.ndarray,
        receiver: np.ndarray,
        vectors: np.ndarray,
        *,
        n_own: int | None = None,
        forward: Exchange | None = None,
        reverse: Exchange | None = None,
    ) -> AtomEnergies:
        """Energies (own atoms,) in eV, forces (atoms, 3) in eV/Å, virials (atoms, 3, 3) in eV.

        A virial is the share of an atom in dE/dstrain, positive under tension, as in `symnets.h`; labels of
        virials in files have the other sign (`read_structures`). Own atoms are those whose energies this call
        computes. Ghosts are copies of atoms of another process, or periodic images.

        Args:
            numbers: atomic number of each atom, own atoms first, then ghosts.
            sender: index of the sender of each edge.
            receiver: index of the receiver of each edge, an own atom; edges are sorted by receiver.
            vectors: vectors from receiver to sender in Å, (edges, 3).
            n_own: number of own atoms; all by default.
            forward: function that copies rows of own atoms to those of their ghosts.
            reverse: function that adds rows of ghosts to those of their owners.

        Raises:
            ValueError: an unknown element, wrong edges, two atoms at the same place, or an edge that is not
                finite or longer than the cutoff.
            MemoryError: not enough memory.
        """
        n_total = len(numbers)
        own = n_total if n_own is None else n_own
        z, send, receive = (np.ascontiguousarray(a, dtype=np.int64) for a in (numbers, sender, receiver))
        vectors = np.ascontiguousarray(vectors, dtype=np.float64)
        if not (0 <= own <= n_total and send.shape == receive.shape and vectors.shape == (len(send), 3)):
            raise ValueError(
                f"vectors: expected shape (edges, 3) for {len(send)} senders and {len(receive)} receivers, "
                f"got {vectors.shape}; and at most {n_total} own atoms, got {own}"
            )
        energy, forces, virials = np.empty(own), np.empty((n_total, 3)), np.empty((n_total, 3, 3))

        def callback(exchange: Exchange | None) -> Any:
            if exchange is None:
                return None

            def call(_: int, rows: int, columns: int) -> None:
                memory = ctypes.cast(rows, POINTER(self._real))
                exchange(np.ctypeslib.as_array(memory, (n_total, columns)))

            return CALLBACK(call)

        callbacks = callback(forward), callback(reverse)
        code = self._library.symnets_compute(
            self._model,
            own,
            n_total,
            z.ctypes.data,
            len(send),
            *(a.ctypes.data for a in (send, receive, vectors, energy, forces, virials)),
            *callbacks,
            None,
        )
        self._check(code)
        return AtomEnergies(energy, forces, virials)

    def _check(self, code: int, prefix: str = "") -> None:
        if code:
            message = prefix + self._library.symnets_error(code).decode()
            raise MemoryError(message) if code == 5 else ValueError(message)
