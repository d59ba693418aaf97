from ._callbacks import Callback as Callback
from ._callbacks import CSVLog as CSVLog
from ._callbacks import ProgressBar as ProgressBar
from ._callbacks import ProgressLines as ProgressLines
from ._callbacks import TensorBoardLog as TensorBoardLog
from ._checkpoint import Checkpoint as Checkpoint
from ._checkpoint import Stateful as Stateful
from ._dense_output import DenseOutput as DenseOutput
from ._descend_members import descend_members as descend_members
from ._distributed import Processes as Processes
from ._distributed import is_first_process as is_first_process
from ._distributed import joined_processes as joined_processes
from ._dynamics import averaged as averaged
from ._dynamics import descend as descend
from ._dynamics import safe_convolutions as safe_convolutions
from ._dynamics import with_average as with_average
from ._gradient_flow import gradient_flow as gradient_flow
from ._levenberg_marquardt import levenberg_marquardt as levenberg_marquardt
from ._losses import MSE as MSE
from ._losses import CrossEntropy as CrossEntropy
from ._losses import Exponential as Exponential
from ._losses import Hinge as Hinge
from ._losses import PointwiseLoss as PointwiseLoss
from ._losses import QuadraticHinge as QuadraticHinge
from ._losses import SoftHinge as SoftHinge
from ._losses import cross_entropy as cross_entropy
from ._members import Criterion as Criterion
from ._members import Members as Members
from ._members import Verdict as Verdict
from ._muon import Muon as Muon
from ._potential_losses import energy_term as energy_term
from ._potential_losses import forces_term as forces_term
from ._potential_losses import stress_term as stress_term
from ._potential_losses import tensor_term as tensor_term
from ._potential_losses import weighted_sum as weighted_sum
from ._schedule import Decay as Decay
from ._schedule import Record as Record
from ._schedule import every as every
from ._schedule import learning_rate as learning_rate
from ._schedule import log_spaced as log_spaced
from ._state import History as History
from ._state import TrainState as TrainState
from ._stopping import StopRule as StopRule
from ._stopping import all_finished as all_finished
from ._stopping import below as below
from ._stopping import diverged as diverged
from ._stopping import first_of as first_of
from ._stopping import max_steps as max_steps
from ._stopping import no_improvement as no_improvement
from ._stopping import wall_time as wall_time
from ._trainer import INTERRUPTED as INTERRUPTED
from ._trainer import Observable as Observable
from ._trainer import Trainer as Trainer

__all__ = [
    "INTERRUPTED",
    "MSE",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "Criterion",
    "CrossEntropy",
    "Decay",
    "DenseOutput",
    "Exponential",
    "Hinge",
    "History",
    "Members",
    "Muon",
    "Observable",
    "PointwiseLoss",
    "Processes",
    "ProgressBar",
    "ProgressLines",
    "QuadraticHinge",
    "Record",
    "SoftHinge",
    "Stateful",
    "StopRule",
    "TensorBoardLog",
    "TrainState",
    "Trainer",
    "Verdict",
    "all_finished",
    "averaged",
    "below",
    "cross_entropy",
    "descend",
    "descend_members",
    "diverged",
    "energy_term",
    "every",
    "first_of",
    "forces_term",
    "gradient_flow",
    "is_first_process",
    "joined_processes",
    "learning_rate",
    "levenberg_marquardt",
    "log_spaced",
    "max_steps",
    "no_improvement",
    "safe_convolutions",
    "stress_term",
    "tensor_term",
    "wall_time",
    "weighted_sum",
    "with_average",
]
