"""Machine code of the nuclear repulsion against `WithZBL` in torch."""

import numpy as np
import pytest
import torch
from ase import Atoms
from torch import nn

from symnets.data import from_ase
from symnets.models import ForceField, WithZBL
from symnets.native import CannotLower, NativeProgram, ScaleAndShift, energy_program

CUTOFF = 2.5
SPECIES = (1, 6, 29, 79)


class Constants(nn.Module):
    """An energy for each species, so that forces are those of the repulsion."""

    def __init__(self) -> None:
        super().__init__()
        self.species, self.cutoff = SPECIES, CUTOFF
        self.register_buffer("energies", torch.tensor([-1.0, 2.0, 0.5, -3.0], dtype=torch.float64))

    def forward(self, graph):
        index = torch.tensor([SPECIES.index(z) for z in graph.z.tolist()])
        return self.energies[index]

    def lower(self, program, graph):
        energy = ScaleAndShift(program, program.lookup(torch.zeros(4, 1)), [1.0] * 4, self.energies.tolist())
        program.add(energy)
        return energy.out


def structure(n):
    """Random atoms, down to half of a bond's length apart, in a cell shorter than twice the cutoff."""
    rng = np.random.default_rng(n)
    numbers = rng.choice(SPECIES, n)
    return Atoms(numbers, rng.uniform(0, 4, (n, 3)), cell=[4.0, 4.2, 4.4], pbc=n % 2 == 0)


def arrays(graph):
    """Species, senders, receivers and vectors of a graph, sorted by receiver."""
    sender, receiver = graph.edge_index.numpy()
    order = np.argsort(receiver, kind="stable")
    species = np.searchsorted(SPECIES, graph.z.numpy())
    return species, sender[order], receiver[order], graph.edge_vectors().double().numpy()[order]


OPTIONS = [
    {},
    {"scale": 0.7, "order": 5, "coulomb": 14.4, "length": 0.4543, "exponent": 0.3},
    {"decays": (3.0, 1.0, 0.5, 0.25), "order": 1},
]


@pytest.fixture(params=[1, 2])
def threads(request, monkeypatch):
    """One thread, or two, for any number of edges."""
    monkeypatch.setattr(
        "symnets.native._native_program.MOST_EDGES_OF_ONE_THREAD", -1 if request.param == 2 else 10**9
    )
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("options", OPTIONS)
def test_energies_forces_and_virials_are_those_of_torch(options, threads):
    model = WithZBL(Constants(), **options)
    native = NativeProgram(energy_program(model), "float32" if threads == 2 else "float64")
    for n in (1, 2, 9, 12):
        graph = from_ase(structure(n), CUTOFF, dtype=torch.float64)
        expected = ForceField(model).eval()(graph)
        # The repulsion is computed in float64 in any program.
        found = native(*arrays(graph))
        largest = 1 + expected.forces.abs().max().item()
        np.testing.assert_allclose(found.energy, expected.node_energy, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=1e-12 * largest)
        if expected.stress is not None:
            stress = found.virials.sum(axis=0) / graph.cell.det().item()
            np.testing.assert_allclose(stress, expected.stress[0], rtol=0, atol=1e-12 * largest)


def test_an_envelope_of_order_0_has_no_native_code():
    with pytest.raises(CannotLower, match="order"):
        energy_program(WithZBL(Constants(), order=0))
