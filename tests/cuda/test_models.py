"""Models on a GPU: predictions, gradients and files equal those of the CPU."""

import copy

import pytest
import torch

from symnets.models import load, save
from tests.models.small import MODELS, batch, deviation, force_field, gradient

DTYPES = [(torch.float64, 1e-10), (torch.float32, 1e-3)]
"""Tolerances: sums have no fixed order on a GPU; float32 loses three digits in second derivatives."""


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_those_of_the_cpu(
    name: str, dtype: torch.dtype, tolerance: float, device: torch.device
) -> None:
    here = force_field(name, dtype).eval()
    there = copy.deepcopy(here).to(device)
    expected = here(batch(dtype).inputs)
    for context in (torch.enable_grad, torch.inference_mode):
        with context():
            predicted = there(batch(dtype).to(device).inputs)
        for what, value, reference in zip(expected._fields, predicted, expected, strict=True):
            assert value.device.type == device.type, what
            assert value.dtype == reference.dtype, what
            assert deviation(value, reference) < tolerance, what


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_a_training_are_those_of_the_cpu(
    name: str, dtype: torch.dtype, tolerance: float, device: torch.device
) -> None:
    here = force_field(name, dtype)
    there = copy.deepcopy(here).to(device)
    expected, found = gradient(here, batch(dtype)), gradient(there, batch(dtype).to(device))
    assert found.keys() == expected.keys()
    for what, value in found.items():
        assert value.device.type == device.type, what
        assert deviation(value, expected[what]) < tolerance, what


@pytest.mark.parametrize("name", MODELS)
def test_five_steps_of_training_are_those_of_the_cpu(name: str, device: torch.device) -> None:
    here = force_field(name)
    there = copy.deepcopy(here).to(device)
    for model, data in ((here, batch()), (there, batch().to(device))):
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
        for _ in range(5):
            for what, value in gradient(model, data).items():
                model.get_parameter(what).grad = value
            optimizer.step()
    for (what, value), reference in zip(there.named_parameters(), here.parameters(), strict=True):
        if value.numel():
            assert deviation(value, reference) < 1e-8, what


@pytest.mark.parametrize("name", MODELS)
def test_a_model_saved_from_the_device_loads_on_the_cpu(name: str, device: torch.device, tmp_path) -> None:
    here = force_field(name)
    save(copy.deepcopy(here).to(device), tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors").state_dict()
    assert all(torch.equal(again[key], tensor) for key, tensor in here.state_dict().items())
    there = load(tmp_path / "model.safetensors", device=device)
    expected = here.eval()(batch().inputs)
    assert deviation(there(batch().to(device).inputs).forces, expected.forces) < 1e-10


def test_sizes_of_graphs_may_change(device: torch.device) -> None:
    """TorchScript compiles spherical harmonics anew for new sizes."""
    here = force_field("NequIP").eval()
    there = copy.deepcopy(here).to(device)
    data = batch().inputs
    for n in (1, 2, 3, 4, 3):
        part = copy.copy(data)
        part.pos = data.pos * (0.7 + 0.1 * n)
        keep = part.edge_vectors().norm(dim=1) < 4.0
        part.edge_index, part.edge_shift = data.edge_index[:, keep], data.edge_shift[keep]
        expected, found = here(part), there(copy.copy(part).to(device))
        assert deviation(found.forces, expected.forces) < 1e-10
        assert deviation(found.energy, expected.energy) < 1e-10


def test_an_unknown_element_on_the_device_is_named(device: torch.device) -> None:
    there = force_field("NequIP").to(device).eval()
    graph = batch().to(device).inputs
    graph.z[0] = 9
    with pytest.raises(ValueError, match="has F, but the elements of this model are H, C, O"):
        there(graph)
