"""Compiled force fields as native code: equal to torch, and computed through torch where there is none."""

import copy
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ase.build import molecule
from torch import nn

from symnets.data import AtomGraph, build_graphs, collate
from symnets.models import Compiled, EnergyForces, ForceField, NequIP, SE3Transformer, load, save
from symnets.nn import Linear
from symnets.testing import LAWS, Law
from tests.native.models import KINDS, SLOW, SMALL, SPECIES, STRUCTURES, compiled, kept

ALL = [pytest.param(kind, marks=[pytest.mark.slow] * (kind in SLOW)) for kind in KINDS]
ONE_FAST = [pytest.param(kind, marks=[pytest.mark.slow] * (kind != "NequIP")) for kind in KINDS]
"""All kinds of models, most in slow tests: the machine code of each takes seconds to compile."""


def graph(*names: str, dtype: torch.dtype = torch.float64) -> AtomGraph:
    """A batch of structures; all by default."""
    structures = [STRUCTURES[name]() for name in names or STRUCTURES]
    return collate(build_graphs(structures, 4.0, dtype=dtype)).inputs


def through_torch(model: Compiled, inputs: AtomGraph) -> EnergyForces:
    """Prediction of the same weights without native code."""
    twin = copy.deepcopy(model)
    twin.use_native = False
    return twin(inputs)


def assert_close(found: EnergyForces, expected: EnergyForces, forces: float) -> None:
    """Equal in kind and value: energies to 1e-6 of the largest, forces and stress to `forces`."""
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert (a.dtype, a.shape, a.requires_grad) == (b.dtype, b.shape, b.requires_grad)
    for a, b in ((found.energy, expected.energy), (found.node_energy, expected.node_energy)):
        torch.testing.assert_close(a, b, rtol=1e-6 if forces > 1e-9 else 1e-13, atol=forces)
    torch.testing.assert_close(found.forces, expected.forces, rtol=0, atol=forces)
    if expected.stress is not None:
        torch.testing.assert_close(found.stress, expected.stress, rtol=0, atol=forces, equal_nan=True)


@pytest.fixture
def one_layer() -> Compiled:
    """A model that a test may change; it shares the machine code of `kept` models, in both dtypes."""
    for dtype in (torch.float64, torch.float32):
        assert kept("NequIP of one layer", dtype).native is not None
    return compiled("NequIP of one layer")


@pytest.mark.parametrize("kind", ALL)
def test_every_kind_of_model_is_native(kind: str) -> None:
    assert kept(kind).why_not_native is None


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("kind", ALL)
def test_native_code_equals_torch(kind: str, name: str) -> None:
    model, inputs = kept(kind), graph(name)
    assert_close(model(inputs), through_torch(model, inputs), 1e-10)


