"""Models on a second device: all tensors stay on it, and predictions agree with those of the CPU."""

import copy
from collections.abc import Iterator
from typing import TypeVar

import pytest
import torch
from torch import nn

from symnets.models import Compiled, load, save
from tests.models.small import MODELS, batch, deviation, force_field, gradient
from tests.second_device import on_device, second_device

Module = TypeVar("Module", bound=nn.Module)

DTYPES = [(torch.float64, 1e-12), pytest.param(torch.float32, 1e-5, marks=pytest.mark.slow)]
"""Each dtype with the tolerance for rounding: the operations are the same, strides of matrices may differ."""


@pytest.fixture(autouse=True)
def _device() -> Iterator[None]:
    with second_device():
        yield


def twin(model: Module) -> Module:
    """A copy on the CPU in plain torch, with which other tests compare the numba loops of the CPU."""
    model = copy.deepcopy(model).to("cpu")
    for module in model.modules():
        if hasattr(module, "implementation"):
            module.implementation = "plain"  # pyright: ignore[reportAttributeAccessIssue]
    return model


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_those_of_the_cpu(name: str, dtype: torch.dtype, tolerance: float):
    there = force_field(name, dtype).to("cuda").eval()
    expected = twin(there)(batch(dtype).inputs)
    for context in (torch.enable_grad, torch.no_grad):
        with context():
            predicted = there(batch(dtype).inputs.to("cuda"))
        for what, value, reference in zip(expected._fields, predicted, expected, strict=True):
            assert on_device(value), what
            assert value.dtype == reference.dtype, what
            assert deviation(value, reference) < tolerance, what


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_a_training_are_those_of_the_cpu(name: str, dtype: torch.dtype, tolerance: float):
    there = force_field(name, dtype).to("cuda")
    expected = gradient(twin(there), batch(dtype))
    found = gradient(there, batch(dtype).to("cuda"))
    assert found.keys() == expected.keys()
    for what, value in found.items():
        assert on_device(value), what
        assert deviation(value, expected[what]) < tolerance, what


@pytest.mark.parametrize("name", ["NequIP", pytest.param("MACE", marks=pytest.mark.slow)])
def test_a_model_is_compiled_where_it_is(name: str):
    there = force_field(name).to("cuda").eval()
    compiled = Compiled(there.energy_model, 200)
    assert all(map(on_device, [*compiled.parameters(), *compiled.buffers()]))
    expected = twin(Compiled(twin(there).energy_model, 200))(batch().inputs)
    assert deviation(compiled(batch().inputs.to("cuda")).forces, expected.forces) < 1e-12


@pytest.mark.parametrize("name", MODELS)
def test_a_model_saved_from_the_device_loads_on_the_cpu(name: str, tmp_path):
    here = force_field(name)
    save(copy.deepcopy(here).to("cuda"), tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors").state_dict()
    assert all(torch.equal(again[key], tensor) for key, tensor in here.state_dict().items())
    there = load(tmp_path / "model.safetensors", device="cuda")
    assert all(map(on_device, [*there.parameters(), *there.buffers()]))


def test_a_graph_left_on_the_cpu_is_refused():
    there = force_field("NequIP").to("cuda").eval()
    with pytest.raises(RuntimeError, match="same device"):
        there(batch().inputs)


def test_an_unknown_element_on_the_device_is_named():
    there = force_field("NequIP").to("cuda").eval()
    graph = batch().inputs.to("cuda")
    graph.z[0] = 9
    with pytest.raises(ValueError, match="has F, but the elements of this model are H, C, O"):
        there(graph)
