"""TrainConfig: all that decides the training of a potential."""

from dataclasses import dataclass, field
from typing import Literal

from symnets.config import OutOfRange, Range, at_least, between, check_ranges, more_than, within
from symnets.training import Decay

# Of all architectures. e3nn's spherical harmonics go further; the memory of most machines does not.
_MODEL = {
    "cutoff": more_than(0),
    "lmax": within(0, 6),
    "channels": at_least(1),
    "layers": at_least(1),
    "n_basis": at_least(1),
    "radial_hidden": at_least(1),
}


@dataclass(frozen=True)
class DataConfig:
    """Which structures to learn from."""

    train: str
    """Training file, anything ASE reads; sought here, then in the folder SYMNETS_DATA."""
    validation: str | None = None
    """Validation file; by default `n_validation` structures are set aside from the training file."""
    n_train: int | None = None
    """Structures to train on, drawn with the seed; by default all that are left."""
    n_validation: int = 50
    """Structures to validate on."""
    isolated_atoms: str | None = None
    """File of one-atom structures whose energies are subtracted; by default least squares."""
    energy_key: str | None = None
    """Name of the energy in the files; by default ASE's own."""
    forces_key: str | None = None
    """Name of the forces in the files; by default ASE's own."""
    stress_key: str | None = None
    """Name of the stress in the files; by default ASE's own."""
    stress_convention: Literal["ase", "vasp"] = "ase"
    """Of the stress in the files: ase (eV/Å³, positive under tension) or vasp (kbar, positive under
    compression, xx yy zz xy yz zx)."""

    def __post_init__(self) -> None:
        check_ranges("data", self, n_train=at_least(1), n_validation=at_least(1))


@dataclass(frozen=True)
class NequIPConfig:
    """Equivariant network; see `symnets.models.NequIP`."""

    architecture: Literal["NequIP"] = "NequIP"
    cutoff: float = 5.0
    """Å."""
    lmax: int = 2
    channels: int = 64
    layers: int = 4
    parity: bool = True
    n_basis: int = 8
    radial_hidden: tuple[int, ...] = (64, 64)
    zbl: bool = False
    """Add the ZBL repulsion of close nuclei."""

    def __post_init__(self) -> None:
        check_ranges("model", self, **_MODEL)


@dataclass(frozen=True)
class MACEConfig:
    """Network of many-body products; see `symnets.models.MACE`. Their preparation takes a tenth of a second
    with `lmax: 3` and `correlation: 3`, but minutes with `lmax: 6`, or with 4 and 4."""

    architecture: Literal["MACE"] = "MACE"
    cutoff: float = 5.0
    """Å."""
    lmax: int = 3
    feature_lmax: int = 1
    correlation: int = 3
    channels: int = 64
    layers: int = 2
    n_basis: int = 8
    radial_hidden: tuple[int, ...] = (64, 64)
    zbl: bool = False
    """Add the ZBL repulsion of close nuclei."""

    def __post_init__(self) -> None:
        check_ranges("model", self, feature_lmax=within(0, 6), correlation=within(1, 4), **_MODEL)
        if self.layers > 1 and self.feature_lmax > self.correlation * self.lmax:
            raise OutOfRange(
                "model.feature_lmax: expected at most correlation * lmax, the highest degree of a product, "
                f"{self.correlation * self.lmax}, got {self.feature_lmax}"
            )


@dataclass(frozen=True)
class InvariantConfig:
    """Rotation-invariant baseline; see `symnets.models.Invariant`."""

    architecture: Literal["Invariant"] = "Invariant"
    cutoff: float = 5.0
    """Å."""
    lmax: int = 3
    channels: int = 64
    layers: int = 4
    n_basis: int = 8
    radial_hidden: tuple[int, ...] = (64, 64)
    zbl: bool = False
    """Add the ZBL repulsion of close nuclei."""

    def __post_init__(self) -> None:
        check_ranges("model", self, **_MODEL)


@dataclass(frozen=True)
class LossConfig:
    """Weights of the squared errors of energy per atom (eV), forces (eV/Å) and stress (eV/Å³)."""

    energy: float = 1.0
    forces: float = 1.0
    stress: float = 0.0
    huber: float | None = None
    """Errors beyond this count linearly; in the unit of each term."""

    def __post_init__(self) -> None:
        check_ranges(
            "loss", self, energy=at_least(0), forces=at_least(0), stress=at_least(0), huber=more_than(0)
        )
        if not (self.energy or self.forces or self.stress):
            raise OutOfRange("loss: expected a weight above 0 for energy, forces or stress, got 0 for all")


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights move."""

    method: Literal["Adam", "Muon"] = "Adam"
    """Adam (AdamW), or Muon, which takes fewer steps to the same error; see `symnets.training.Muon`."""
    learning_rate: float = 0.01
    batch_size: int = 5
    epochs: int = 100
    """Passes through the training structures; the schedule ends there."""
    decay: Decay = "cosine"
    """Shape of the learning rate's decay."""
    warmup: int = 0
    """Steps of linear warm-up."""
    final: float = 0.01
    """Last learning rate, as a fraction of the first."""
    weight_decay: float = 0.0
    amsgrad: bool = False
    """Of Adam."""
    clip_norm: float | None = None
    """Longest gradient let through."""
    average: float | None = 0.995
    """Decay of the running average of weights, which is what is validated and saved; null for none."""

    def __post_init__(self) -> None:
        check_ranges(
            "optimizer",
            self,
            learning_rate=more_than(0),
            batch_size=at_least(1),
            epochs=at_least(1),
            warmup=at_least(0),
            weight_decay=at_least(0),
            clip_norm=more_than(0),
            average=between(0, 1),
            final=Range("more than 0 and at most 1", lambda value: 0 < value <= 1),
        )
        if self.amsgrad and self.method != "Adam":
            raise OutOfRange(f"optimizer.amsgrad: expected with method Adam, got {self.method}")


@dataclass(frozen=True)
class TrainConfig:
    """Training of a potential, from data to a model file."""

    data: DataConfig
    output: str
    """Folder for the model, checkpoint and logs."""
    model: NequIPConfig | MACEConfig | InvariantConfig = field(default_factory=NequIPConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    seed: int = 0
    """Of the split, the initial weights and the order of the data."""
    dtype: Literal["float32", "float64"] = "float32"
    device: str = "cpu"
    """cpu, cuda, cuda:1, ...; auto is a GPU if there is one."""
    deterministic: bool = False
    """On a GPU, the same bits every time, as on the CPU, at a cost in speed; else sums differ in rounding."""
    threads: int | None = None
    """CPU threads; by default torch's choice. Results depend on it in the last bits."""
    max_minutes: float | None = None
    """Stop after this much time, whatever the schedule says."""
    patience: int | None = None
    """Stop when this many validations brought no better model."""
    validate_every: int | None = None
    """Steps between two validations; by default one epoch, at least 50 steps."""
    checkpoint_every: int = 500
    """Steps between two checkpoints."""

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            seed=at_least(0),
            threads=at_least(1),
            max_minutes=more_than(0),
            patience=at_least(1),
            validate_every=at_least(1),
            checkpoint_every=at_least(1),
        )