@pytest.mark.parametrize("kind", ONE_FAST)
def test_native_code_in_float32_equals_torch_in_float64(kind: str) -> None:
    single, double = kept(kind, torch.float32), kept(kind)
    found, expected = single(graph(dtype=torch.float32)), through_torch(double, graph())
    assert single.why_not_native is None
    assert found.forces.dtype == torch.float32
    assert found.energy.dtype == found.node_energy.dtype == torch.float64
    size = expected.forces.abs().max().clamp(min=1.0)  # weights and tables are rounded, too
    torch.testing.assert_close(found.forces.double(), expected.forces, rtol=0, atol=1e-5 * float(size))
    torch.testing.assert_close(found.energy, expected.energy, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("kind", ALL)
def test_structures_in_a_batch_have_the_results_of_single_structures(kind: str) -> None:
    model, together = kept(kind), graph()
    found = model(together)
    assert_close(found, through_torch(model, together), 1e-10)
    atoms = 0
    for number, name in enumerate(STRUCTURES):
        alone = model(graph(name))
        n = len(alone.forces)
        torch.testing.assert_close(found.energy[[number]], alone.energy, rtol=1e-13, atol=1e-12)
        torch.testing.assert_close(found.forces[atoms : atoms + n], alone.forces, rtol=0, atol=1e-12)
        atoms += n
        assert found.stress is not None
        if alone.stress is None:
            assert found.stress[number].isnan().all()
        else:
            torch.testing.assert_close(found.stress[[number]], alone.stress, rtol=0, atol=1e-12)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("kind", ONE_FAST)
def test_native_models_obey_the_laws(kind: str, law: Law) -> None:
    if law.name == "precision":  # its copies in float32 share the machine code of this one
        assert kept(kind, torch.float32).native is not None
    law(kept(kind))
    assert kept(kind).why_not_native is None


def test_the_order_of_edges_does_not_matter() -> None:
    model, inputs = kept("NequIP"), graph("crystal")
    expected = model(inputs)
    order = torch.randperm(inputs.edge_index.shape[1], generator=torch.Generator().manual_seed(0))
    inputs.edge_index, inputs.edge_shift = inputs.edge_index[:, order], inputs.edge_shift[order]
    torch.testing.assert_close(model(inputs).forces, expected.forces, rtol=0, atol=1e-12)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_no_grad_and_inference_mode_give_the_same(context: type) -> None:
    model, inputs = kept("NequIP"), graph("slab")
    expected = model(inputs)
    with context():
        for found in (model(inputs), model(graph("slab"))):
            assert torch.equal(found.forces, expected.forces)
            assert not found.forces.is_inference()


def test_errors_are_those_of_torch() -> None:
    model = kept("NequIP")
    unknown = build_graphs([molecule("NH3")], 4.0, dtype=torch.float64)[0]
    with pytest.raises(ValueError, match="the structure has N, but the elements of this model are"):
        model(unknown)
    same = graph("molecule")
    same.pos[3] = same.pos[1]
    with pytest.raises(ValueError, match=r"two atoms are at the same place \(distance 0\)"):
        model(same)
    with pytest.raises(ValueError, match=r"model's torch.float64, got torch.float32; build it with from_ase"):
        model(graph("molecule", dtype=torch.float32))
    long = build_graphs([STRUCTURES["crystal"]()], 5.0, dtype=torch.float64)[0]
    with pytest.raises(ValueError, match="check that positions are finite and edges within"):
        model(long)
    for value in (torch.nan, torch.inf):
        wild = graph("molecule", "crystal")
        wild.pos[2, 1] = value
        with pytest.raises(ValueError, match="positions are finite"):
            model(wild)
    astray = graph("molecule")
    astray.edge_index[0, 0] = 9
    with pytest.raises(IndexError):
        model(astray)


def test_concurrent_calls_equal_torch() -> None:
    model, names = kept("NequIP of one layer"), list(STRUCTURES) * 5
    graphs = [graph(name) for name in names]
    expected = [through_torch(model, graphs[k]).forces for k in range(len(STRUCTURES))]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(model, graphs))
    for k, prediction in enumerate(found):
        torch.testing.assert_close(prediction.forces, expected[k % len(expected)], rtol=0, atol=1e-10)


def test_the_number_of_threads_does_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("symnets.native._native_program.MOST_EDGES_OF_ONE_THREAD", 0)
    threads, model, inputs = torch.get_num_threads(), kept("NequIP"), graph()
    expected = through_torch(model, inputs)
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            assert_close(model(inputs), expected, 1e-10)
    finally:
        torch.set_num_threads(threads)


