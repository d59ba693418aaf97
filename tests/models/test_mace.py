"""MACE: body order, irreps and readouts."""

from itertools import combinations

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from e3nn import o3

from symnets.data import from_ase
from symnets.models import MACE, ForceField, load, save
from symnets.nn import EdgeGeometry, ManyBodyInteraction

DIRECTIONS = torch.tensor([[1.1, 0.2, 0.1], [-0.3, 1.2, 0.4], [0.2, -0.5, 1.3], [-0.9, -0.8, -0.4]])


def of_subset(layer: ManyBodyInteraction, edges: EdgeGeometry, neighbours: tuple[int, ...]) -> torch.Tensor:
    """Features of a carbon with some of four hydrogens, which have no edges between each other."""
    atoms = Atoms("C" + "H" * len(neighbours), [(0, 0, 0), *(1.5 * DIRECTIONS[list(neighbours)]).tolist()])
    graph = from_ase(atoms, edges.basis.cutoff, dtype=torch.float64)
    centre = graph.edge_index[1] == 0
    graph.edge_index, graph.edge_shift = graph.edge_index[:, centre], graph.edge_shift[centre]
    species = (graph.z == 1).long()
    features = torch.ones(len(atoms), 4).double() + species[:, None]
    return layer(features, edges(graph), graph.edge_index, species)[0]


@pytest.mark.parametrize("correlation", [1, 2, 3])
def test_a_layer_is_of_body_order_correlation_plus_one(correlation):
    """The alternating sum over all subsets of n neighbours is the part that depends on all n together."""
    torch.manual_seed(0)
    edges = EdgeGeometry(5.0, 2, 4).double()
    layer = ManyBodyInteraction(
        "4x0e",
        edges.irreps_filter,
        "4x0e+4x1o",
        correlation=correlation,
        n_species=2,
        n_basis=4,
        radial_hidden=(8,),
        mean_neighbors=1.0,
    ).double()

    def term(n: int) -> torch.Tensor:
        sums = [
            (-1) ** size * of_subset(layer, edges, subset)
            for size in range(1, n + 1)
            for subset in combinations(range(n), size)
        ]
        return torch.stack(sums).sum(0) + of_subset(layer, edges, ())

    assert term(correlation).abs().max() > 1e-3
    torch.testing.assert_close(term(correlation + 1), torch.zeros(16).double(), rtol=0, atol=1e-12)


def test_features_have_the_requested_irreps():
    model = MACE(["H"], channels=4, layers=3, lmax=2, feature_lmax=1)
    ins_and_outs = [(str(i.convolution.irreps_in), str(i.irreps_out)) for i in model.interactions]
    assert ins_and_outs == [("4x0e", "4x0e+4x1o"), ("4x0e+4x1o", "4x0e+4x1o"), ("4x0e+4x1o", "4x0e")]
    assert model.interactions[1].product.irreps_in == o3.Irreps("4x0e+4x1o+4x2e")


def test_every_layer_contributes_to_the_energy():
    torch.manual_seed(0)
    model = MACE(["H", "O"], channels=4, layers=3, cutoff=4.0)
    graph = from_ase(molecule("H2O"), 4.0)
    model(graph).sum().backward()
    shares = [readout.weights[0].grad for readout in model.readouts]
    assert len(shares) == 2
    assert all(share.abs().sum() > 0 for share in shares)


def test_fresh_network_predicts_numbers_of_order_one():
    torch.manual_seed(0)
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=0)
    graph = from_ase(atoms, 5.0)
    model = MACE(["Cu"], channels=16, mean_neighbors=graph.edge_index.shape[1] / len(atoms))
    out = ForceField(model).eval()(graph)
    assert 0.01 < out.node_energy.abs().mean() < 10


def test_products_that_no_path_reaches_are_refused():
    with pytest.raises(ValueError, match="output irrep 2e is in no product"):
        MACE(["H"], lmax=1, feature_lmax=2, correlation=1)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"layers": 0}, "layers: expected at least 1, got 0"),
        ({"correlation": 0}, "correlation: expected 1 to 4, got 0"),
        ({"feature_lmax": -1}, "feature_lmax: expected 0 to 6, got -1"),
        ({"radial_hidden": (8, 0)}, "radial_hidden: expected at least 1"),
        ({"cutoff": 0.0}, "cutoff: expected more than 0, got 0"),
    ],
)
def test_options_out_of_range_are_refused_by_the_constructor(wrong, expected):
    with pytest.raises(ValueError, match=f"MACE.{expected}"):
        MACE(["H"], **wrong)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"correlation": (3, 2, 1)}, "correlation: expected one value or 2"),
        ({"self_connection": (True,)}, "self_connection: expected one value or 2"),
        ({"correlation": (1, 3), "feature_lmax": 2, "lmax": 1}, "output irrep 2e is in no product"),
    ],
)
def test_options_by_layer_have_one_value_for_each(wrong, expected):
    with pytest.raises(ValueError, match=expected):
        MACE(["H"], channels=2, **wrong)


def test_the_first_layer_without_a_self_connection_leaves_an_isolated_atom_its_shift():
    torch.manual_seed(0)
    model = MACE(["H"], channels=4, layers=1, correlation=2, self_connection=False, shift=-13.6)
    assert ForceField(model).eval()(from_ase(Atoms("H"), 5.0)).energy.item() == -13.6


def test_without_neighbours_only_the_self_connections_are_left():
    torch.manual_seed(0)
    model = ForceField(MACE(["H"], channels=4)).eval()
    alone, two = (from_ase(Atoms("H" * n, [(0, 0, 30.0 * i) for i in range(n)]), 5.0) for n in (1, 2))
    assert torch.equal(model(two).node_energy, model(alone).node_energy.expand(2))
    assert model(two).forces.abs().max() == 0


def test_a_model_made_in_float64_is_the_same_after_a_round_trip(tmp_path):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(0)
        model = ForceField(MACE(["H", "O"], channels=4, cutoff=4.0)).eval()
    finally:
        torch.set_default_dtype(before)
    save(model, tmp_path / "model.safetensors")
    graph = from_ase(molecule("H2O"), 4.0, dtype=torch.float64)
    assert torch.equal(load(tmp_path / "model.safetensors")(graph).forces, model(graph).forces)
