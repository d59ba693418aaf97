"""Models of mace-torch as symnets force fields: equal energies, forces, stress; what is refused."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ase import Atoms
from e3nn import o3
from safetensors import safe_open

from symnets.data import from_ase
from symnets.models import Compiled, ForceField, from_mace, keep_species, load, save
from symnets.models._mace_reader import read_weights
from symnets.models._mace_weights import MACELayer, MACEWeights, product_weights
from symnets.ops import SymmetricContraction, TensorProductScatter, symmetric_basis

REFERENCE = Path(__file__).with_name("mace_reference.safetensors")
"""Made by benchmarks/workers/mace_reference.py, where mace-torch is installed."""
WORKERS = Path(__file__).parents[2] / "benchmarks/workers"
with safe_open(REFERENCE, "pt") as file:
    DOCUMENT = json.loads(file.metadata()["document"])
    TENSORS = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
STRUCTURES = {name: Atoms(**structure) for name, structure in DOCUMENT["structures"].items()}
AS_MPA = "density, Agnesi, repulsion, as MPA-0"


def weights_of(name: str) -> MACEWeights:
    settings = dict(DOCUMENT["models"][name]["settings"])
    layers = [
        MACELayer(**layer | {"paths": tuple(map(tuple, layer["paths"]))}) for layer in settings.pop("layers")
    ]
    arrays = {
        key.removeprefix(f"{name}/"): array for key, array in TENSORS.items() if key.startswith(f"{name}/")
    }
    for key in ("species", "shift"):
        settings[key] = tuple(settings[key])
    return MACEWeights(**settings, layers=tuple(layers), arrays=arrays)


def in_plain_torch(force_field: ForceField) -> ForceField:
    """The force field without kernels, which take seconds to compile."""
    for module in force_field.modules():
        if isinstance(module, TensorProductScatter | SymmetricContraction):
            module.implementation = "plain"
    return force_field


def converted(name: str, dtype: torch.dtype = torch.float64, species: tuple[int, ...] | None = None):
    return in_plain_torch(ForceField(weights_of(name).model(dtype, species)).eval())


def check(force_field: ForceField, name: str, *, tolerance: float) -> None:
    """Compare with the results of mace-torch, relative to the largest number of each kind."""
    for label, expected in DOCUMENT["models"][name]["results"].items():
        cutoff, dtype = force_field.cutoff, next(force_field.parameters()).dtype
        out = force_field(from_ase(STRUCTURES[label], cutoff, dtype=dtype))
        for quantity, numbers in expected.items():
            theirs = torch.tensor(numbers, dtype=torch.float64)
            ours = getattr(out, quantity).double()
            assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max(), (label, quantity)


@pytest.mark.parametrize("name", DOCUMENT["models"])
def test_energies_forces_and_stress_are_those_of_mace_torch(name):
    check(converted(name), name, tolerance=1e-9)


def test_converted_models_are_read_from_a_file_without_mace_torch(tmp_path):
    save(converted(AS_MPA), tmp_path / "model.safetensors")
    check(in_plain_torch(load(tmp_path / "model.safetensors", ForceField)), AS_MPA, tolerance=1e-9)


def test_float32_differs_by_its_rounding():
    check(converted(AS_MPA, torch.float32), AS_MPA, tolerance=1e-5)


@pytest.mark.slow
def test_kernels_give_the_energies_of_mace_torch():
    check(ForceField(weights_of(AS_MPA).model(torch.float64)).eval(), AS_MPA, tolerance=1e-9)


@pytest.mark.slow
def test_tables_have_functions_for_each_pair_of_elements():
    """With 2,000 knots the error of the splines is below 1e-6 of the largest force."""
    check(Compiled(converted(AS_MPA).energy_model, 2000), AS_MPA, tolerance=1e-6)


def test_elements_that_are_kept_have_the_same_energies():
    hydroxide = Atoms("OHH", [(0, 0, 0), (0.9, 0.1, 0), (-0.3, 1.0, 0.2)])
    whole, part = converted(AS_MPA), converted(AS_MPA, species=(1, 8))
    again = in_plain_torch(keep_species(whole, ["O", "H"]))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in part.state_dict().items())
    graph = from_ase(hydroxide, whole.cutoff, dtype=torch.float64)
    assert part.species == (1, 8)
    torch.testing.assert_close(part(graph).forces, whole(graph).forces, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(part(graph).energy, whole(graph).energy, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("out", ["0e", "1o"])
def test_weights_of_dependent_tensors_give_the_same_polynomial(out):
    """Products of a scalar and a vector: 40 random combinations, not symmetric, are linearly dependent."""
    irreps, ir = o3.Irreps("0e+1o"), o3.Irrep(out)
    generator = torch.Generator().manual_seed(0)
    candidates = []  # (s, v) ⊗ (s, v) -> out, with the factors in both orders
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        a, b = irreps[i].ir, irreps[j].ir
        if ir not in a * b:
            continue
        coupling = torch.zeros(ir.dim, 4, 4, dtype=torch.float64)
        coupling[:, irreps.slices()[i], irreps.slices()[j]] = o3.wigner_3j(
            a.l, b.l, ir.l, dtype=torch.float64
        ).permute(2, 0, 1)
        candidates.append(coupling)
    mixing = torch.randn(len(candidates), 40, generator=generator, dtype=torch.float64)
    u = torch.einsum("pmij,pk->mijk", torch.stack(candidates), mixing)
    weights = torch.randn(1, 40, 2, generator=generator, dtype=torch.float64)
    ours = product_weights(u.squeeze(0), weights, irreps, 2, ir)
    basis = symmetric_basis(irreps, 2, ir)
    assert ours.shape == (1, len(basis), 2)
    x = torch.randn(4, generator=generator, dtype=torch.float64)
    monomials = torch.stack([x[i] * x[j] for i in range(4) for j in range(i, 4)])
    theirs = torch.einsum("mijk,kc,i,j->mc", u, weights[0], x, x)
    torch.testing.assert_close(torch.einsum("pmn,pc,n->mc", basis, ours[0], monomials), theirs)


def test_tensors_that_are_not_equivariant_are_refused():
    u, weights = torch.rand(4, 4, 1), torch.ones(1, 1, 1)
    with pytest.raises(ValueError, match="degree 2 into 0e: expected equivariant tensors"):
        product_weights(u, weights, o3.Irreps("0e+1o"), 2, o3.Irrep("0e"))


def test_other_classes_of_models_are_refused():
    with pytest.raises(ValueError, match=r"expected a model of mace-torch of class MACE or .*, got Linear"):
        from_mace(torch.nn.Linear(1, 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_so3": True}, "use_so3 = True"),
        ({"apply_cutoff": False}, "apply_cutoff = False"),
        ({"edge_irreps": "2x0e"}, "edge_irreps = 2x0e"),
        ({"readouts": [torch.nn.Identity()]}, "readout_cls = Identity"),
    ],
)
def test_settings_that_cannot_be_represented_are_named(changes, message):
    model = type("MACE", (SimpleNamespace,), {})(**changes)
    with pytest.raises(ValueError, match=message):
        read_weights(model)


def test_a_missing_file_and_a_missing_package_are_named(tmp_path, monkeypatch):
    path = tmp_path / "model.model"
    with pytest.raises(FileNotFoundError, match=r"model\.model: there is no such file"):
        from_mace(path)
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "mace", None)
    monkeypatch.setitem(sys.modules, "mace.modules", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'symnets\[mace\]'"):
        from_mace(path)


@pytest.mark.slow
def test_models_of_the_installed_mace_torch(monkeypatch, tmp_path):
    """All options, with other random numbers than in the reference, from modules and from a file."""
    pytest.importorskip("mace", reason="mace-torch is not installed; its environment runs this")
    monkeypatch.syspath_prepend(WORKERS)
    import mace_reference

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        for seed, (name, options) in enumerate(mace_reference.CASES.items(), start=100):
            torch.manual_seed(seed)
            model = mace_reference.mace_model(**options)
            heads = options.get("heads", [None])
            force_field = in_plain_torch(from_mace(model, head=heads[-1], dtype=torch.float64))
            for atoms in STRUCTURES.values():
                graph = from_ase(atoms, force_field.cutoff, dtype=torch.float64)
                out = force_field(graph)
                for quantity, theirs in mace_reference.mace_results(model, graph, len(heads) - 1).items():
                    difference = (getattr(out, quantity) - theirs).abs().max()
                    assert difference <= 1e-9 * theirs.abs().max(), (name, quantity)
        torch.save(model, tmp_path / "saved.model")
    finally:
        torch.set_default_dtype(before)
    again = in_plain_torch(from_mace(tmp_path / "saved.model", dtype=torch.float64))
    assert torch.equal(again(graph).energy, force_field(graph).energy)
    two_heads = mace_reference.mace_model(**mace_reference.CASES["two heads, correlation by layer, soft"])
    with pytest.raises(ValueError, match="the model has several, choose one of one, other"):
        from_mace(two_heads)


def test_only_elements_of_the_model_are_kept():
    with pytest.raises(ValueError, match="the model does not know C; its elements are H O Cu"):
        keep_species(converted("hidden scalars, no residual at first"), ["C"])
