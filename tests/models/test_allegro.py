"""Allegro: strict locality, which message passing lacks; irreps of its layers; features of atoms."""

import pytest
import torch
from ase import Atoms
from ase.build import bulk
from e3nn import o3

from symnets.data import AtomGraph, build_graphs, from_ase
from symnets.models import Allegro, EnergyModel, ForceField, NequIP
from symnets.simulate import compile
from symnets.testing import assert_equivariant

SMALL = {"channels": 4, "latent": 8, "hidden": (8,), "cutoff": 3.0, "mean_neighbors": 3.0}
CHAIN = Atoms("CHOCHOCH", [(1.1 * n, 0.4 * (n % 3), 0.3 * (n % 2)) for n in range(8)])
"""A chain of atoms; those within the cutoff of 3 Å of atom 0 are 1 and 2."""


def energies(model: EnergyModel, positions: torch.Tensor, graph: AtomGraph) -> torch.Tensor:
    """Energy of each atom as a function of positions, for the edges of a graph."""
    moved = graph.clone()
    moved.pos = positions
    return model(moved)


def reach(model: EnergyModel) -> tuple[bool, torch.Tensor]:
    """Whether atom 0's energy keeps all bits when atoms beyond the cutoff move, and its gradient there."""
    graph = from_ase(CHAIN, model.cutoff, dtype=torch.float64)
    near = torch.zeros(len(CHAIN), dtype=torch.bool).scatter_(
        0, graph.edge_index[0][graph.edge_index[1] == 0], True
    )
    near[0] = True
    assert near.tolist() == [True] * 3 + [False] * 5
    positions = graph.pos.clone().requires_grad_()
    before = energies(model, positions, graph)[0]
    (gradient,) = torch.autograd.grad(before, positions)
    far = graph.pos + 0.05 * torch.sin(torch.arange(24.0).double().view(8, 3)) * ~near[:, None]
    return bool(before == energies(model, far, graph)[0]), gradient[~near]


@pytest.mark.parametrize("layers", [1, 3])
def test_energies_of_atoms_do_not_depend_on_atoms_beyond_the_cutoff(layers):
    torch.manual_seed(0)
    same_bits, gradient = reach(Allegro(["H", "C", "O"], layers=layers, **SMALL).double())
    assert same_bits
    assert not gradient.any()


def test_energies_of_message_passing_depend_on_atoms_beyond_the_cutoff():
    """The same test, for a network of two layers, which depends on atoms up to twice the cutoff away."""
    torch.manual_seed(0)
    same_bits, gradient = reach(NequIP(["H", "C", "O"], layers=2, channels=4, cutoff=3.0).double())
    assert not same_bits
    assert gradient.abs().max() > 1e-6


def test_an_atom_alone_has_the_energy_of_its_species_with_any_surroundings_beyond_the_cutoff():
    torch.manual_seed(0)
    model = Allegro(["H", "O"], shift=(-13.6, -2040.0), **SMALL)
    (graph,) = build_graphs([Atoms("OH", [(0, 0, 0), (0, 0, 3.1)])], 3.0)
    assert model(graph).tolist() == [-2040.0, -13.6]


def test_energy_depends_on_angles_and_on_dihedral_angles():
    """Neighbours of one centre at fixed distances from it, of which one is turned around an axis."""
    torch.manual_seed(0)
    model = Allegro(["C"], layers=2, **SMALL).double()

    def energy(angle: float) -> float:
        turned = (0.9 * torch.tensor(angle).cos(), 0.9 * torch.tensor(angle).sin(), -0.5)
        atoms = Atoms("C4", [(0, 0, 0), (1.2, 0, 0.3), (0.3, 0, 1.2), turned])
        graph = from_ase(atoms, 3.0, dtype=torch.float64)
        centre = graph.edge_index[1] == 0
        graph.edge_index, graph.edge_shift = graph.edge_index[:, centre], graph.edge_shift[centre]
        return model(graph)[0].item()

    assert abs(energy(0.5) - energy(1.5)) > 1e-3
    assert energy(0.5) == pytest.approx(energy(-0.5), abs=1e-12)  # its mirror image


def test_irreps_that_cannot_contribute_are_left_out():
    def irreps(**options: object) -> list[str]:
        return [str(layer.irreps_out) for layer in Allegro(["H"], **SMALL, **options).interactions]

    assert irreps(layers=2) == irreps(layers=2, parity=False) == ["4x0e+4x1o+4x2e", ""]
    assert irreps(layers=3) == ["4x0e+4x1e+4x1o+4x2e+4x2o", "4x0e+4x1o+4x2e", ""]
    assert irreps(layers=3, parity=False) == ["4x0e+4x1o+4x2e"] * 2 + [""]
    assert irreps(layers=2, irreps_last="2x0e+3x1e") == ["4x0e+4x1e+4x1o+4x2e+4x2o", "3x1e"]
    assert irreps(layers=1) == [""]


def test_features_have_the_irreps_asked_for():
    torch.manual_seed(0)
    model = Allegro(["H", "C", "O"], irreps_last="3x0e+2x1o+5x2e+1x1e", **SMALL).double()
    graph = from_ase(CHAIN[:4], 3.0, dtype=torch.float64)
    assert model.irreps_features == o3.Irreps("3x0e+2x1o+5x2e+1x1e")

    def features(positions: torch.Tensor) -> torch.Tensor:
        moved = graph.clone()
        moved.pos = positions
        return model.node_features(moved)

    assert_equivariant(features, ["1o"], model.irreps_features, n=4, tolerance=1e-11)
    assert features(graph.pos).abs().min() > 0
    assert Allegro(["H"], **SMALL).irreps_features == o3.Irreps("8x0e")
    with pytest.raises(ValueError, match="irreps_last: no path leads to 0o"):
        Allegro(["H"], layers=1, irreps_last="2x0e+2x0o", **SMALL)


def test_fresh_network_predicts_numbers_of_order_one():
    torch.manual_seed(0)
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=0)
    graph = from_ase(atoms, 5.0)
    model = Allegro(["Cu"], mean_neighbors=graph.edge_index.shape[1] / len(atoms))
    out = ForceField(model).eval()(graph)
    assert 0.01 < out.node_energy.abs().mean() < 10


def test_compilation_is_refused():
    """Weights of products depend on other neighbours, so that no table of the distance can replace them."""
    with pytest.raises(
        ValueError, match=r"Allegro cannot be compiled: expected symnets\.nn\.Convolution or Attention"
    ):
        compile(ForceField(Allegro(["H", "O"], **SMALL)))
