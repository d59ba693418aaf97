"""`symnets lammps build`: compile the LAMMPS pair style."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from symnets.deploy import build_lammps_plugin, lammps_plugin_folder


@dataclass(frozen=True)
class BuildLammps:
    """Compile the pair style `symnets` for an installed LAMMPS.

    LAMMPS then runs models that `symnets export` has written: `pair_style symnets libmodel.so`. The pair
    style works only in the release of LAMMPS for which it was compiled; run this command again after an
    update. A C++ compiler must be installed. The command takes some seconds.

    Example:
        symnets lammps build
        symnets lammps build --lammps-include lammps/src -o plugins
    """

    lammps_include: Path | None = None
    """Folder of LAMMPS's headers: `include` of an installation, or `src` of its source code. By default that
    of the package lammps in this Python environment."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Folder for symnetsplugin.so; by default one in which the command lmp of this Python environment finds
    it."""
    compiler: str | None = None
    """C++ compiler and its options, such as "mpicxx -DLAMMPS_BIGBIG"; by default the environment variable
    CXX, else the first of g++, c++ and clang++ that is installed."""

    def run(self) -> None:
        """Compile the plugin and print how LAMMPS finds it."""
        path = build_lammps_plugin(self.lammps_include, self.output, compiler=self.compiler)
        console = Console()
        console.print(str(path), soft_wrap=True, highlight=False)
        if self.lammps_include is None and str(path.parent) == lammps_plugin_folder():
            console.print("The command lmp of this environment loads it when it starts.", highlight=False)
        else:
            folder = shlex.quote(os.path.abspath(path.parent))
            console.print(
                f"LAMMPS loads it when it starts, after: export LAMMPS_PLUGIN_PATH={folder}",
                soft_wrap=True,
                highlight=False,
            )
