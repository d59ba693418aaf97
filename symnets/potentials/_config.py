"""TrainConfig: all options of the training of a potential."""

from dataclasses import dataclass, field
from math import inf
from typing import Annotated, Literal

from symnets.config import OutOfRange, Range, Seed, at_least, between, check_annotated, more_than
from symnets.potentials._finetune_config import FinetuneConfig
from symnets.potentials._model_config import ModelConfig
from symnets.potentials._tensor_config import TensorConfig
from symnets.training import Decay


@dataclass(frozen=True)
class DataConfig:
    """Structures to train and validate on."""

    train: str | list[str]
    """Training structures: files that ASE reads, folders, globs such as `runs/*/OUTCAR`, or ASE databases
    (.db, .aselmdb); looked for in the current folder, then in the folder SYMNETS_DATA. Any frame may lack any
    label: losses and errors are means over the labels that are there."""
    validation: str | list[str] | None = None
    """Validation structures, as `train`; by default `n_validation` structures are set aside from the training
    structures."""
    n_train: Annotated[int | None, at_least(1)] = None
    """Structures to train on, chosen at random by the seed; by default all but those set aside."""
    n_validation: Annotated[int, at_least(1)] = 50
    """Structures to validate on."""
    isolated_atoms: str | None = None
    """File of one-atom structures whose energies are subtracted; by default the training structures with
    config_type=IsolatedAtom, which are then not trained on, or without those a least-squares fit."""
    require_all: bool = False
    """Whether every structure must have energy and forces, and every crystal stress, if their weight in the
    loss is not zero; by default labels may be missing, and are counted."""
    weight_key: str | None = None
    """Key of the weight of a structure in the files, by which its terms in the loss are multiplied; the
    weight is 1 where the key is absent."""
    config_type_weights: dict[str, float] = field(default_factory=dict)
    """Weights by the config_type of structures, such as {Default: 1, surface: 2}; Default is that of all
    others, 1 if it is not given. They multiply those of weight_key."""
    in_memory: bool = True
    """Whether all graphs are held in memory; with false they are made when they are needed, for data that are
    larger than memory."""
    workers: Annotated[int, at_least(0)] = 0
    """Number of processes that make graphs ahead of the training if in_memory is false; with 0 the training
    process makes them itself."""
    energy_key: str | None = None
    """Key of the energy in the files; by default the one that ASE recognises."""
    forces_key: str | None = None
    """Key of the forces in the files; by default the one that ASE recognises."""
    stress_key: str | None = None
    """Key of the stress in the files; by default the one that ASE recognises."""
    virial_key: str | None = None
    """Key of the virial in the files, -volume times stress in eV, from which the stress is computed."""
    stress_convention: Literal["ase", "vasp"] = "ase"
    """Sign and unit of the stress in the files: ase (eV/Å³, positive under tension) or vasp (kbar, positive
    under compression, xx yy zz xy yz zx)."""

    def __post_init__(self) -> None:
        check_annotated("data", self)
        for name in ("train", "validation"):
            if getattr(self, name) == []:
                raise OutOfRange(f"data.{name}: expected a path or several, got an empty list")
        for kind, weight in self.config_type_weights.items():
            if not 0 <= weight < inf:
                raise OutOfRange(f"data.config_type_weights.{kind}: expected at least 0, got {weight:g}")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the squared errors of energy per atom (eV), forces (eV/Å) and stress (eV/Å³)."""

    energy: Annotated[float, at_least(0)] = 1.0
    forces: Annotated[float, at_least(0)] = 1.0
    stress: Annotated[float, at_least(0)] = 0.0
    huber: Annotated[float | None, more_than(0)] = None
    """Error beyond which a term grows linearly (Huber's loss), in the unit of its error; null for squares."""

    def __post_init__(self) -> None:
        check_annotated("loss", self)

    @property
    def best_by(self) -> Literal["forces", "energy", "stress"] | None:
        """Quantity by whose validation error the best model is chosen.

        It is the first of forces, energy and stress whose weight is not zero; None if all are zero.
        """
        if self.forces:
            return "forces"
        if self.energy:
            return "energy"
        return "stress" if self.stress else None


_FRACTION = Range("more than 0 and at most 1", lambda value: 0 < value <= 1)


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser, learning-rate schedule and running average of the weights."""

    method: Literal["Adam", "Muon"] = "Adam"
    """Adam (AdamW), or Muon, which takes fewer steps to the same error; see `symnets.training.Muon`."""
    learning_rate: Annotated[float, more_than(0)] = 0.01
    batch_size: Annotated[int, at_least(1)] = 5
    epochs: Annotated[int, at_least(1)] = 100
    """Passes through the training structures; the schedule ends there."""
    decay: Decay = "cosine"
    """Shape of the learning rate's decay."""
    warmup: Annotated[int, at_least(0)] = 0
    """Steps of linear warm-up."""
    final: Annotated[float, _FRACTION] = 0.01
    """Last learning rate, as a fraction of the first."""
    weight_decay: Annotated[float, at_least(0)] = 0.0
    amsgrad: bool = False
    """Use the AMSGrad variant of Adam."""
    clip_norm: Annotated[float | None, more_than(0)] = None
    """Largest norm of the gradient; longer gradients are scaled down to it."""
    average: Annotated[float | None, between(0, 1)] = 0.995
    """Decay of the running average of weights, which is validated and saved; null for none."""

    def __post_init__(self) -> None:
        check_annotated("optimizer", self)
        if self.amsgrad and self.method != "Adam":
            raise OutOfRange(f"optimizer.amsgrad: expected with method Adam, got {self.method}")


@dataclass(frozen=True)
class TrainConfig:
    """Training of a potential, from data to a model file."""

    data: DataConfig
    output: str
    """Folder for the model, checkpoint and logs."""
    model: ModelConfig = field(default_factory=ModelConfig)
    finetune: FinetuneConfig | None = None
    """Start from a foundation model in place of random weights; `model` is then its architecture."""
    loss: LossConfig = field(default_factory=LossConfig)
    tensors: dict[str, TensorConfig] = field(default_factory=dict)
    """Tensors to learn, such as dipoles, by name; for a model of tensors alone set loss.energy and
    loss.forces to 0."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    seed: Seed = 0
    """Seed of the split, the initial weights and the order of the data."""
    dtype: Literal["float32", "float64"] = "float32"
    device: str = "cpu"
    """cpu, cuda, cuda:1, ...; auto is a GPU if there is one."""
    deterministic: bool = False
    """Whether a GPU rounds sums in the same way in every run, as a CPU does; this costs speed."""
    threads: Annotated[int | None, at_least(1)] = None
    """CPU threads; by default torch's choice. Results depend on it in the last bits."""
    max_minutes: Annotated[float | None, more_than(0)] = None
    """Stop after this many minutes, even if the schedule has not ended; counted anew after a resume."""
    patience: Annotated[int | None, at_least(1)] = None
    """Stop after this many validations without a better model."""
    validate_every: Annotated[int | None, at_least(1)] = None
    """Steps between two validations; by default one epoch, at least 50 steps."""
    checkpoint_every: Annotated[int, at_least(1)] = 500
    """Steps between two checkpoints."""

    def __post_init__(self) -> None:
        check_annotated("", self)
        if self.finetune is not None and self.optimizer.weight_decay:
            raise OutOfRange(
                f"optimizer.weight_decay: expected 0 in a fine-tuning, got {self.optimizer.weight_decay:g}; "
                "set finetune.decay_to_start, which keeps the weights near those of the foundation model"
            )
        for name, tensor in self.tensors.items():
            tensor.output(name)
        weights = self.loss.energy, self.loss.forces, self.loss.stress
        if not any((*weights, *(tensor.weight for tensor in self.tensors.values()))):
            raise OutOfRange(
                "loss: expected a weight above 0 for energy, forces or stress, or for a tensor, got 0 for all"
            )

    @property
    def has_energies(self) -> bool:
        """Whether the model learns energies, forces or stress."""
        return bool(self.loss.energy or self.loss.forces or self.loss.stress)
