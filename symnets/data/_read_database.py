"""Structures of databases of ASE: SQLite (.db), JSON (.json) and LMDB (.aselmdb)."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import ase.db
from ase import Atoms

DATABASES = ("db", "json", "aselmdb")
"""ASE's names of the database formats, which are also the endings of the files' names."""
_WAIT = 5.0  # seconds for another process to release a lock
_LMDB_MAGIC = b"\xde\xc0\xef\xbe"


def read_database(path: Path) -> list[Atoms]:
    """All structures of a database of ASE, see `row_to_atoms`."""
    with open_database(path) as database:
        return [row_to_atoms(row) for row in database.select()]


def row_to_atoms(row: Any) -> Atoms:
    """The structure of a row of a database, with the row's key-value pairs and `data` in its `info`.

    ASE's own conversion leaves them out of `info`.
    """
    atoms = row.toatoms()
    atoms.info.update({**row.data, **row.key_value_pairs})
    return atoms


@contextmanager
def open_database(path: Path) -> Iterator[Any]:
    """Context with a database of ASE opened for reading; `check_database` must have accepted the file."""
    if path.suffix == ".aselmdb":
        connection: Any = ase.db.connect(str(path), readonly=True)  # takes no lock
    else:
        connection = ase.db.connect(str(path), serial=True)
    with connection as database:
        yield database


def check_database(path: Path) -> None:
    """Check that a database of ASE can be read now.

    Raises:
        ValueError: the file is not a database of ASE, another process has locked it, or the package for its
            format is not installed.
    """
    if path.suffix == ".db":
        _check_sqlite(path)
    elif path.suffix == ".aselmdb":
        _check_lmdb(path)


def _check_sqlite(path: Path) -> None:
    # ASE would create its tables in a file that has none, and wait 20 seconds for a lock.
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_WAIT)) as file:
            has_structures = file.execute("select 1 from sqlite_master where name = 'systems'").fetchone()
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise ValueError(
                f"{path}: the database is locked by another process, which writes to it; wait until it is "
                "done, or read a copy"
            ) from error
        raise ValueError(f"{path}: ASE cannot read it as db: {error}") from error
    if not has_structures:
        raise ValueError(f"{path}: ASE cannot read it as db: there is no table of structures in it")


def _check_lmdb(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(20)[16:] != _LMDB_MAGIC:
            raise ValueError(f"{path}: the file is no LMDB database, or it is damaged")
    try:
        import ase_db_backends.aselmdb  # noqa: F401 # pyright: ignore
    except ImportError as error:
        raise ValueError(
            f"{path}: LMDB databases need the package ase-db-backends; pip install 'symnets[lmdb]'"
        ) from error
