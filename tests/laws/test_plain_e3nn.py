"""A potential of plain e3nn layers, written as in e3nn's own examples, is trained, checked and saved."""

from functools import cache
from pathlib import Path

import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from e3nn import nn as e3nn_nn
from e3nn import o3
from e3nn.math import soft_one_hot_linspace
from torch import nn

from symnets.data import AtomGraph, Loader, collate, from_ase
from symnets.models import ForceField, load, save
from symnets.testing import LAWS, Law
from symnets.training import (
    Trainer,
    TrainState,
    descend,
    energy_term,
    every,
    forces_term,
    max_steps,
    weighted_sum,
)
from tests.laws.toys import EmbeddedAtom

SILU = torch.nn.functional.silu


class E3nnPotential(nn.Module):
    """Two convolutions with `FullyConnectedTensorProduct`, a gate between them; no layer of symnets."""

    def __init__(self, species: list[int], cutoff: float = 3.0) -> None:
        super().__init__()
        self.species, self.cutoff = species, cutoff
        self.config = {"species": species, "cutoff": cutoff}
        self.irreps_sh = o3.Irreps.spherical_harmonics(1)
        self.gate = e3nn_nn.Gate("4x0e", [SILU], "2x0e", [SILU], "2x1o")
        self.first = self.product(o3.Irreps(f"{len(species)}x0e"), self.gate.irreps_in)
        self.second = self.product(self.gate.irreps_out, o3.Irreps("4x0e"))
        self.radial = nn.ModuleList(
            e3nn_nn.FullyConnectedNet([4, 8, tp.weight_numel], SILU) for tp in (self.first, self.second)
        )
        self.readout = o3.Linear("4x0e", "1x0e")

    def product(self, irreps_in: o3.Irreps, irreps_out: o3.Irreps) -> o3.FullyConnectedTensorProduct:
        return o3.FullyConnectedTensorProduct(irreps_in, self.irreps_sh, irreps_out, shared_weights=False)

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        sender, receiver = graph.edge_index
        vectors = graph.edge_vectors()
        harmonics = o3.spherical_harmonics(self.irreps_sh, vectors, True, "component")
        basis = soft_one_hot_linspace(vectors.norm(dim=1), 0.0, self.cutoff, 4, "smooth_finite", True)
        x = (graph.z[:, None] == torch.tensor(self.species, device=graph.z.device)).to(graph.pos)
        for tp, radial in zip((self.first, self.second), self.radial, strict=True):
            messages = tp(x[sender], harmonics, radial(basis))
            x = messages.new_zeros(len(x), messages.shape[1]).index_add(0, receiver, messages) / 4
            x = self.gate(x) if tp is self.first else x
        return self.readout(x).squeeze(1)


@cache
def potential() -> ForceField:
    """With seeded weights, in float64 and evaluation mode, built once."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ForceField(E3nnPotential([1, 6, 8])).double().eval()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_law(law: Law) -> None:
    law(potential())


def labelled() -> list[AtomGraph]:
    """Four shaken water molecules with energies and forces of an embedded-atom potential."""
    generator, teacher, graphs = torch.Generator().manual_seed(0), ForceField(EmbeddedAtom()).eval(), []
    water = torch.tensor([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]], dtype=torch.float64)
    for _ in range(4):
        positions = water + 0.1 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
        atoms = Atoms("OHH", positions.numpy())
        labels = teacher(collate([from_ase(atoms, 4.0, dtype=torch.float64)]).inputs)
        forces = 0.01 * labels.forces.numpy()  # of order 0.1 eV/Å
        atoms.calc = SinglePointCalculator(atoms, energy=0.01 * float(labels.energy), forces=forces)
        graphs.append(from_ase(atoms, 3.0, dtype=torch.float64))
    return graphs


def test_it_is_trained_and_its_file_gives_the_same_forces(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ForceField(E3nnPotential([1, 6, 8])).double()
    loss = weighted_sum((1.0, energy_term()), (1.0, forces_term()))
    state = TrainState(model, torch.optim.Adam(model.parameters(), 0.03))
    history = Trainer(max_steps(30), {"loss": lambda s: s.loss}, every(1)).fit(
        descend(state, loss, Loader(labelled(), 4))
    )
    losses = [row["loss"] for row in history.rows]
    assert losses[-1] < losses[0] / 2

    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors", ForceField, classes=[E3nnPotential])
    graph = collate(labelled()).inputs
    assert torch.equal(again(graph).forces, model.eval()(graph).forces)
