"""Errors of the outputs of a tensor model on labelled structures, for `symnets evaluate`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ase import Atoms

from symnets.data import AtomGraph, Loader, add_tensor_labels, has_tensor, keys_in_words, keys_present
from symnets.models import TensorModel, describe
from symnets.observables import TensorError, TensorValues, tensor_error, tensor_predictions
from symnets.potentials import TensorConfig


@dataclass(frozen=True)
class TensorEvaluation:
    """Predictions, errors and units of the outputs of a tensor model that have labels."""

    values: dict[str, TensorValues]
    errors: dict[str, TensorError]
    units: dict[str, str]
    missing: list[str]
    """Outputs without labels."""
    counts: dict[str, int]
    """Numbers of structures with labels."""


def evaluate_tensors(
    path: Path,
    model: TensorModel,
    structures: Sequence[Atoms],
    graphs: Sequence[AtomGraph],
    keys: Mapping[str, str],
    *,
    source: str,
    batch_size: int,
) -> TensorEvaluation:
    """Errors of the outputs of a tensor model.

    Args:
        path: file of the model, which has the keys and units of its training.
        model: the model of this file.
        structures: labelled structures.
        graphs: graphs of the structures; the labels are added to them.
        keys: keys of labels in the data by name of the output, if they differ from those of the training.
        source: name of the structures' files, for messages.
        batch_size: structures per batch.

    Raises:
        ValueError: a name in `keys` is not an output of the model; or no output has labels, and the model has
            no energies.
    """
    if unknown := sorted(keys.keys() - model.outputs.keys()):
        raise ValueError(
            f"tensor_keys: expected outputs of the model, {', '.join(model.outputs)}, got {unknown[0]}"
        )
    configs = tensor_configs(path, model)
    columns = {
        name: replace(config, key=keys.get(name, config.key)).column(name) for name, config in configs.items()
    }
    present = {name: column for name, column in columns.items() if has_tensor(structures, column)}
    missing = [name for name in columns if name not in present]
    if not present and model.force_field is None:
        names = ", ".join(f"{name} (key {column.key!r})" for name, column in columns.items())
        raise ValueError(
            f"{source}: expected labels of {names}, found none in {len(structures)} structures; if they have "
            f"other keys, pass --tensor-keys NAME KEY. {keys_in_words(keys_present(structures))}"
        )
    counts = add_tensor_labels(graphs, structures, present, source=source)
    values = tensor_predictions(model, Loader(graphs, batch_size)) if present else {}
    errors = {name: e for name, pairs in values.items() if (e := tensor_error(pairs)) is not None}
    units = {name: config.unit_of(name) for name, config in configs.items()}
    return TensorEvaluation(values, errors, units, missing, counts)


def tensor_configs(path: Path, model: TensorModel) -> dict[str, TensorConfig]:
    """Configurations of the outputs: those of the training in the file, else made from the outputs."""
    trained = describe(path)["extra"].get("training", {}).get("tensors", {})
    fields = ("kind", "irreps", "per", "pool", "origin")
    return {
        name: TensorConfig(**trained.get(name) or {field: getattr(output, field) for field in fields})
        for name, output in model.outputs.items()
    }
