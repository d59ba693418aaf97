from ._batches import batches as batches
from ._batches import grid as grid
from ._batches import override as override
from ._checkpoints import checkpoint as checkpoint
from ._claims import Claim as Claim
from ._claims import Talks as Talks
from ._claims import read_talks as read_talks
from ._executors import Serial as Serial
from ._executors import executor as executor
from ._experiment import Arrays as Arrays
from ._experiment import Experiment as Experiment
from ._experiment import Finding as Finding
from ._experiment import Result as Result
from ._experiment import Scalar as Scalar
from ._experiment import report_progress as report_progress
from ._find import experiments as experiments
from ._find import find as find
from ._find import name_of as name_of
from ._live_view import short_text as short_text
from ._page import PictureFile as PictureFile
from ._page import experiment_page as experiment_page
from ._page import findings_table as findings_table
from ._store import read_run as read_run
from ._store import run_hashes as run_hashes
from ._sweep import sweep as sweep
from ._table import Table as Table
from ._table import outdated_note as outdated_note
from ._table import write_table as write_table
from ._write_up import WriteUp as WriteUp
from ._write_up import write_up as write_up

__all__ = [
    "Arrays",
    "Claim",
    "Experiment",
    "Finding",
    "PictureFile",
    "Result",
    "Scalar",
    "Serial",
    "Table",
    "Talks",
    "WriteUp",
    "batches",
    "checkpoint",
    "executor",
    "experiment_page",
    "experiments",
    "find",
    "findings_table",
    "grid",
    "name_of",
    "outdated_note",
    "override",
    "read_run",
    "read_talks",
    "report_progress",
    "run_hashes",
    "short_text",
    "sweep",
    "write_table",
    "write_up",
]
