from ._export import compiler_flags as compiler_flags
from ._export import export as export
from ._lammps import build_lammps_plugin as build_lammps_plugin
from ._lammps import lammps_plugin_folder as lammps_plugin_folder
from ._shared_model import SharedModel as SharedModel

__all__ = ["SharedModel", "build_lammps_plugin", "compiler_flags", "export", "lammps_plugin_folder"]
