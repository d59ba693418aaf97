"""Frames of structure files, read one at a time, for data sets that are larger than memory."""

import atexit
import io
import os
import sqlite3
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Collection, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, overload
from weakref import WeakSet

import ase.io
import numpy as np
from ase import Atoms
from ase.io.formats import get_compression
from ase.io.trajectory import TrajectoryReader
from numpy.typing import NDArray

from symnets.data._frame_labels import LabelKeys, is_isolated_atom, label_frame
from symnets.data._read import extxyz_options, format_of, read_frames
from symnets.data._read_database import DATABASES, open_database, row_to_atoms
from symnets.data._structure_text import check_extxyz, encoding_of


class _File(ABC):
    """A file whose frames are read one at a time."""

    kind: str
    sizes: NDArray[np.int32] | None = None
    """Number of atoms of each frame; None if that is not known without reading the frames."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames."""

    @abstractmethod
    def read(self, index: int) -> Atoms:
        """Read a frame as ASE reads it."""


class Frames(Sequence[Atoms]):
    """Sequence of the labelled structures of files, each read from disk when it is taken.

    Structures and labels are those that `read_files` returns.
    Memory holds only an index of the frames, about 12 bytes for each. Extended XYZ files are read once to
    find where frames begin; databases list their rows; trajectories of ASE contain an index. A file in any
    other format must contain one structure; it is read once for a check, and again at each access.

    The sequence can be used in several processes at once: each process opens the files itself.

    Args:
        paths: files, see `find_data_files`.
        keys: keys and convention of the labels.
        require: labels that every frame must have, see `read_structures`.

    Raises:
        ValueError: a file that `read_structures` does not accept, a compressed file, or a file with several
            structures in a format without an index.
    """

    def __init__(
        self, paths: Sequence[str | Path], keys: LabelKeys | None = None, *, require: Collection[str] = ()
    ) -> None:
        self.paths, self.keys, self.require = (
            [Path(path) for path in paths],
            keys or LabelKeys(),
            tuple(require),
        )
        self._files = [_open_file(path, in_kbar=self.keys.stress_convention == "vasp") for path in self.paths]
        self._ends = np.cumsum([len(file) for file in self._files])

    def __len__(self) -> int:
        """Number of frames of all files."""
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, index: int) -> Atoms: ...
    @overload
    def __getitem__(self, index: slice) -> list[Atoms]: ...
    def __getitem__(self, index: int | slice) -> Atoms | list[Atoms]:
        """Read a frame, or the frames of a slice, with labels.

        Raises:
            ValueError: the frame is damaged or lacks a required label; the message gives its name.
        """
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        file, row = self._place(index)
        where = self.name(index)
        try:
            atoms = self._files[file].read(row)
        except Exception as error:  # ASE has a hundred readers with different errors
            raise ValueError(f"{where}: cannot be read: {type(error).__name__}: {error}") from error
        label_frame(atoms, self.keys, where=where, kind=self._files[file].kind, require=self.require)
        return atoms

    def name(self, index: int) -> str:
        """Name of a frame in messages, such as "data.xyz, frame 3"."""
        file, row = self._place(index)
        return f"{self.paths[file]}, frame {row}"

    def isolated(self) -> NDArray[np.int64]:
        """Indices of the frames that are marked as isolated atoms.

        Only frames of one atom are read; in formats whose index lacks the numbers of atoms, all frames.
        """
        marked, start = [], 0
        for file in self._files:
            rows = range(len(file)) if file.sizes is None else np.flatnonzero(file.sizes == 1).tolist()
            marked += [start + row for row in rows if is_isolated_atom(file.read(row))]
            start += len(file)
        return np.array(marked, dtype=np.int64)

    def _place(self, index: int) -> tuple[int, int]:
        """Index of the file of a frame, and index of the frame in this file."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} is out of range: there are {len(self)} frames")
        index = int(index) % len(self)
        file = bisect_right(self._ends, index)
        return file, index - (int(self._ends[file - 1]) if file else 0)


def _open_file(path: Path, *, in_kbar: bool) -> _File:
    """The frames of a file.

    Raises:
        ValueError: see `Frames`.
    """
    if get_compression(path.name)[1] is not None:
        raise ValueError(f"{path}: a compressed file cannot be read frame by frame; decompress it first")
    kind = format_of(path)
    if kind == "extxyz":
        return _Extxyz(path, in_kbar=in_kbar)
    if kind in DATABASES:
        return _Database(path, kind)
    if kind == "traj":
        return _Trajectory(path)
    return _Single(path, in_kbar=in_kbar)


class _Extxyz(_File):
    """Extended XYZ, indexed by the positions in the file where its frames begin."""

    kind = "extxyz"

    def __init__(self, path: Path, *, in_kbar: bool) -> None:
        self.path, self.options = path, extxyz_options(in_kbar=in_kbar)
        n_frames, self.encoding = check_extxyz(path), encoding_of(path) or "ascii"
        if self.encoding == "utf-16":
            raise ValueError(f"{path}: UTF-16 text cannot be read frame by frame; convert it to UTF-8")
        starts, sizes = np.zeros(n_frames + 1, np.int64), np.zeros(n_frames, np.int32)
        frame = 0
        with path.open("rb") as file:
            while frame < n_frames:
                starts[frame] = file.tell()
                header = file.readline()
                if header.lstrip().startswith(b"VEC"):  # lattice vectors of the frame before
                    continue
                sizes[frame] = int(header.decode(self.encoding))
                for _ in range(sizes[frame] + 1):
                    file.readline()
                frame += 1
            starts[frame] = file.tell() + len(file.read())
        self.starts, self.sizes = starts, sizes

    def __len__(self) -> int:
        return len(self.starts) - 1

    def read(self, index: int) -> Atoms:
        with self.path.open("rb") as file:
            file.seek(self.starts[index])
            content = file.read(int(self.starts[index + 1] - self.starts[index]))
        text: Any = io.StringIO(content.decode(self.encoding).replace("\r\n", "\n"))
        atoms: Any = ase.io.read(text, 0, format="extxyz", **self.options)
        return atoms


class _Database(_File):
    """A database of ASE, indexed by the numbers of its rows."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self.kind = path, kind
        self._stack: ExitStack | None = None
        self._connection: Any = None
        if kind == "db":  # SQLite reads these two columns without the structures
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
                rows = file.execute("select id, natoms from systems order by id").fetchall()
        else:
            with open_database(path) as database:
                rows = [(row.id, row.natoms) for row in database.select()]
        self.ids, sizes = np.array(rows, dtype=np.int64).reshape(-1, 2).T
        self.sizes = sizes.astype(np.int32)

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: int) -> Atoms:
        if self._stack is None:
            self._stack = ExitStack()
            self._connection = self._stack.enter_context(open_database(self.path))
            _connected.add(self)
        return row_to_atoms(self._connection.get(id=int(self.ids[index])))

    def close(self) -> None:
        """Close the connection, which the next read opens again."""
        if self._stack is not None:
            self._stack.close()
            self._stack = self._connection = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_stack": None, "_connection": None}


