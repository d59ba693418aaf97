"""SE3Transformer: irreps, magnitude of energies, point clouds with features, and options."""

import pytest
import torch
from ase.build import bulk
from e3nn import o3
from jaxtyping import config
from torch import Tensor

from symnets.data import build_graphs, collate, from_ase, point_cloud
from symnets.models import ForceField, SE3Transformer
from symnets.ops import AttentionProduct
from symnets.simulate import compile, compile_error
from symnets.testing import assert_equivariant, assert_lawful, random_crystal, random_molecule

SMALL = {"cutoff": 2.0, "lmax": 1, "channels": 4, "heads": 2, "layers": 2, "radial_hidden": (4,)}


def test_features_are_those_of_spherical_harmonics_or_of_both_parities():
    natural = SE3Transformer(["H"], channels=4, layers=3)
    assert [layer.irreps_out for layer in natural.layers] == [
        o3.Irreps("4x0e+4x1o+4x2e"),
        o3.Irreps("4x0e+4x1o+4x2e"),
        o3.Irreps("4x0e"),
    ]
    both = SE3Transformer(["H"], channels=4, layers=3, lmax=1, parity=True)
    assert both.layers[1].irreps_out == o3.Irreps("4x0e+4x1e+4x1o")


def test_fresh_network_predicts_numbers_of_order_one():
    torch.manual_seed(0)
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=0)
    graph = from_ase(atoms, 5.0)
    neighbors = graph.edge_index.shape[1] / len(atoms)
    out = ForceField(SE3Transformer(["Cu"], channels=16, layers=2, lmax=1, mean_neighbors=neighbors)).eval()(
        graph
    )
    assert 0.01 < out.node_energy.abs().mean() < 10


@pytest.mark.slow  # all laws; with gates, tests/laws tries them
def test_with_norms_instead_of_gates_it_is_lawful():
    torch.manual_seed(0)
    options = SMALL | {"cutoff": 3.0, "layers": 1, "channels": 2, "n_basis": 4}
    assert_lawful(ForceField(SE3Transformer(["H", "O"], nonlinearity="norm", **options)))


def test_features_of_points_are_an_equivariant_input():
    torch.manual_seed(0)
    irreps = "1x1o+1x0e+1x1e"  # of multiplicity one: e3nn's order is that of symnets
    options = SMALL | {"irreps_input": irreps, "irreps_last": "3x0e+2x1o+1x1e"}
    model = SE3Transformer(["H"], **options).double()

    def node_features(positions: Tensor, features: Tensor) -> Tensor:
        return model.node_features(point_cloud(positions, 2.0, features=features))

    assert_equivariant(node_features, ["1o", irreps], model.irreps_features, tolerance=1e-11)
    graph = point_cloud([[0.0, 0.0, 0.0]], 2.0, features=[[1.0]])
    with pytest.raises(ValueError, match=r"features: expected shape \(1, 7\)"):
        model.node_features(graph)


def test_torch_func_differentiates_energies_by_weights():
    torch.manual_seed(0)
    model = SE3Transformer(["H"], **SMALL).double()
    graph = point_cloud(torch.randn(4, 3).double(), 2.0)
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def energy(weights: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(model, weights, (graph,)).sum()

    gradients = torch.func.grad(energy)(weights)
    used = [name for name, p in model.named_parameters() if p.requires_grad]
    expected = torch.autograd.grad(model(graph).sum(), [model.get_parameter(name) for name in used])
    for name, gradient in zip(used, expected, strict=True):
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-9, atol=1e-10)


def test_compiled_forces_agree_to_the_tolerance_and_those_of_plain_torch():
    torch.manual_seed(0)
    model = ForceField(SE3Transformer(["H", "O"], **SMALL | {"cutoff": 3.0})).double()
    compiled = compile(model, tolerance=1e-3)
    assert not [name for name, _ in compiled.named_modules() if name.endswith("attention.radial")]
    structures = [random_molecule((1, 8), 6, seed=0), random_crystal((1, 8), 3, seed=1)]
    graph = collate(build_graphs(structures, 3.0, dtype=torch.float64)).inputs
    assert 0 < compile_error(model, compiled, graph).forces < 1e-3
    fast = compiled(graph)
    for module in compiled.modules():
        if isinstance(module, AttentionProduct):
            module.implementation = "plain"
    torch.testing.assert_close(fast.forces, compiled(graph).forces, rtol=0, atol=1e-12)


def test_options_are_checked():
    with pytest.raises(ValueError, match="heads: expected a divisor of channels=4, got 3"):
        SE3Transformer(["H"], **SMALL | {"heads": 3})
    with pytest.raises(ValueError, match="irreps_last: no path leads to some of"):
        SE3Transformer(["H"], **SMALL | {"irreps_last": "4x0e+4x3o"})


def test_an_unknown_nonlinearity_is_refused():
    config.update("jaxtyping_disable", True)  # the type checker of the tests would refuse it first
    try:
        with pytest.raises(ValueError, match="nonlinearity: expected one of gate, norm, got 'relu'"):
            SE3Transformer(["H"], **SMALL | {"nonlinearity": "relu"})
    finally:
        config.update("jaxtyping_disable", False)
