"""Predicted tensors and their errors: MAE, RMSE and R² of every output of a tensor model."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from symnets.data import AtomGraph, Labels
from symnets.device import model_device
from symnets.models import TensorModel
from symnets.observables._as_found import as_found, copy_inputs


@dataclass(frozen=True)
class TensorValues:
    """Predictions and labels of one output, in the order of the loader; missing labels are NaN."""

    predicted: Float[ndarray, "n *shape"]
    label: Float[ndarray, "n *shape"]


@dataclass(frozen=True)
class TensorError:
    """Errors of the components of an output, δ = prediction - label, in the unit of the label."""

    mae: float
    """Mean of |δ|."""
    rmse: float
    """Square root of the mean of δ²."""
    r2: float | None
    """1 - Σ δ² / Σ (label - mean label)², with a mean for each component; None if all labels are equal."""
    n: int
    """Number of components compared."""
    n_labelled: int
    """Number of structures or atoms with a label."""


def tensor_predictions(
    model: TensorModel, loader: Iterable[tuple[AtomGraph, Labels]]
) -> dict[str, TensorValues]:
    """Predictions of a tensor model next to the labels, for the outputs that have labels.

    The model is evaluated in eval mode; its modes, its weights and torch's random state are left as found.

    Raises:
        ValueError: the loader is empty.
    """
    device = model_device(model)
    columns: dict[str, list[tuple[ndarray, ndarray]]] = {}
    empty = True
    with as_found(model), torch.no_grad():
        model.eval()
        for graph, labels in loader:
            empty = False
            predicted = model.tensors(copy_inputs(graph).to(str(device)))
            for name, label in (labels.tensors or {}).items():
                if name in predicted:
                    pair = predicted[name].double().cpu().numpy(), label.double().cpu().numpy()
                    columns.setdefault(name, []).append(pair)
    if empty:
        raise ValueError("loader: expected at least one structure, got an empty loader")
    return {
        name: TensorValues(*(np.concatenate(column) for column in zip(*pairs, strict=True)))
        for name, pairs in columns.items()
    }


def tensor_error(pairs: TensorValues) -> TensorError | None:
    """MAE, RMSE and R² of an output; None if there is no label."""
    label = pairs.label.reshape(len(pairs.label), -1)
    difference = (pairs.predicted - pairs.label).reshape(label.shape)
    known = ~np.isnan(label)
    if not known.any():
        return None
    squares = (difference[known] ** 2).sum()
    counts = known.sum(0)
    mean = np.where(known, label, 0).sum(0) / np.maximum(counts, 1)
    spread = (np.where(known, label - mean, 0) ** 2).sum()
    return TensorError(
        mae=float(np.abs(difference[known]).mean()),
        rmse=float(np.sqrt(squares / known.sum())),
        r2=float(1 - squares / spread) if spread > 0 else None,
        n=int(known.sum()),
        n_labelled=int(known.any(1).sum()),
    )
