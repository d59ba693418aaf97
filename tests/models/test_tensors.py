"""Tensor outputs transform as their irreps, conserve charge, and are read from files of models."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from e3nn import o3
from torch import Tensor

from symnets.data import build_graphs, collate
from symnets.models import (
    MACE,
    ForceField,
    Invariant,
    NequIP,
    TensorModel,
    TensorOutput,
    Tensors,
    WithZBL,
    architectures,
    load,
    save,
)
from symnets.models._graph_network import graph_network
from symnets.models._physical_outputs import Dipole
from symnets.models._tensor_readout import TensorReadout
from symnets.testing import random_molecule
from symnets.testing._layers import transform
from symnets.testing._structures import random_rotation
from tests.laws.models import OWN
from tests.laws.toys import EmbeddedAtom
from tests.models.small import MODELS, batch

SPECIES = (1, 6, 8)
SMALL = {"cutoff": 4.0, "channels": 4, "layers": 2, "lmax": 2, "radial_hidden": (4,), "mean_neighbors": 5.0}
LAST = "4x0e+4x1o+3x1e+2x2e"
TOLERANCE = 1e-11  # relative, in float64
SHIFT = [[0.5], [1.5], [-2.5]]
KINDS: dict[str, dict[str, Any]] = {
    "irreps": {"irreps": "2x0e+1x1o+1x2e+2x1e+1x0e"},
    "irreps, mean": {"irreps": "1x1e+2x0e", "pool": "mean", "shift": [[1.0, 2.0]] * 3},
    "irreps of atoms": {"irreps": "1x0e+2x1o", "per": "atom", "scale": (2.0, 3.0, 4.0), "shift": SHIFT},
    "dipole": {"kind": "dipole"},
    "dipole, nuclear charge": {"kind": "dipole", "origin": "nuclear charge"},
    "dipole of charges": {"kind": "dipole of charges"},
    "charges": {"kind": "charges", "shift": SHIFT},
    "polarizability": {"kind": "polarizability", "shift": SHIFT},
    "atom matrix": {"kind": "atom matrix"},
    "symmetric atom matrix": {"kind": "symmetric atom matrix", "shift": SHIFT},
}


def network() -> NequIP:
    torch.manual_seed(0)
    return NequIP(SPECIES, irreps_last=LAST, **SMALL)


def molecules(n: int = 3) -> list[Atoms]:
    """Molecules, the first of which are ions."""
    structures = [random_molecule(SPECIES, 4 + k, seed=k) for k in range(n)]
    for k, atoms in enumerate(structures):
        atoms.info["charge"] = 1 - k
    return structures


def predict(model: Tensors, structures: list[Atoms]) -> Tensor:
    graphs = build_graphs(structures, model.cutoff, dtype=torch.float64)
    for graph, atoms in zip(graphs, structures, strict=True):
        graph.charge = torch.tensor([float(atoms.info["charge"])], dtype=torch.float64)
    with torch.no_grad():
        return model(collate(graphs).inputs)


def moved(atoms: Atoms, matrix: np.ndarray, shift: float = 0.0) -> Atoms:
    new = atoms.copy()
    new.positions = atoms.positions @ matrix.T + shift
    return new


def rotated(values: Tensor, output: TensorOutput, matrix: np.ndarray) -> Tensor:
    """What an output becomes when space is rotated."""
    rotation = torch.as_tensor(matrix)
    if output.irreps is not None:
        return transform(values, o3.Irreps(output.irreps), rotation, "mul_ir")
    if values.ndim == 3:
        return rotation @ values @ rotation.mT
    return values @ rotation.mT if values.ndim == 2 else values


def error(measured: Tensor, expected: Tensor) -> float:
    assert measured.shape == expected.shape
    return float((measured - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_outputs_rotate_and_reflect_and_do_not_depend_on_origin_order_or_batch(options):
    model, structures = Tensors(network(), **options).double(), molecules()
    before = predict(model, structures)
    assert before.shape[1:] == model.output.shape
    assert len(before) == (sum(map(len, structures)) if model.output.of_atoms else len(structures))
    for improper in (False, True):
        matrix = random_rotation(1, improper=improper)
        after = predict(model, [moved(atoms, matrix, shift=7.0) for atoms in structures])
        assert error(after, rotated(before, model.output, matrix)) < TOLERANCE
    singles = torch.cat([predict(model, [atoms]) for atoms in structures])
    assert error(singles, before) < TOLERANCE
    order = [3, 1, 0, 2]
    permuted, first = predict(model, [structures[0][order]]), predict(model, structures[:1])
    assert error(permuted, first[order] if model.output.of_atoms else first) < TOLERANCE


@pytest.mark.parametrize("name", architectures())
def test_every_graph_network_gives_a_dipole_of_its_features(name):
    architecture = architectures()[name]
    takes = inspect.signature(architecture).parameters
    options = {key: value for key, value in SMALL.items() if key in takes} | OWN.get(name, {})
    if name == "Nequix":
        options |= {"irreps": "4x0e+4x1o", "lmax": 1}
    vectors = "irreps_last" in takes
    if vectors:
        options["irreps_last"] = "4x0e+1x1o" if name == "EGNN" else "4x0e+4x1o"
    torch.manual_seed(0)
    net: Any = architecture(SPECIES, **options)
    assert net.irreps_features[0].ir == o3.Irrep("0e")
    if not vectors and o3.Irrep("1o") not in net.irreps_features:
        with pytest.raises(ValueError, match="the output has 1o, but the model's features"):
            Tensors(net, kind="dipole")
    kind = "dipole" if o3.Irrep("1o") in net.irreps_features else "dipole of charges"
    model, structures, matrix = (
        Tensors(net, kind=kind).double(),
        molecules(),
        random_rotation(2, improper=True),
    )
    expected = rotated(predict(model, structures), model.output, matrix)
    assert error(predict(model, [moved(a, matrix) for a in structures]), expected) < TOLERANCE
    assert model.model(build_graphs(structures, 4.0, dtype=torch.float64)[0]).shape == (4,)


def test_charges_sum_to_the_charge_of_the_structure():
    structures = molecules()
    charges = predict(Tensors(network(), kind="charges", shift=SHIFT).double(), structures)
    totals = [part.sum() for part in charges.split([len(atoms) for atoms in structures])]
    torch.testing.assert_close(torch.stack(totals), torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64))


def test_dipole_of_an_ion_is_relative_to_its_centre():
    ion = Atoms("OH", [[0, 0, 0], [0, 0, 1.0]], info={"charge": -1})
    for origin, centre in (("mass", ion.get_center_of_mass()[2]), ("nuclear charge", 1 / 9)):
        net = network()
        dipole = predict(Tensors(net, kind="dipole of charges", origin=origin).double(), [ion])
        torch.manual_seed(1)
        charges = Tensors(net, kind="charges").double()
        model = Tensors(net, kind="dipole of charges", origin=origin).double()
        charges.readout.load_state_dict(model.readout.charges.state_dict())  # pyright: ignore
        q = predict(charges, [ion])
        expected = q[0] * (0 - centre) + q[1] * (1 - centre)
        torch.testing.assert_close(predict(model, [ion])[0, 2], expected)
        assert dipole.shape == (1, 3)


def test_readouts_refuse_unknown_choices():
    with pytest.raises(ValueError, match="origin: expected mass or nuclear charge, got 'coordinates'"):
        Dipole("4x0e+4x1o", [1, 8], origin="coordinates")
    with pytest.raises(ValueError, match="per: expected structure or atom, got 'molecule'"):
        TensorReadout("4x0e", [1, 8], "1x0e", per="molecule")
    with pytest.raises(ValueError, match="pool: expected sum or mean, got 'max'"):
        TensorReadout("4x0e", [1, 8], "1x0e", pool="max")


def test_crystals_have_no_dipole():
    crystal = Atoms("H", pbc=True, cell=[3, 3, 3], info={"charge": 0})
    with pytest.raises(ValueError, match="expected molecules, got a structure with periodic boundaries"):
        predict(Tensors(network(), kind="dipole").double(), [crystal])


def test_readout_has_shift_scale_and_order_of_the_irreps():
    structures = molecules(1)
    irreps = "1x1o+1x0e+1x1o+1x0e"
    plain, scaled = (
        Tensors(network(), irreps, per="atom", **options).double()
        for options in ({}, {"scale": (1.0, 2.0, 3.0, 4.0), "shift": [[10.0, 20.0]] * 3})
    )
    scaled.readout.load_state_dict(plain.readout.state_dict(), strict=False)
    scaled.readout.scale = torch.tensor([1.0] * 3 + [2] + [3] * 3 + [4], dtype=torch.float64)  # pyright: ignore
    factor = torch.tensor([1.0] * 3 + [2] + [3] * 3 + [4], dtype=torch.float64)
    added = torch.tensor([0.0] * 3 + [10] + [0] * 3 + [20], dtype=torch.float64)
    torch.testing.assert_close(predict(scaled, structures), predict(plain, structures) * factor + added)


def test_features_without_an_irrep_are_refused_with_the_argument_to_pass():
    with pytest.raises(ValueError, match=r'the output has 1o, .*irreps_last="4x0e\+4x1o"'):
        Tensors(MACE(SPECIES, channels=4, lmax=1, layers=1), "1x0e+1x1o")
    with pytest.raises(ValueError, match="dipole: irreps: the output has 1o"):
        TensorModel(Invariant(SPECIES, channels=4), {"dipole": TensorOutput("dipole")})
    with pytest.raises(ValueError, match="irreps_last: no path leads to some of 4x0e"):
        NequIP(SPECIES, channels=4, layers=1, lmax=1, irreps_last="4x0e+4x1e")
    with pytest.raises(ValueError, match="irreps_last: expected even scalars first"):
        NequIP(SPECIES, channels=4, layers=1, lmax=1, irreps_last="4x1o+4x0e")
    with pytest.raises(ValueError, match="irreps_last: expected irreps such as"):
        NequIP(SPECIES, channels=4, layers=1, lmax=1, irreps_last="vectors")
    with pytest.raises(ValueError, match="the same number of channels"):
        MACE(SPECIES, channels=4, lmax=1, layers=1, irreps_last="4x0e+3x1o")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "quadrupole"}, "kind: expected irreps, dipole"),
        ({"kind": "dipole", "irreps": "1x1o"}, "irreps: expected for kind irreps only"),
        ({"irreps": "1x9z"}, "irreps: expected irreps such as 1x0e"),
        ({"kind": "dipole", "shift": SHIFT}, "expected one number and None for a dipole"),
        ({"irreps": "1x0e", "per": "bond"}, "per: expected structure or atom"),
        ({"irreps": "1x0e", "scale": (1.0, 2.0)}, "scale: expected one number or 1"),
        ({"irreps": "1x0e", "shift": [[1.0]]}, r"shift: expected 3 rows \(one a species\) of 1 numbers"),
    ],
)
def test_wrong_outputs_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Tensors(network(), **options)


@pytest.mark.parametrize("name", MODELS)
def test_configuration_without_irreps_last_loads(name):
    """Files of older releases have no such key."""
    model: Any = MODELS[name]()
    config = dict(model.config)
    if isinstance(model, WithZBL):
        return
    assert config.pop("irreps_last", None) is None
    again = type(model)(**config).double()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(batch().inputs), model.double()(batch().inputs))
    assert model.irreps_features.lmax == 0


def test_tensors_are_saved_and_loaded(tmp_path):
    outputs = {"dipole": TensorOutput("dipole"), "q": {"irreps": "1x2e+1x0e", "shift": [[1e4]] * 3}}
    model = TensorModel(network(), outputs).double().eval()
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors", TensorModel)
    assert [output.kind for output in again.outputs.values()] == ["dipole", "irreps"]
    graph = batch().inputs
    graph.pbc = torch.zeros_like(graph.pbc)
    for name, value in model(graph).tensors.items():
        assert torch.equal(again(graph).tensors[name], value)
    with pytest.raises(
        ValueError, match="expected a model of class ForceField, got a tensor model, TensorModel"
    ):
        load(tmp_path / "model.safetensors", ForceField)
    one = Tensors(network(), "1x1o").eval()
    save(one, tmp_path / "one.safetensors")
    assert load(tmp_path / "one.safetensors", Tensors).config["irreps"] == "1x1o"


def test_other_models_are_refused():
    with pytest.raises(ValueError, match="expected a graph network with node_features, got EmbeddedAtom"):
        Tensors(EmbeddedAtom(), "1x0e")


def test_force_field_with_tensors_is_the_same_force_field(tmp_path):
    force_field = ForceField(WithZBL(network())).double().eval()
    model = TensorModel(force_field, {"q": TensorOutput(irreps="1x2e")}).double().eval()
    graph = batch().inputs
    both, alone = model(graph), force_field(graph)
    for name in ("energy", "forces", "stress"):
        assert torch.equal(getattr(both, name).nan_to_num(), getattr(alone, name).nan_to_num())
    assert both.tensors["q"].shape == (2, 5)
    save(model, tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors", ForceField)
    assert torch.equal(loaded(graph).energy, alone.energy)


@pytest.mark.parametrize("name", ["NequIP", "MACE", "WithZBL"])
def test_energies_and_tensors_come_from_one_pass_and_are_those_of_two(name):
    """Values are equal bit for bit; gradients up to rounding, since sums have another order."""
    torch.manual_seed(0)
    model = TensorModel(ForceField(MODELS[name]()), {"q": TensorOutput(irreps="2x0e")}).double()
    body: Any = graph_network(model.model)
    graph, passes = batch().inputs, []
    body.edges.register_forward_hook(lambda *_: passes.append(1))
    joint = model.train()(graph)
    assert len(passes) == 1
    force_field: Any = model.force_field
    alone, tensors = force_field(graph), model.tensors(graph)
    for field in ("energy", "forces", "stress", "node_energy"):
        assert torch.equal(getattr(joint, field).nan_to_num(), getattr(alone, field).nan_to_num())
    assert torch.equal(joint.tensors["q"], tensors["q"])
    weights = [p for p in model.parameters() if p.requires_grad]

    def gradient(energy: Tensor, forces: Tensor, q: Tensor) -> list[Tensor]:
        loss = energy.square().sum() + forces.square().sum() + q.square().sum()
        return list(torch.autograd.grad(loss, weights))

    found = gradient(joint.energy, joint.forces, joint.tensors["q"])
    expected = gradient(alone.energy, alone.forces, tensors["q"])
    assert any(float(g.norm()) > 0 for g in expected)
    for g, other in zip(found, expected, strict=True):
        torch.testing.assert_close(g, other, rtol=1e-10, atol=1e-10 * float(other.abs().max() + 1e-3))
    evaluated = model.eval()(graph)
    assert torch.equal(evaluated.tensors["q"], tensors["q"])


def test_network_with_a_forward_of_its_own_keeps_it_beside_tensors():
    class Doubled(NequIP):
        def forward(self, graph: Any) -> Tensor:
            return 2 * super().forward(graph)

    torch.manual_seed(0)
    force_field = ForceField(WithZBL(Doubled(SPECIES, irreps_last=LAST, **SMALL))).double()
    graph = batch().inputs
    joint = TensorModel(force_field, {"q": TensorOutput(irreps="1x2e")}).double()(graph)
    assert torch.equal(joint.energy, force_field(graph).energy)
