"""Models on a second device: nothing of the CPU comes near, and predictions are the CPU's."""

import copy
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import nn

from symnets.data import build_graphs, collate
from symnets.data.loader import Batch
from symnets.models import MACE, ForceField, Invariant, NequIP, SevenNet, WithZBL, load, save
from symnets.models.compiled import Compiled
from symnets.testing.structures import random_crystal, random_molecule
from tests.second_device import on_device, second_device

SPECIES = (1, 6, 8)
SMALL = {"cutoff": 4.0, "channels": 2, "layers": 2, "radial_hidden": (4,), "mean_neighbors": 10.0}
MODELS: dict[str, Callable[[], nn.Module]] = {
    "NequIP": partial(NequIP, SPECIES, lmax=1, **SMALL),
    "MACE": partial(MACE, SPECIES, lmax=2, correlation=2, **SMALL),
    "Invariant": partial(Invariant, SPECIES, lmax=2, **SMALL),
    "SevenNet": partial(SevenNet, SPECIES, cutoff=4.0, irreps=("2x0e", "2x0e+2x1e", "2x0e"), lmax=1),
    "SevenNet, xplor": partial(
        SevenNet,
        SPECIES,
        cutoff=4.0,
        irreps=("2x0e", "2x0e+2x1e", "2x0e"),
        lmax=1,
        switch_on=3.0,
        species_self_connection=True,
    ),
    "WithZBL": lambda: WithZBL(NequIP(SPECIES, lmax=1, **SMALL)),
}


@pytest.fixture(autouse=True)
def _device() -> Iterator[None]:
    with second_device():
        yield


def force_field(name: str, dtype: torch.dtype = torch.float64) -> ForceField:
    torch.manual_seed(0)
    return ForceField(MODELS[name]()).to(dtype)


def batch(dtype: torch.dtype = torch.float64) -> Batch:
    """A molecule and a crystal, as one batch with energies, forces and stresses to learn."""
    structures = [random_molecule(SPECIES, 4, seed=0), random_crystal(SPECIES, 2, seed=1)]
    graphs = build_graphs(structures, 4.0, dtype=dtype)
    for n, graph in enumerate(graphs):
        graph.energy = torch.tensor([float(n)], dtype=torch.float64)
        graph.forces = torch.full_like(graph.pos, 0.1)
    return collate(graphs)


def tolerance(dtype: torch.dtype) -> float:
    """The CPU has other loops than the twin: rounding differs, forces are sums of some hundred terms."""
    return 1e-10 if dtype == torch.float64 else 2e-4


def agree(there: torch.Tensor, here: torch.Tensor, what: str) -> None:
    assert on_device(there), what
    limit = tolerance(here.dtype) * max(float(here.abs().nan_to_num().max()), 1e-3)
    torch.testing.assert_close(there.cpu(), here, rtol=0, atol=limit, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_those_of_the_cpu(name: str, dtype: torch.dtype):
    here = force_field(name, dtype).eval()
    there = copy.deepcopy(here).to("cuda")
    expected = here(batch(dtype).inputs)
    for context in (torch.enable_grad, torch.no_grad):
        with context():
            predicted = there(batch(dtype).inputs.to("cuda"))
        for what, value, reference in zip(expected._fields, predicted, expected, strict=True):
            # Energies are float64, of a network in the model's dtype.
            agree(value.to(dtype), reference.to(dtype), what)
            assert value.dtype == reference.dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_is_that_of_the_cpu(name: str, dtype: torch.dtype):
    here = force_field(name, dtype).train()
    there = copy.deepcopy(here).to("cuda")
    for model, data in ((here, batch(dtype)), (there, batch(dtype).to("cuda"))):
        predicted = model(data.inputs)
        loss = (predicted.forces - data.targets.forces).square().mean()
        loss = loss + (predicted.energy - data.targets.energy).square().mean().to(dtype)
        loss = loss + predicted.stress.nan_to_num().square().mean()
        loss.backward()
    for (what, parameter), reference in zip(there.named_parameters(), here.parameters(), strict=True):
        if reference.grad is None:
            assert parameter.grad is None
        else:
            agree(parameter.grad, reference.grad, what)


@pytest.mark.parametrize("name", ["NequIP", "MACE", "WithZBL"])
def test_a_compiled_model_on_the_device(name: str):
    there = force_field(name).to("cuda").eval()
    compiled = Compiled(there.energy_model, 200)
    assert all(map(on_device, [*compiled.parameters(), *compiled.buffers()]))
    expected = Compiled(copy.deepcopy(there).to("cpu").energy_model, 200)(batch().inputs)
    predicted = compiled(batch().inputs.to("cuda"))
    agree(predicted.forces, expected.forces, "forces")
    agree(predicted.energy, expected.energy, "energy")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_saved_from_the_device_loads_on_the_cpu(name: str, tmp_path):
    here = force_field(name).eval()
    save(copy.deepcopy(here).to("cuda"), tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    for key, tensor in here.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key
    there = load(tmp_path / "model.safetensors", device="cuda")
    assert all(map(on_device, [*there.parameters(), *there.buffers()]))
    agree(there(batch().inputs.to("cuda")).forces, here(batch().inputs).forces, "forces")


def test_a_graph_left_on_the_cpu_is_refused():
    there = force_field("NequIP").to("cuda").eval()
    with pytest.raises(RuntimeError, match=r"same device|on the same device"):
        there(batch().inputs)


def test_an_unknown_element_on_the_device_is_named():
    there = force_field("NequIP").to("cuda").eval()
    graph = batch().inputs.to("cuda")
    graph.z[0] = 9
    with pytest.raises(ValueError, match="holds F, but this model knows H, C, O"):
        there(graph)
