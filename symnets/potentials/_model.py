"""Model, optimiser, initial state and loss of the training of a potential, from a configuration."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from e3nn import o3
from torch import nn

from symnets.data import Statistics
from symnets.device import usable_device
from symnets.loss import Loss
from symnets.models import ForceField, TensorModel, TensorOutput, WithZBL, find_architecture
from symnets.potentials._config import OptimizerConfig, TrainConfig
from symnets.potentials._tensor_statistics import TensorStatistics
from symnets.training import (
    Muon,
    TrainState,
    energy_term,
    forces_term,
    learning_rate,
    stress_term,
    tensor_term,
    weighted_sum,
    with_average,
)


def build_model(
    config: TrainConfig, stats: Statistics, outputs: Mapping[str, TensorOutput] | None = None
) -> ForceField | TensorModel:
    """Build a model with random initial weights, normalised by the statistics of its data.

    Args:
        config: see `TrainConfig`. If it has no `model.irreps_last`, the features after the last layer have
            the irreps that the outputs need, with as many channels as scalars.
        stats: statistics of the training data.
        outputs: tensor outputs with scale and shift; with them the model is a `TensorModel`, without energies
            if the loss has none.

    Raises:
        ValueError: the architecture has no features of an irrep that an output needs.
    """
    architecture = find_architecture(config.model.architecture)
    from_data = {
        "species": stats.species,
        "mean_neighbors": max(stats.mean_neighbors, 1.0),
        # Mean energy of an atom in the training data: the network learns differences of order `scale`.
        "shift": [energy + stats.cohesion for energy in stats.energies],
        "scale": stats.force_rms if stats.force_rms > 0 else 1.0,
    }
    taken = from_data.keys() & inspect.signature(architecture).parameters.keys()
    options = {name: from_data[name] for name in taken} | config.model.options()
    energy_model = architecture(**options | _irreps_last(options, outputs or {}))
    force_field = ForceField(WithZBL(energy_model) if config.model.zbl else energy_model)
    model = force_field
    if outputs:
        model = TensorModel(force_field if config.has_energies else energy_model, outputs)
    return model.to(device=usable_device(config.device), dtype=getattr(torch, config.dtype))


def _irreps_last(options: Mapping[str, Any], outputs: Mapping[str, TensorOutput]) -> dict[str, str]:
    """The option `irreps_last` that the outputs need, if the architecture has it and it is not set."""
    needed = {ir: None for output in outputs.values() for _, ir in output.irreps_needed}
    needed.pop(o3.Irrep("0e"), None)
    if not needed or options.get("irreps_last", "") is not None:
        return {}
    irreps = options.get("irreps", ())
    scalars = o3.Irreps(irreps if isinstance(irreps, str) else irreps[-1]) if irreps else ()
    channels = scalars[0].mul if scalars else options["channels"]
    return {"irreps_last": "+".join(f"{channels}x{ir}" for ir in (o3.Irrep("0e"), *needed))}


def build_optimizer(options: OptimizerConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Optimiser of a model's parameters; frozen ones get no gradient and do not change."""
    if options.method == "Muon":
        # Muon is made for matrices of linear maps. An embedding is not one: its rows are looked up one by
        # one. The weights of MACE's products, (species, paths, channels), are no linear maps either, but
        # learn as well by Muon as by Adam.
        parameters = [
            (p.ndim >= 2 and min(p.shape[-2:]) > 1 and not n.endswith("embedding"), p)
            for n, p in model.named_parameters()
        ]
        return Muon(
            [p for matrix, p in parameters if matrix],
            [p for matrix, p in parameters if not matrix],
            lr=options.learning_rate,
            weight_decay=options.weight_decay,
        )
    return torch.optim.AdamW(
        model.parameters(),
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
        amsgrad=options.amsgrad,
        fused=True,
    )


def build_state(config: TrainConfig, model: nn.Module, batches: int) -> tuple[TrainState, int]:
    """The state at step 0, and the number of steps of the whole training."""
    options = config.optimizer
    if config.finetune is not None:  # decay is towards the start: it acts on updates, see WeightUpdates
        options = replace(options, weight_decay=config.finetune.decay_to_start)
    optimizer = build_optimizer(options, model)
    total = options.epochs * batches
    schedule = learning_rate(
        optimizer, total, decay=options.decay, warmup=options.warmup, final=options.final
    )
    state = TrainState(model, optimizer, schedule)
    return (state if options.average is None else with_average(state)), total


def training_loss(
    config: TrainConfig, stats: Statistics, tensors: Mapping[str, TensorStatistics] | None = None
) -> Loss:
    """Loss of each structure, whose mean is a sum of weighted means over the labels that are present.

    The mean over the training structures is

        L = Σ_k λ_k (Σ_g w_g e_kg) / (Σ_g w_g),   g over the structures with label k,

    where k is energy, forces, stress or a tensor, λ_k its weight in the configuration, w_g the weight of
    structure g (1 by default), and e_kg its squared error, see `symnets.training.energy_term` and others. A
    label that few structures have is thus as important as one that all have, and a common factor of all w_g
    changes nothing.

    The loss of structure g is Σ_k λ_k (N / Σ_g' w_g') w_g e_kg, where N is the number of training structures,
    g' runs over the training structures with label k, and terms without label are zero. These factors do not
    depend on the batch. The mean over a random batch is therefore an unbiased estimate of L, whatever labels
    are in the batch, and parts of a batch on several processes add up to that of the batch.

    Args:
        config: see `TrainConfig`.
        stats: statistics of the training structures.
        tensors: statistics of the tensors that are learnt, on the same structures.
    """
    huber, n = config.loss.huber, stats.n_structures

    def scaled(weight: float, total: float) -> float:
        return weight * n / total if total else weight

    of_labels = stats.label_weights or stats.labelled
    terms = {"energy": energy_term, "forces": forces_term, "stress": stress_term}
    return weighted_sum(
        *(
            (scaled(getattr(config.loss, name), of_labels.get(name, n)), term(huber))
            for name, term in terms.items()
        ),
        *(
            (
                scaled(config.tensors[name].weight, tensor.label_weight),
                tensor_term(name, of_atoms=tensor.output.of_atoms, unit=tensor.deviation),
            )
            for name, tensor in (tensors or {}).items()
        ),
    )
