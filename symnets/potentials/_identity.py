"""Identity of a training run: hashes of all that determines its weights, compared when it is resumed."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from symnets.config import fingerprint
from symnets.data import AtomGraph, Statistics, read_header
from symnets.potentials._config import TrainConfig
from symnets.potentials._data_on_demand import TrainingGraphs
from symnets.potentials._graph_content import graph_content
from symnets.potentials._replay import TRAIN
from symnets.yaml_files import read_yaml

MAY_DIFFER = ("output", "max_minutes", "patience", "checkpoint_every", "device", "deterministic")
"""Options that may differ when a run is resumed; the device changes rounding only."""
DATA_MAY_DIFFER = ("require_all", "in_memory", "workers")
"""Options of `data` that may differ."""


def identity(config: TrainConfig, data: str) -> str:
    """Hash of the configuration and hash of the data, joined by a dash.

    The hash of the configuration leaves out the options `MAY_DIFFER` and `DATA_MAY_DIFFER`. The hash of the
    data is `data_digest`, or `Start.digest` for fine-tuning.
    """
    return f"{fingerprint(_determining_options(asdict(config)))}-{data}"


def data_digest(train: Sequence[AtomGraph], validation: Sequence[AtomGraph], stats: Statistics) -> str:
    """Hash of structures and labels in their order, and of the energies of isolated atoms.

    Graphs made on demand have been hashed when their statistics were computed.
    """
    if isinstance(train, TrainingGraphs):
        digest = train.digest.copy()
    else:
        digest = hashlib.sha256()
        for graphs in (train, validation):
            digest.update(f"{len(graphs)} structures".encode())
            for graph in graphs:
                digest.update(graph_content(graph))
    if stats.source == "isolated atoms":  # least squares follow from the labels
        digest.update(repr(stats.energies).encode())
    return digest.hexdigest()[:16]


def check_identity(checkpoint: Path, expected: str, config: TrainConfig) -> str:
    """Check that a checkpoint belongs to the run to be resumed, and return the identity in it.

    A checkpoint of an older symnets, whose configuration lacked some fields, has another identity and is
    accepted if all other fields agree.

    Args:
        checkpoint: the file; the `config.yaml` beside it has the configuration it was written with.
        expected: `identity` of the run to be resumed.
        config: configuration of the run to be resumed.

    Raises:
        ValueError: the identities differ; the message names the fields with both values, or the data files.
    """
    stored = read_header(checkpoint, "checkpoint")["fingerprint"]
    if stored == expected:
        return stored
    advice = "resume with the configuration and data it was started with, or choose another --output"
    differences = None
    if stored.partition("-")[0] != expected.partition("-")[0]:
        differences = _differences(checkpoint, config)
        if differences is None or differences:
            which = f": {', '.join(differences)}" if differences else ""
            raise ValueError(f"{checkpoint}: the checkpoint is of another configuration{which}; {advice}")
    if stored.partition("-")[2] != expected.partition("-")[2]:
        named = ", ".join(_files(config))
        older = "" if differences is None else ", or an older symnets read them otherwise"
        raise ValueError(
            f"{checkpoint}: the data files changed since it was written{older} ({named}); {advice}"
        )
    return stored


def _files(config: TrainConfig) -> list[str]:
    """Paths of the data, as configured, and those of the foundation model and the replayed structures."""
    files = []
    if config.finetune is not None:
        files.append(config.finetune.model)
        if config.finetune.replay is not None:
            files.append(str(Path(config.output) / TRAIN))
    for paths in (config.data.train, config.data.validation, config.data.isolated_atoms):
        files += [paths] if isinstance(paths, str) else paths or []
    return files


def _differences(checkpoint: Path, config: TrainConfig) -> list[str] | None:
    """Fields that differ from the `config.yaml` beside a checkpoint, with both values.

    A field that an older symnets did not write counts only if it is set now. The result is None if the file
    is missing or cannot be read, or if it agrees in all fields although the hashes differ, so it was edited.
    """
    try:
        # As plain values: a configuration can name a module to import.
        stored = read_yaml(checkpoint.with_name("config.yaml"))
        before = dict(_flat(_determining_options(stored)))
    except (OSError, ValueError, KeyError, TypeError):  # lost or edited
        return None
    now = dict(_flat(json.loads(json.dumps(_determining_options(asdict(config))))))
    differences = [
        f"{name} was {before.get(name)} and is {now.get(name)} now"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    return None if not differences and before.keys() == now.keys() else differences


def _determining_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options that determine the weights; those that older releases did not have are left out if not set."""
    values = {name: value for name, value in config.items() if name not in MAY_DIFFER}
    for name in ("tensors", "finetune"):
        if not values.get(name):
            values.pop(name, None)
    values["data"] = {
        name: value
        for name, value in dict(values["data"]).items()
        if name not in DATA_MAY_DIFFER and (name not in ("weight_key", "config_type_weights") or value)
    }
    return values


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
