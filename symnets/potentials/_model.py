"""A model with fresh weights and the initial state of its training, from a configuration."""

import inspect

import torch
from torch import nn

from symnets.data import Statistics
from symnets.device import usable_device
from symnets.models import ForceField, WithZBL, find_architecture
from symnets.potentials._config import OptimizerConfig, TrainConfig
from symnets.training import Muon, TrainState, learning_rate, with_average


def build_model(config: TrainConfig, stats: Statistics) -> ForceField:
    """A force field with fresh weights, normalised by the statistics of its data."""
    architecture = find_architecture(config.model.architecture)
    from_data = {
        "species": stats.species,
        "mean_neighbors": max(stats.mean_neighbors, 1.0),
        # Mean energy of an atom in the training data: the network learns differences of order `scale`.
        "shift": [energy + stats.cohesion for energy in stats.energies],
        "scale": stats.force_rms if stats.force_rms > 0 else 1.0,
    }
    taken = from_data.keys() & inspect.signature(architecture).parameters.keys()
    energy_model = architecture(**{name: from_data[name] for name in taken}, **config.model.options())
    force_field = ForceField(WithZBL(energy_model) if config.model.zbl else energy_model)
    return force_field.to(device=usable_device(config.device), dtype=getattr(torch, config.dtype))


def build_optimizer(options: OptimizerConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Optimizer of a model's parameters."""
    if options.method == "Muon":
        # Rows of an embedding are looked up one by one, so it is no linear map. Weights of MACE's products,
        # a matrix of paths and channels a species, are none either, but learn as well by Muon as by Adam.
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


def build_state(config: TrainConfig, model: ForceField, batches: int) -> tuple[TrainState, int]:
    """The state at step 0, and the number of steps of the whole training."""
    options = config.optimizer
    optimizer = build_optimizer(options, model)
    total = options.epochs * batches
    schedule = learning_rate(
        optimizer, total, decay=options.decay, warmup=options.warmup, final=options.final
    )
    state = TrainState(model, optimizer, schedule)
    return (state if options.average is None else with_average(state)), total
