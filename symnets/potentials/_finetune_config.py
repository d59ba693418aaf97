"""FinetuneConfig: options of the training of a foundation model on other data."""

from dataclasses import dataclass
from typing import Annotated, Literal

from symnets.config import OutOfRange, at_least, check_annotated

References = Literal["residuals", "isolated atoms", "keep"]
Strategy = Literal["all", "last layers", "readout", "low rank"]
ReplayElements = Literal["model", "data"]

GENERATED = "generated"
"""Value of `FinetuneConfig.replay` for structures that are generated, not read from a file."""


@dataclass(frozen=True)
class FinetuneConfig:
    """Fine-tuning: start from the weights of a foundation model, not from random ones.

    Architecture, cutoff and elements are those of the foundation model.

    Example (YAML):
        finetune:
          model: nequix-oam-1
          replay: generated
    """

    model: str
    """Foundation model: a model file, an .nqx file, or a name that `symnets models` lists."""
    references: References = "residuals"
    """Energies of single atoms at the level of theory of the data: residuals (least squares of label minus
    foundation model on the numbers of atoms of each element), isolated atoms (of the data, which the model
    then reproduces), or keep."""
    strategy: Strategy = "all"
    """Weights that are trained: all, those of the last layers and the readout, those of the readout, or
    updates A B of low rank that are added to the matrices of linear layers."""
    n_layers: Annotated[int, at_least(1)] = 1
    """Number of layers that the strategy `last layers` trains."""
    rank: Annotated[int, at_least(1)] = 8
    """Rank of the updates of the strategy `low rank`."""
    decay_to_start: Annotated[float, at_least(0)] = 0.0
    """Weight decay towards the weights of the foundation model, w <- w - learning rate * decay * (w - start)
    after each step; for the strategy `low rank`, of A and B towards 0."""
    heads: bool = False
    """Give the data a readout, scale and shift of their own, and keep those of the foundation model for the
    replayed structures; both are written, as two ordinary models."""
    replay: str | None = None
    """Structures with labels of the foundation model that are trained on as well, so that the model does not
    forget: `generated` (rattled and strained crystals and molecules), or a file; by default none."""
    replay_ratio: Annotated[float, at_least(0)] = 1.0
    """Replayed structures per epoch for each structure of the data; drawn anew for each epoch."""
    n_replay: Annotated[int, at_least(1)] = 200
    """Replayed structures to train on."""
    n_replay_test: Annotated[int, at_least(0)] = 50
    """Further structures on which forgetting is measured, also without replay; 0 measures none."""
    replay_elements: ReplayElements = "model"
    """Elements of generated structures: all of the foundation model, or those of the data."""

    def __post_init__(self) -> None:
        check_annotated("finetune", self)
        if self.heads and self.replay is None:
            raise OutOfRange(
                "finetune.heads: expected with replay, since only replayed structures train the head of the "
                "foundation model; set finetune.replay to generated or to a file"
            )