_connected: WeakSet[_Database] = WeakSet()


def _close_databases() -> None:
    """Close all connections, since a forked process may neither use nor open again those of its parent."""
    for database in list(_connected):
        database.close()
    _connected.clear()


atexit.register(_close_databases)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_databases)


class _Trajectory(_File):
    """A trajectory of ASE, which has an index of its own."""

    kind = "traj"

    def __init__(self, path: Path) -> None:
        self.path = path
        with TrajectoryReader(str(path)) as frames:
            self.length = len(frames)

    def __len__(self) -> int:
        return self.length

    def read(self, index: int) -> Atoms:
        with TrajectoryReader(str(self.path)) as frames:
            atoms: Any = frames[index]
        return atoms


class _Single(_File):
    """A file of one structure in any other format that ASE reads."""

    def __init__(self, path: Path, *, in_kbar: bool) -> None:
        self.path, self.in_kbar = path, in_kbar
        self.kind, frames = read_frames(path, ":", in_kbar=in_kbar)
        if len(frames) > 1:
            raise ValueError(
                f"{path}: {len(frames)} structures in the format {self.kind}, which cannot be read frame by "
                "frame; convert the file to extended XYZ or a database of ASE, or set data.in_memory to true"
            )
        self.sizes = np.array([len(frames[0])], dtype=np.int32)

    def __len__(self) -> int:
        return 1

    def read(self, index: int) -> Atoms:
        return read_frames(self.path, ":", in_kbar=self.in_kbar)[1][index]
