"""Tangent kernels of energies and forces against double backward passes and finite differences."""

from collections.abc import Callable

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from torch import Tensor, nn
from torch_geometric.data import Batch

from symnets.data import AtomGraph, from_ase
from symnets.models import MACE, ForceField, NequIP
from symnets.observables import potential_tangent_kernel, tangent_kernel

CUTOFF = 3.0


def nequip() -> nn.Module:
    return NequIP(
        ["H", "O", "Na"], cutoff=CUTOFF, lmax=1, channels=3, layers=2, n_basis=4, radial_hidden=(5,)
    )


def mace() -> nn.Module:
    return MACE(["H", "O", "Na"], cutoff=CUTOFF, lmax=1, channels=3, n_basis=4, radial_hidden=(5,))


class ByLoops(nn.Module):
    """Calls autograd itself, which torch.func does not go through."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nequip()
        self.species, self.cutoff = self.inner.species, self.inner.cutoff

    def forward(self, graph: AtomGraph) -> Tensor:
        energies = self.inner(graph)
        (slope,) = torch.autograd.grad(energies.sum(), graph.pos, create_graph=True)
        return energies + slope.square().sum(1)


MODELS: dict[str, Callable[[], nn.Module]] = {"nequip": nequip, "mace": mace, "by_loops": ByLoops}


def model_of(name: str) -> ForceField:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ForceField(MODELS[name]().double()).eval()


def batch(*structures: Atoms) -> AtomGraph:
    graphs = []
    for seed, atoms in enumerate(structures):
        shaken = atoms.copy()
        shaken.rattle(0.1, seed=seed)
        graphs.append(from_ase(shaken, CUTOFF, dtype=torch.float64))
    return Batch.from_data_list(graphs)  # pyright: ignore[reportReturnType]


def water_and_sodium() -> AtomGraph:
    return batch(molecule("H2O"), bulk("Na", "bcc", 3.2, cubic=True), molecule("OH"))


def double_backward(model: ForceField, graph: AtomGraph) -> tuple[Tensor, Tensor]:
    """∇_w E, (graphs, N), and ∇_w F, (3 atoms, N), row by row."""
    out = model.train()(graph)
    model.eval()
    parameters = [p for p in model.parameters() if p.requires_grad]

    def rows(values: Tensor) -> Tensor:
        found = []
        for value in values.flatten():
            parts = torch.autograd.grad(
                value, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            found.append(torch.cat([part.flatten() for part in parts]))
        return torch.stack(found)

    return rows(out.energy), rows(out.forces)


def assert_equal(found: Tensor, expected: Tensor) -> None:
    """To 1e-12 of the largest entry: sums over thousands of parameters, of either sign."""
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12 * float(expected.abs().max()))


@pytest.mark.parametrize("name", MODELS)
def test_blocks_are_products_of_gradients(name: str) -> None:
    model, one, two = model_of(name), water_and_sodium(), batch(molecule("OH"))
    e1, f1 = double_backward(model, one)
    e2, f2 = double_backward(model, two)
    cross, own = potential_tangent_kernel(model, one, two), potential_tangent_kernel(model, one)
    assert_equal(cross.energy_energy, e1 @ e2.T)
    assert_equal(cross.energy_force, e1 @ f2.T)
    assert_equal(cross.force_energy, f1 @ e2.T)
    assert_equal(cross.force_force, f1 @ f2.T)
    assert_equal(own.matrix, torch.cat([e1, f1]) @ torch.cat([e1, f1]).T)


@pytest.mark.parametrize("max_bytes", [1, 80_000])
def test_blocks_of_structures_give_the_same_kernel(max_bytes: int) -> None:
    model, one, two = model_of("nequip"), batch(molecule("OH"), molecule("H2O")), batch(molecule("OH"))
    for columns in (None, two):
        expected = potential_tangent_kernel(model, one, columns).matrix
        assert_equal(potential_tangent_kernel(model, one, columns, max_bytes=max_bytes).matrix, expected)


def test_forces_are_minus_derivatives_by_positions() -> None:
    model, one, two = model_of("nequip"), batch(molecule("OH")), batch(molecule("H2O"))
    kernel, step = potential_tangent_kernel(model, one, two), 1e-5
    for component in (0, 4):
        moved = []
        for sign in (1, -1):
            graph = two.clone()
            graph.pos.view(-1)[component] += sign * step
            moved.append(potential_tangent_kernel(model, one, graph))
        energy = -(moved[0].energy_energy - moved[1].energy_energy)[:, 0] / (2 * step)
        force = -(moved[0].force_energy - moved[1].force_energy)[:, 0] / (2 * step)
        # Central differences: rounding 1e-16 / 1e-5 and curvature 1e-10, relative to the kernel itself.
        size = float(kernel.matrix.abs().max())
        torch.testing.assert_close(kernel.energy_force[:, component], energy, rtol=0, atol=1e-8 * size)
        torch.testing.assert_close(kernel.force_force[:, component], force, rtol=0, atol=1e-8 * size)


def test_energies_have_the_tangent_kernel_of_the_model() -> None:
    model, graph = model_of("nequip"), water_and_sodium()
    assert_equal(potential_tangent_kernel(model, graph).energy_energy, tangent_kernel(model, graph))


def test_frozen_parameters_are_left_out() -> None:
    model, graph = model_of("nequip"), water_and_sodium()
    for index, p in enumerate(model.parameters()):
        p.requires_grad_(p.requires_grad and index % 2 == 0)
    e, f = double_backward(model, graph)
    assert_equal(potential_tangent_kernel(model, graph).matrix, torch.cat([e, f]) @ torch.cat([e, f]).T)


def test_float32_gives_float32() -> None:
    model, graph = model_of("nequip").float(), batch(molecule("H2O"))
    exact = potential_tangent_kernel(model.double(), graph).matrix
    graph.pos, graph.cell = graph.pos.float(), graph.cell.float()
    graph.edge_shift = graph.edge_shift.float()
    found = potential_tangent_kernel(model.float(), graph).matrix
    assert found.dtype == torch.float32
    assert float((found - exact).abs().max()) < 1e-5 * float(exact.abs().max())


def test_modified_force_fields_are_refused() -> None:
    model, graph = model_of("nequip"), water_and_sodium()
    model.register_forward_hook(lambda module, inputs, output: output)
    with pytest.raises(ValueError, match="expected an unmodified ForceField, but it has hooks"):
        potential_tangent_kernel(model, graph)
    frozen = model_of("nequip").requires_grad_(False)
    with pytest.raises(ValueError, match="expected parameters with requires_grad=True"):
        potential_tangent_kernel(frozen, graph)
