"""keep_species: a force field for fewer elements, with the same energies."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from ase.data import chemical_symbols
from torch import nn

from symnets.models._energy_model import EnergyModel
from symnets.models._force_field import ForceField
from symnets.models._zbl import WithZBL
from symnets.nn import species_numbers


def keep_species(force_field: ForceField, species: Sequence[str | int]) -> ForceField:
    """Force field for some of the elements of another one, with the same energies and fewer weights.

    It is needed to compile a model with a distance transform, such as those that `from_mace` converts, since
    the tables for all pairs of elements fit into memory only for some tens of elements.

    Args:
        force_field: a trained force field, which is left as it is.
        species: elements to keep.

    Raises:
        ValueError: the model lacks one of the elements; or some weights have no row for each species, as in
            models that read the one-hot species.

    Example:
        copper = keep_species(load("mace-mpa-0.safetensors", ForceField), ["Cu"])
    """
    kept = species_numbers(species)
    if absent := set(kept) - set(force_field.species):
        names = [
            " ".join(chemical_symbols[number] for number in numbers)
            for numbers in (sorted(absent), force_field.species)
        ]
        raise ValueError(f"species: the model does not know {names[0]}; its elements are {names[1]}")
    return ForceField(_smaller(force_field.energy_model, kept)).train(force_field.training)


def _smaller(model: nn.Module, kept: tuple[int, ...]) -> nn.Module:
    """Energy model for the species `kept` alone."""
    config = dict(cast("Mapping[str, Any]", model.config))
    if type(model) is WithZBL:
        return WithZBL(_smaller(config.pop("energy_model"), kept), **config)
    if not isinstance(model, EnergyModel):
        raise ValueError(f"model: expected an architecture of symnets.models, got {type(model).__name__}")
    rows = torch.tensor([model.species.index(number) for number in kept])
    n_species = len(model.species)
    config |= {"species": kept} | {name: tuple(config[name][i] for i in rows) for name in ("shift", "scale")}
    with torch.random.fork_rng(devices=[]):  # random initial weights are replaced below
        new = type(model)(**config)
    old_state, new_state = model.state_dict(), new.state_dict()
    if old_state.keys() != new_state.keys():
        raise ValueError(
            f"model: expected an unmodified {type(model).__name__}, but the names of its parameters or "
            "buffers are not those of its class"
        )
    like = next(p for p in model.parameters() if p.is_floating_point())
    new.to(like)
    for name, value in new.state_dict().items():
        old = old_state[name]
        by_species = old.shape[:1] == (n_species,) and value.shape[:1] == (len(kept),)
        picked = old[rows.to(old.device)] if by_species else old
        if picked.shape != value.shape:
            raise ValueError(
                f"model: {type(model).__name__} has {name} of shape {tuple(old.shape)}, not arranged "
                "by species"
            )
        value.copy_(picked)
    return new