def _forces(model: Compiled, queue: "multiprocessing.Queue[np.ndarray]") -> None:
    queue.put(model(graph("crystal")).forces.numpy())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("symnets.native._native_program.MOST_EDGES_OF_ONE_THREAD", 0)
    model, context = kept("NequIP"), multiprocessing.get_context("fork")
    expected, queue = model(graph("crystal")).forces.numpy(), context.Queue()
    process = context.Process(target=_forces, args=(model, queue))
    process.start()
    found = queue.get(timeout=60)
    process.join()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_copies_conversions_and_loaded_models_have_their_own_program(one_layer: Compiled, tmp_path) -> None:
    model, inputs = one_layer, graph("slab")
    expected = model(inputs)
    copied = copy.deepcopy(model)
    assert copied.native is not model.native
    assert_close(copied(inputs), expected, 1e-12)
    save(model, tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors", Compiled)
    assert loaded.native is not None
    assert_close(loaded(inputs), expected, 1e-12)
    single = copied.float()
    assert single.native is not None
    assert single.native.dtype == "float32"
    assert_close(
        single(graph("slab", dtype=torch.float32)),
        through_torch(single, graph("slab", dtype=torch.float32)),
        5e-6,
    )
    assert_close(single.double()(inputs), expected, 1e-5)


def test_changed_weights_change_the_result(one_layer: Compiled) -> None:
    model, inputs = one_layer, graph("crystal")
    before = model(inputs).forces
    with torch.no_grad():
        model.energy_model.atomic_energy.scale.mul_(2)  # pyright: ignore
    for _ in range(2):  # through torch, then by a new program
        torch.testing.assert_close(model(inputs).forces, 2 * before, rtol=0, atol=1e-10)
    assert model.why_not_native is None
    weights = {
        name: tensor / 2 if name.endswith("scale") else tensor for name, tensor in model.state_dict().items()
    }
    model.load_state_dict(weights)
    for _ in range(2):
        torch.testing.assert_close(model(inputs).forces, before, rtol=0, atol=1e-10)


def test_a_modified_model_is_computed_through_torch(one_layer: Compiled) -> None:
    model, inputs = one_layer, graph("crystal")
    before = model(inputs).forces
    layer = next(part for part in model.modules() if isinstance(part, Linear))
    handle = layer.register_forward_hook(lambda module, arguments, output: 0 * output)
    assert not torch.allclose(model(inputs).forces, before)
    assert "has hooks" in str(model.why_not_native)
    handle.remove()
    assert_close(model(inputs), through_torch(model, inputs), 1e-10)
    assert model.why_not_native is None

    class Doubled(nn.Module):
        """Twice the energy of another model."""

        def __init__(self, energy_model: nn.Module) -> None:
            super().__init__()
            self.energy_model, self.species, self.cutoff = energy_model, energy_model.species, 4.0

        def forward(self, graph: AtomGraph) -> torch.Tensor:
            return 2 * self.energy_model(graph)

    other = Compiled(Doubled(KINDS["NequIP of one layer"]().double()), 20)
    assert "Doubled is a class of another package" in str(other.why_not_native)
    assert_close(other(inputs), through_torch(other, inputs), 1e-12)


def test_layers_without_native_code_are_computed_through_torch() -> None:
    torch.manual_seed(0)
    options = {"cutoff": 4.0, "channels": 4, "layers": 1, "radial_hidden": (4,)}
    model = Compiled(SE3Transformer(SPECIES, lmax=1, heads=2, **options).double(), 20)
    assert model.native is None
    assert model.why_not_native
    assert model(graph("crystal")).forces.isfinite().all()


def test_native_code_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    model = compiled("NequIP of one layer")
    model.use_native = False
    assert model.native is None
    assert model.why_not_native == "use_native is false"
    monkeypatch.setenv("SYMNETS_NATIVE", "0")
    other = compiled("NequIP of one layer")
    assert "SYMNETS_NATIVE is 0" in str(other.why_not_native)
    assert_close(other(graph("slab")), model(graph("slab")), 0.0)


def test_half_precision_is_computed_through_torch() -> None:
    assert "torch.bfloat16" in str(compiled("NequIP of one layer", torch.bfloat16).why_not_native)


def test_models_that_are_not_compiled_have_no_native_program() -> None:
    torch.manual_seed(0)
    model = ForceField(NequIP(SPECIES, **SMALL)).double()
    assert not hasattr(model, "native")
    assert model.train()(graph("crystal")).forces.requires_grad
