from ._compile import Compile as Compile
from ._data import Generate as Generate
from ._data import Inspect as Inspect
from ._evaluate import Evaluate as Evaluate
from ._export import Export as Export
from ._finetune import Finetune as Finetune
from ._info import Info as Info
from ._lammps import BuildLammps as BuildLammps
from ._list import List as List
from ._main import COMMANDS as COMMANDS
from ._main import main as main
from ._md import Md as Md
from ._models import Models as Models
from ._relax import Relax as Relax
from ._results import Figure as Figure
from ._results import Report as Report
from ._results import TableOf as TableOf
from ._stability import MeasureStability as MeasureStability
from ._sweep import Run as Run
from ._sweep import Sweep as Sweep
from ._train import Train as Train

__all__ = [
    "COMMANDS",
    "BuildLammps",
    "Compile",
    "Evaluate",
    "Export",
    "Figure",
    "Finetune",
    "Generate",
    "Info",
    "Inspect",
    "List",
    "Md",
    "MeasureStability",
    "Models",
    "Relax",
    "Report",
    "Run",
    "Sweep",
    "TableOf",
    "Train",
    "main",
]
