"""Architectures are found by their constructors, which state options, defaults and ranges once."""

import inspect
import pickle
from dataclasses import asdict, replace

import pytest
import torch

from symnets.models import FROM_DATA, architectures, find_architecture
from symnets.potentials import ModelConfig


def test_all_energy_models_are_found_and_nothing_else():
    expected = {"Allegro", "EGNN", "Invariant", "MACE", "NequIP", "Nequix", "SE3Transformer", "SevenNet"}
    assert set(architectures()) == expected | {"TensorFieldNetwork"}


@pytest.mark.parametrize("name", architectures())
def test_configuration_has_the_options_and_defaults_of_the_constructor(name):
    parameters = inspect.signature(architectures()[name]).parameters
    expected = {n: p.default for n, p in parameters.items() if n not in FROM_DATA}
    assert asdict(ModelConfig(name)) == {"architecture": name, **expected, "zbl": False}


@pytest.mark.parametrize("name", architectures())
def test_model_holds_all_arguments_of_its_constructor(name):
    taken = inspect.signature(architectures()[name]).parameters
    small = {"irreps": ("2x0e",) * 2} if name == "SevenNet" else {"channels": 4, "layers": 1, "lmax": 1}
    model = architectures()[name](["H", "O"], **{n: small[n] for n in small.keys() & taken.keys()})
    again = type(model)(**model.config)
    assert again.config == model.config
    assert set(model.config) == set(inspect.signature(type(model)).parameters)
    assert [n for n, _ in again.named_parameters()] == [n for n, _ in model.named_parameters()]


def test_configuration_is_copied_pickled_and_changed():
    config = ModelConfig("MACE", channels=8)
    assert pickle.loads(pickle.dumps(config)) == config
    assert replace(config, channels=16) == ModelConfig("MACE", channels=16)
    with pytest.raises(ValueError, match=r'write ModelConfig\("NequIP", \.\.\.\)'):
        replace(config, architecture="NequIP")


def test_unknown_architectures_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="unknown architecture 'mase'; did you mean 'MACE'"):
        find_architecture("mase")
    with pytest.raises(ValueError, match=r"torch\.nn:Linear: expected a torch\.nn\.Module with forward"):
        find_architecture("torch.nn:Linear")
    assert find_architecture("symnets.models:MACE") is architectures()["MACE"]


def test_constructor_that_forgets_an_argument_is_refused():
    from symnets.models import EnergyModel

    class Forgetful(EnergyModel):
        def __init__(self, species, *, cutoff=5.0, depth=2, mean_neighbors=1.0, shift=0.0, scale=1.0):
            super().__init__(
                species, cutoff, width=1, mean_neighbors=mean_neighbors, shift=shift, scale=scale, options={}
            )

        def forward(self, graph):
            return torch.zeros(len(graph.z))

    with pytest.raises(TypeError, match="all arguments of the constructor as options, but depth differ"):
        Forgetful(["H"])
