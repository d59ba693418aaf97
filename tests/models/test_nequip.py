"""NequIP: irreps, magnitude and precision of energies, and the graph of forces."""

import pytest
import torch
from ase.build import bulk, molecule
from e3nn import o3

from symnets.data import from_ase
from symnets.models import ForceField, NequIP


def test_without_parity_features_are_those_of_spherical_harmonics():
    model = NequIP(["H"], channels=4, layers=3, parity=False)
    assert model.interactions[1].irreps_out == o3.Irreps("4x0e+4x1o+4x2e")
    assert model.interactions[2].irreps_out == o3.Irreps("4x0e")


def test_with_parity_both_kinds_appear_once_reachable():
    model = NequIP(["H"], channels=4, layers=3, parity=True)
    assert model.interactions[0].irreps_out == o3.Irreps("4x0e+4x1o+4x2e")
    assert model.interactions[1].irreps_out == o3.Irreps("4x0e+4x1e+4x1o+4x2e+4x2o")


def test_fresh_network_predicts_numbers_of_order_one():
    torch.manual_seed(0)
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=0)
    graph = from_ase(atoms, 5.0)
    model = NequIP(["Cu"], channels=16, layers=3, mean_neighbors=graph.edge_index.shape[1] / len(atoms))
    out = ForceField(model).eval()(graph)
    assert 0.01 < out.node_energy.abs().mean() < 10


def test_total_energies_near_ten_thousand_keep_their_digits():
    torch.manual_seed(0)
    graph = from_ase(molecule("H2O"), 4.0)
    small = NequIP(["H", "O"], channels=4, layers=1, cutoff=4.0)
    energy = ForceField(small).eval()(graph).energy
    small.atomic_energy.shift += torch.tensor([-13.568422178253735, -9390.0], dtype=torch.float64)
    shifted = ForceField(small).eval()(graph).energy
    expected = energy - 2 * 13.568422178253735 - 9390.0
    torch.testing.assert_close(shifted, expected, rtol=0, atol=1e-11)


def test_options_are_checked():
    with pytest.raises(ValueError, match="shift: expected one number or 2"):
        NequIP(["H", "O"], shift=[1.0, 2.0, 3.0])


def test_training_mode_keeps_the_graph_of_the_forces():
    graph = from_ase(molecule("H2O"), 4.0)
    model = ForceField(NequIP(["H", "O"], channels=4, layers=2, cutoff=4.0))
    model.train()(graph).forces.square().sum().backward()
    assert model.energy_model.embedding.grad.abs().sum() > 0
    out = model.eval()(graph)
    assert not out.forces.requires_grad
    with torch.no_grad():
        assert torch.equal(model(graph).forces, out.forces)
