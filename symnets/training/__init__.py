"""Training: dynamics move weights, a trainer watches the clock, nobody does the other's work."""

from symnets.training.callback import Callback
from symnets.training.checkpoint import Checkpoint
from symnets.training.classification import cross_entropy
from symnets.training.descend_members import descend_members
from symnets.training.dynamics import Loss, averaged, descend, with_average
from symnets.training.flow_snapshots import Snapshots
from symnets.training.gradient_flow import gradient_flow
from symnets.training.history import History
from symnets.training.levenberg_marquardt import levenberg_marquardt
from symnets.training.logging import CSVLog, TensorBoardLog
from symnets.training.losses import energy_term, forces_term, stress_term, weighted_sum
from symnets.training.members import Members
from symnets.training.muon import Muon
from symnets.training.pointwise import (
    MSE,
    CrossEntropy,
    Exponential,
    Hinge,
    PointwiseLoss,
    QuadraticHinge,
    SoftHinge,
)
from symnets.training.progress import ProgressBar
from symnets.training.progress_lines import ProgressLines
from symnets.training.schedule import every, learning_rate, log_spaced
from symnets.training.state import TrainState
from symnets.training.stopping import (
    StopRule,
    all_finished,
    below,
    diverged,
    first_of,
    max_steps,
    no_improvement,
    wall_time,
)
from symnets.training.trainer import INTERRUPTED, Trainer
from symnets.training.verdict import Criterion, Verdict

__all__ = [
    "INTERRUPTED",
    "MSE",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "Criterion",
    "CrossEntropy",
    "Exponential",
    "Hinge",
    "History",
    "Loss",
    "Members",
    "Muon",
    "PointwiseLoss",
    "ProgressBar",
    "ProgressLines",
    "QuadraticHinge",
    "Snapshots",
    "SoftHinge",
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
    "learning_rate",
    "levenberg_marquardt",
    "log_spaced",
    "max_steps",
    "no_improvement",
    "stress_term",
    "wall_time",
    "weighted_sum",
    "with_average",
]
