"""Errors of a force field against numbers computed by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from symnets.data import AtomGraph, labels
from symnets.models import ForceField
from symnets.observables import Error, Predictions, errors, predictions


class Springs(nn.Module):
    """Pair energy k (1 - r²/cutoff²)² of every edge, shared by both its atoms: zero at the cutoff."""

    def __init__(self, k: float = 1.5) -> None:
        super().__init__()
        self.species, self.cutoff = (1, 8), 3.0
        self.k = nn.Parameter(torch.tensor(k, dtype=torch.float64))
        self.dropout = nn.Dropout(0.5)  # shows which mode the model is in

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        squared = (graph.edge_vectors() ** 2).sum(1) / self.cutoff**2
        pair = self.dropout(self.k * (1 - squared) ** 2 / 2)
        return torch.zeros_like(graph.pos[:, 0]).index_add(0, graph.edge_index[1], pair)


def pair(distance: float, *, periodic: bool = False, **known: torch.Tensor) -> AtomGraph:
    """A hydrogen and an oxygen atom on the x axis."""
    return AtomGraph(
        pos=torch.tensor([[0.0, 0, 0], [distance, 0, 0]], dtype=torch.float64),
        z=torch.tensor([1, 8]),
        cell=10 * torch.eye(3, dtype=torch.float64)[None] * periodic,
        pbc=torch.full((1, 3), periodic),
        edge_index=torch.tensor([[1, 0], [0, 1]]),
        edge_shift=torch.zeros(2, 3, dtype=torch.float64),
        **known,
    )


def forces_of_pair(x: float) -> torch.Tensor:
    """Forces along x, as numbers: (hydrogen, oxygen)."""
    return torch.tensor([[x, 0, 0], [-x, 0, 0]], dtype=torch.float64)


def stress_of(value: float) -> torch.Tensor:
    return torch.full((1, 3, 3), value, dtype=torch.float64)


def energy_of(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def predicted(graphs: list[AtomGraph], model: nn.Module | None = None) -> Predictions:
    return predictions(model or ForceField(Springs()), [(graph, labels(graph)) for graph in graphs])


def test_predictions_are_the_model_in_evaluation_mode() -> None:
    field = ForceField(Springs(k=2.0))
    made = predicted([pair(1.5), pair(2.0)], field)
    expected = [2.0 * (1 - distance**2 / 9) ** 2 for distance in (1.5, 2.0)]
    np.testing.assert_allclose(made.energy, expected, rtol=1e-12)
    assert made.energy.dtype == np.float64
    assert made.n_atoms.tolist() == [2, 2]
    assert made.species.tolist() == [1, 8, 1, 8]
    assert made.owner.tolist() == [0, 0, 1, 1]


def test_model_mode_weights_and_random_state_are_left_as_found() -> None:
    field = ForceField(Springs())
    field.train()
    field.energy_model.eval()  # a mixed state must survive as well
    weights = {name: value.clone() for name, value in field.state_dict().items()}
    torch.manual_seed(0)
    before = torch.get_rng_state()

    def loader():
        torch.rand(3)
        yield pair(1.5), labels(pair(1.5))

    predictions(field, loader())
    assert field.training
    assert not field.energy_model.training
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(weights[name], value) for name, value in field.state_dict().items())
    assert all(parameter.grad is None for parameter in field.parameters())


def test_mode_is_restored_when_the_model_fails() -> None:
    field = ForceField(Springs()).train()
    with pytest.raises(AttributeError):
        predictions(field, [(None, None)])  # type: ignore[list-item]
    assert field.training


def test_input_is_not_mutated() -> None:
    graph = pair(1.5, energy=energy_of(1.0))
    before = graph.clone()
    predicted([graph])
    assert list(graph.keys()) == list(before.keys())
    assert torch.equal(graph.pos, before.pos)
    assert not graph.pos.requires_grad


def test_energy_errors_of_two_pairs() -> None:
    exact = [1.5 * (1 - distance**2 / 9) ** 2 for distance in (1.5, 2.0)]
    graphs = [pair(1.5, energy=energy_of(exact[0] - 3)), pair(2.0, energy=energy_of(exact[1] + 1))]
    found = errors(predicted(graphs))  # δ = 3, -1
    assert found.energy == Error(pytest.approx(2.0), pytest.approx(5**0.5), 2)
    assert found.energy_per_atom == Error(pytest.approx(1.0), pytest.approx(5**0.5 / 2), 2)
    assert found.energy_bias == pytest.approx(1.0)
    assert found.energy_shifted == Error(pytest.approx(2.0), pytest.approx(2.0), 2)
    assert found.forces is None
    assert found.forces_by_species == {}
    assert found.stress is None


def test_force_rmse_is_over_components_and_species() -> None:
    exact = predicted([pair(1.5)]).forces
    label = torch.from_numpy(exact.copy())
    label[0] += torch.tensor([3.0, 0, 0])  # hydrogen off by 3 along one axis
    label[1] += torch.tensor([1.0, -1, 1])  # oxygen off by 1 along each
    found = errors(predicted([pair(1.5, forces=label)]))
    assert found.forces == Error(pytest.approx(1.0), pytest.approx(2**0.5), 6)
    assert found.forces_by_species["H"] == Error(pytest.approx(1.0), pytest.approx(3**0.5), 3)
    assert found.forces_by_species["O"] == Error(pytest.approx(1.0), pytest.approx(1.0), 3)
    assert found.energy is None
    assert found.energy_bias is None


def test_total_energies_near_minus_9400_electronvolt_keep_their_digits() -> None:
    """A difference of 0.01 meV survives: float32 would round it to 1 meV."""
    base, offset = 1.5 * (1 - 2.25 / 9) ** 2, 1e-5

    class Deep(Springs):
        def forward(self, graph: AtomGraph) -> torch.Tensor:
            return super().forward(graph) - 4700.0

    graph = pair(1.5, energy=energy_of(base - 9400.0 + offset))
    found = errors(predicted([graph], ForceField(Deep())))
    assert found.energy is not None
    assert found.energy.rmse == pytest.approx(offset, rel=1e-4)


def test_nan_labels_are_skipped() -> None:
    exact = float(predicted([pair(1.5)]).energy[0])
    nan = float("nan")
    graphs = [
        pair(1.5, energy=energy_of(nan), forces=forces_of_pair(nan)),
        pair(1.5, energy=energy_of(exact + 2.0)),
    ]
    found = errors(predicted(graphs))
    assert found.energy == Error(pytest.approx(2.0), pytest.approx(2.0), 1)
    assert found.energy_shifted is None  # one number has no spread
    assert found.forces is not None
    assert found.forces.n == 4  # y and z of both atoms are labelled, x is not
    assert (found.n_structures, found.n_atoms) == (2, 4)


def test_stress_counts_periodic_structures_only() -> None:
    exact = torch.from_numpy(predicted([pair(1.5, periodic=True)]).stress)
    graphs = [
        pair(1.5, periodic=True, stress=exact - 0.25),
        pair(1.5, stress=stress_of(7.0)),
    ]
    found = errors(predicted(graphs))
    assert found.stress == Error(pytest.approx(0.25), pytest.approx(0.25), 9)


def test_nan_predictions_give_nan_errors() -> None:
    field = ForceField(Springs(k=float("nan")))
    made = predicted([pair(1.5, energy=energy_of(0.0)), pair(1.5, energy=energy_of(0.0))], field)
    found = errors(made)
    assert found.energy is not None
    assert np.isnan(found.energy.rmse)
    assert made.finite.tolist() == [False, False]


def test_empty_loader_is_an_error() -> None:
    with pytest.raises(ValueError, match="an empty loader"):
        predicted([])
