"""ForceField beyond the laws: mixed batches, modes, dtypes."""

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from torch_geometric.loader import DataLoader

from symnets.data import build_graphs, collate, from_ase
from symnets.models import ForceField, NequIP
from symnets.training import energy_term, forces_term, stress_term, weighted_sum


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ForceField(NequIP(["H", "O", "Cu"], cutoff=3.0, channels=4, layers=2, lmax=1)).eval()


def labelled(atoms: Atoms, **results) -> Atoms:
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=0 * atoms.positions, **results)
    return atoms


@pytest.fixture
def mixed():
    """A molecule without stress and a crystal with one."""
    return build_graphs([labelled(molecule("H2O")), labelled(bulk("Cu"), stress=[0.01] * 6)], 3.0)


def test_molecules_and_crystals_have_the_same_prediction_in_one_batch_as_alone(model, mixed):
    together = model(collate(mixed).inputs)
    assert together.stress[0].isnan().all()
    alone = model(mixed[1])
    torch.testing.assert_close(together.stress[1:], alone.stress)
    torch.testing.assert_close(together.forces[3:], alone.forces)


@pytest.mark.parametrize("chosen", [[0, 1], [0], [1]], ids=["mixed", "molecule", "crystal"])
def test_stress_is_learnt_from_the_structures_that_have_one(model, mixed, chosen):
    batch = collate([mixed[i] for i in chosen])
    loss = weighted_sum((1.0, energy_term()), (1.0, forces_term()), (1.0, stress_term()))
    value = loss(model.train()(batch.inputs), batch.targets)
    value.mean().backward()
    assert value.isfinite().all()
    gradients = [p.grad for p in model.parameters() if p.requires_grad and p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_forces_are_the_same_in_inference_mode_and_under_no_grad(model):
    graph = from_ase(molecule("H2O"), 3.0)
    expected = model(graph)
    with torch.inference_mode():
        outside, inside = model(graph), model(from_ase(molecule("H2O"), 3.0))
    with torch.no_grad():
        without = model(graph)
    for found in (outside, inside, without):
        assert torch.equal(found.forces, expected.forces)
    model.train()(graph).forces.square().sum().backward()  # nothing of inference mode is left behind


def test_wrong_dtype_says_what_to_do(model):
    with pytest.raises(ValueError, match=r"model's torch.float32, got torch.float64; build it with from_ase"):
        model(from_ase(molecule("H2O"), 3.0, dtype=torch.float64))


def test_pyg_data_loader_collates_graphs(model):
    graphs = build_graphs([molecule("H2O"), bulk("Cu"), molecule("OH")], 3.0)
    (batch,) = DataLoader(graphs, batch_size=3)
    energies = [model(graph).energy for graph in graphs]
    torch.testing.assert_close(model(batch).energy, torch.cat(energies))
