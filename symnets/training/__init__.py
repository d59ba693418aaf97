"""Training: dynamics move weights, a trainer watches the clock, nobody does the other's work."""

from symnets.training.callback import Callback
from symnets.training.checkpoint import Checkpoint
from symnets.training.dynamics import Loss, averaged, descend, with_average
from symnets.training.history import History
from symnets.training.logging import CSVLog, TensorBoardLog
from symnets.training.losses import energy_term, forces_term, stress_term, weighted_sum
from symnets.training.progress import ProgressBar
from symnets.training.progress_lines import ProgressLines
from symnets.training.schedule import every, learning_rate, log_spaced
from symnets.training.state import TrainState
from symnets.training.stopping import (
    StopRule,
    below,
    diverged,
    first_of,
    max_steps,
    no_improvement,
    wall_time,
)
from symnets.training.trainer import INTERRUPTED, Trainer

__all__ = [
    "INTERRUPTED",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "History",
    "Loss",
    "ProgressBar",
    "ProgressLines",
    "StopRule",
    "TensorBoardLog",
    "TrainState",
    "Trainer",
    "averaged",
    "below",
    "descend",
    "diverged",
    "energy_term",
    "every",
    "first_of",
    "forces_term",
    "learning_rate",
    "log_spaced",
    "max_steps",
    "no_improvement",
    "stress_term",
    "wall_time",
    "weighted_sum",
    "with_average",
]
