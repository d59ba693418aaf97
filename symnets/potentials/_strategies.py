"""Strategies of fine-tuning: which weights of a foundation model are trained."""

from torch import nn

from symnets.models import Heads, WeightUpdates, energy_network, readout_parts
from symnets.nn import MLP, Linear, SpeciesLinear
from symnets.potentials._finetune_config import FinetuneConfig

_MATRICES = (Linear, SpeciesLinear, MLP, nn.Linear)
"""Classes of layers whose weights are matrices, which the strategy `low rank` updates."""


def trained_names(energy_model: nn.Module, finetune: FinetuneConfig) -> list[str]:
    """Names of the parameters that a strategy trains, without those that are frozen in the model itself.

    Raises:
        ValueError: the model has no readout or no layers, or fewer than `n_layers`.
    """
    names = [name for name, weight in energy_model.named_parameters() if weight.requires_grad]
    if finetune.strategy == "all":
        return names
    if finetune.strategy == "low rank":
        within = [f"{name}." for name, part in energy_model.named_modules() if isinstance(part, _MATRICES)]
        return [name for name in names if name.startswith(tuple(within))]
    body = energy_network(energy_model)
    prefix = next(f"{name}." if name else "" for name, part in energy_model.named_modules() if part is body)
    parts = readout_parts(body)
    starts = [f"{prefix}{part}." for part in parts]
    if finetune.strategy == "last layers":
        lists = {
            name: part
            for name, part in body.named_children()
            if isinstance(part, nn.ModuleList) and name not in parts
        }
        n_layers = max((len(layers) for layers in lists.values()), default=0)
        if finetune.n_layers > n_layers:
            raise ValueError(
                f"finetune.n_layers: expected at most {n_layers}, the layers of {finetune.model}, got "
                f"{finetune.n_layers}"
            )
        starts += [
            f"{prefix}{name}.{number}."
            for name, layers in lists.items()
            if len(layers) == n_layers
            for number in range(n_layers - finetune.n_layers, n_layers)
        ]
    return [name for name in names if name.startswith(tuple(starts))]


def apply_strategy(energy_model: nn.Module, finetune: FinetuneConfig, seed: int) -> nn.Module:
    """The energy model in which only the weights that a strategy trains require gradients.

    For the strategy `low rank`, or with `decay_to_start`, it is wrapped in `WeightUpdates`.
    """
    names = trained_names(energy_model, finetune)
    if finetune.strategy == "low rank":
        return WeightUpdates(energy_model, names, rank=finetune.rank, seed=seed)
    if finetune.decay_to_start:
        return WeightUpdates(energy_model, names)
    for name, weight in energy_model.named_parameters():
        weight.requires_grad_(name in names)
    return energy_model


def merge_updates(energy_model: nn.Module, head: int = 0) -> nn.Module:
    """Energy model of the foundation model's class, with updates added to its weights and one head."""
    if isinstance(energy_model, WeightUpdates):
        energy_model = energy_model.folded()
    if isinstance(energy_model, Heads):
        energy_model = energy_model.single(head)
    return energy_model
