"""Results depend neither on what the caller has set in torch, nor on how NumPy stores positions."""

import contextlib
import copy
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.cell import Cell

from symnets.data import Loader, build_graphs, collate, neighbors
from symnets.models import ForceField, Invariant, load, save
from symnets.observables import predictions
from symnets.simulate import SymnetsCalculator, compile, relax, run_md


def reversed_memory(array: np.ndarray) -> np.ndarray:
    """The same array, with negative strides."""
    return np.ascontiguousarray(array[::-1])[::-1]


def foreign(array: np.ndarray) -> np.ndarray:
    """The same array in the byte order of other machines."""
    return array.astype(array.dtype.newbyteorder())


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "change", [reversed_memory, foreign, np.asfortranarray, read_only], ids=lambda change: change.__name__
)
def test_any_layout_of_arrays_is_read(field, crystal, change: Callable[[np.ndarray], np.ndarray]):
    plain, atoms = crystal(2), crystal(2)
    atoms.arrays["positions"], atoms.arrays["numbers"] = change(atoms.positions), change(atoms.numbers)
    atoms.cell = Cell(change(atoms.cell.array))
    atoms._pbc = change(atoms.pbc)
    plain.calc, atoms.calc = SymnetsCalculator(field), SymnetsCalculator(field)
    np.testing.assert_array_equal(atoms.get_forces(), plain.get_forces())
    np.testing.assert_array_equal(atoms.get_stress(), plain.get_stress())
    graph = build_graphs([atoms], field.cutoff, dtype=torch.float64)[0]
    np.testing.assert_allclose(field.eval()(graph).forces.numpy(), plain.get_forces(), atol=1e-12)
    edges = neighbors(atoms.positions, atoms.cell.array, atoms.pbc, field.cutoff).edge_index
    assert torch.equal(edges, neighbors(plain.positions, plain.cell.array, plain.pbc, 5.0).edge_index)


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def default_device(name: str) -> Iterator[None]:
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


# Tensors on the meta device have no values, so that one made there by mistake is an error, as with a GPU.
CONTEXTS = {
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "device": lambda: torch.device("meta"),
    "default_device": lambda: default_device("meta"),
}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """File of a small network for neon and argon in float32."""
    torch.manual_seed(0)
    small = {"lmax": 1, "channels": 4, "layers": 1, "radial_hidden": (8,), "cutoff": 4.0}
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(ForceField(Invariant(("Ne", "Ar"), **small)), path)
    return path


def everything(path, start: Atoms) -> list[np.ndarray]:
    """Forces computed in several ways."""
    atoms, model = start.copy(), load(path, ForceField)
    atoms.calc = SymnetsCalculator(path)
    forces = [atoms.get_forces(), atoms.get_stress()]
    atoms.calc = SymnetsCalculator(model)
    forces.append(atoms.get_forces())
    graphs = build_graphs([start, start], model.cutoff, dtype=torch.float32)
    forces.append(model(collate(graphs).inputs).forces.numpy())
    forces.append(predictions(model, Loader(graphs, 1, shuffle=True)).forces)
    forces.append(run_md(start, SymnetsCalculator(path), steps=2).atoms.positions)
    forces.append(relax(start, SymnetsCalculator(path), steps=2, cell=True).atoms.positions)
    atoms.calc = SymnetsCalculator(compile(model, tolerance=0.1))
    forces.append(atoms.get_forces())
    return forces


def test_contexts_and_defaults_do_not_change_results(network, crystal):
    start = crystal(2)
    expected = everything(network, start)
    assert np.abs(expected[0]).max() > 1e-4
    for name, context in CONTEXTS.items():
        with context():
            found = everything(network, start)
        for number, (one, two) in enumerate(zip(expected, found, strict=True)):
            np.testing.assert_array_equal(one, two, err_msg=f"{name}, result {number}")


def test_weights_without_derivatives_are_explained(field, crystal):
    graph = build_graphs([crystal(2)], field.cutoff, dtype=torch.float64)[0]
    with torch.inference_mode():
        inside = copy.deepcopy(field)
    with pytest.raises(ValueError, match=r"weights were made in torch\.inference_mode"):
        inside(graph)


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_a_device_that_is_not_there_is_explained(field, network):
    for model in (field, network):
        with pytest.raises(ValueError, match=r"device: expected one that torch .* got 'cuda'"):
            SymnetsCalculator(model, device="cuda")
