"""ModelContents: every change of a model that invalidates its native program is noticed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.modules.module as registry
from torch import nn

from symnets.models import Compiled
from symnets.models._model_contents import ModelContents
from tests.native.models import compiled
from tests.native.test_force_field import graph


@pytest.fixture
def model() -> Compiled:
    return compiled("NequIP of one layer")


def scale(model: nn.Module) -> torch.Tensor:
    """The scale of the energies, a buffer or parameter."""
    return model.get_submodule("energy_model.atomic_energy").scale  # pyright: ignore


def layer(model: nn.Module) -> nn.Module:
    """The first module with parameters of its own."""
    return next(m for m in model.modules() if m._parameters)


def replace_parameter(model: nn.Module) -> None:
    owner = layer(model)
    name = next(iter(owner._parameters))
    setattr(owner, name, nn.Parameter(owner._parameters[name].clone(), requires_grad=False))  # pyright: ignore


def replace_data(model: nn.Module) -> None:
    scale(model).data = scale(model).clone()


CHANGES: dict[str, Callable[[nn.Module], Any]] = {
    "in place": lambda model: scale(model).mul_(2),
    "one element": lambda model: scale(model).view(-1).__setitem__(0, 3.0),
    "values of a state dict": lambda model: model.load_state_dict(model.state_dict()),
    "other memory": replace_data,
    "another parameter": replace_parameter,
    "a new parameter": lambda model: layer(model).register_parameter("extra", nn.Parameter(torch.ones(1))),
    "another module": lambda model: setattr(model.energy_model, "atomic_energy", nn.Identity()),
    "a new module": lambda model: model.energy_model.add_module("extra", nn.Identity()),  # pyright: ignore
    "a hook": lambda model: layer(model).register_forward_hook(lambda *arguments: None),
    "a hook before": lambda model: layer(model).register_forward_pre_hook(lambda *arguments: None),
    "a hook of gradients": lambda model: layer(model).register_full_backward_hook(lambda *arguments: None),
    "another forward": lambda model: setattr(layer(model), "forward", lambda *arguments: None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_noticed(model: Compiled, change: str) -> None:
    contents = ModelContents(model)
    assert contents.same()
    CHANGES[change](model)
    assert not contents.same()


def test_global_hooks_are_noticed(model: Compiled) -> None:
    contents = ModelContents(model)
    handle = registry.register_module_forward_hook(lambda *arguments: None)
    try:
        assert not contents.same()
    finally:
        handle.remove()
    assert contents.same()


def test_calls_and_settings_are_no_changes(model: Compiled) -> None:
    contents = ModelContents(model)
    model(graph("molecule"))
    model.eval().requires_grad_(False).state_dict()
    model.use_native = False
    model(graph("molecule"))
    assert contents.same()


def test_a_change_through_data_is_noticed_after_a_move(model: Compiled) -> None:
    inputs = graph("crystal")
    before = model(inputs).forces
    scale(model).data.mul_(2)
    torch.testing.assert_close(model.to("cpu")(inputs).forces, 2 * before, rtol=0, atol=1e-10)
