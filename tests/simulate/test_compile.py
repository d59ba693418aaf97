"""Compiled models predict what the original does, to the tolerance, and are not trained."""

import copy
from collections.abc import Callable
from functools import cache

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from symnets.cli import main
from symnets.data import build_graphs, collate
from symnets.models import MACE, Compiled, ForceField, Invariant, NequIP, Nequix, WithZBL, load, save
from symnets.nn import Convolution
from symnets.simulate import SymnetsCalculator, compile, compile_error

SMALL = {"cutoff": 4.0, "channels": 4, "layers": 2}


def nequip(**options) -> ForceField:
    torch.manual_seed(1)
    return ForceField(NequIP(["H", "C", "O", "Cu"], **(SMALL | options))).eval()


@cache
def compiled_nequip() -> Compiled:
    """A compiled model for tests that do not change it."""
    return compile(nequip())


def graph(dtype: torch.dtype = torch.float64):
    structures = [molecule("CH3CH2OH"), bulk("Cu", cubic=True)]
    for atoms in structures:
        atoms.rattle(0.1, seed=2)
    return collate(build_graphs(structures, 4.0, dtype=dtype)).inputs


KINDS: dict[str, Callable[[], ForceField]] = {
    "nequip": nequip,
    "no parity": lambda: nequip(parity=False, lmax=1),
    "zbl": lambda: ForceField(WithZBL(nequip().energy_model)),
    "invariant": lambda: ForceField(Invariant(["H", "C", "O", "Cu"], **SMALL)),
    "mace": lambda: ForceField(MACE(["H", "C", "O", "Cu"], **SMALL)),
    "nequix": lambda: ForceField(
        Nequix(["H", "C", "O", "Cu"], cutoff=4.0, layers=2, irreps="4x0e+3x1o+2x2e", lmax=2)
    ),
}
SLOW = {"no parity", "zbl", "invariant"}


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] * (k in SLOW)) for k in KINDS])
def test_forces_are_those_of_the_model_to_the_tolerance(kind):
    torch.manual_seed(1)
    model = KINDS[kind]().eval()
    compiled = compile(model, tolerance=1e-4)
    error = compile_error(model, compiled, graph())
    assert error.forces < 1e-4
    assert error.energy < 1e-4
    finer = compile(model.double(), tolerance=1e-6)  # in float32 the table is rounded
    assert compile_error(model, finer, graph()).forces < 1e-6


@pytest.mark.slow
def test_tables_for_each_pair_of_the_elements_that_are_kept():
    torch.manual_seed(1)
    options = {
        "distance_transform": "agnesi",
        "density_normalization": True,
        "self_connection": (False, True),
    }
    model = ForceField(MACE(["H", "C", "O", "Cu", "Zn"], correlation=2, **SMALL, **options)).eval()
    compiled = compile(model, species=["H", "C", "O", "Cu"])
    assert compiled.species == (1, 6, 8, 29)
    assert compile_error(model, compiled, graph()).forces < 1e-4


def test_the_error_falls_as_the_third_power_of_the_knot_spacing():
    model = nequip().double()
    errors = [compile_error(model, Compiled(model.energy_model, n), graph()).forces for n in (100, 400)]
    assert errors[0] / errors[1] > 4**3 / 2


def test_stress_and_the_original_weights_are_kept():
    model = nequip().double()
    before = copy.deepcopy(model.state_dict())
    compiled = compile(model, tolerance=1e-6)
    exact, found = model(graph()), compiled(graph())
    assert torch.allclose(found.stress[1], exact.stress[1], rtol=0, atol=1e-6)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_compiled_model_is_saved_and_loaded(tmp_path):
    compiled = compiled_nequip()
    save(compiled, tmp_path / "fast.safetensors")
    again = load(tmp_path / "fast.safetensors")
    single = graph(torch.float32)
    assert torch.equal(again(single).forces, compiled(single).forces)
    assert type(again) is type(compiled)


def test_a_compiled_model_is_not_trained():
    with pytest.raises(ValueError, match="cannot be trained"):
        compiled_nequip().train()


def test_a_tolerance_that_no_table_reaches_is_refused():
    with pytest.raises(ValueError, match="still differ"):
        compile(nequip(), tolerance=1e-18)
    with pytest.raises(ValueError, match="tolerance"):
        compile(nequip(), tolerance=0.0)


def test_a_compiled_model_is_not_compiled_again():
    with pytest.raises(ValueError, match="compile the original"):
        compile(compiled_nequip(), tolerance=1e-9)


def test_models_without_convolutions_are_refused():
    class Springs(torch.nn.Module):
        species, cutoff = (1,), 3.0

        def forward(self, graph):
            return (graph.pos**2).sum(1)

    with pytest.raises(ValueError, match="Convolution or Attention layers"):
        compile(ForceField(Springs()))


def test_changes_that_tables_would_drop_are_refused():
    class Shifted(ForceField):
        """The energy is another one; node energies and forces, with which tables are compared, are not."""

        def forward(self, graph):
            outputs = super().forward(graph)
            return outputs._replace(energy=outputs.energy + 1)

    with pytest.raises(ValueError, match="expected an unmodified ForceField, but its class is Shifted"):
        compile(Shifted(nequip().energy_model))
    model = nequip()
    layer = next(part for part in model.modules() if isinstance(part, Convolution))
    layer.register_forward_hook(lambda module, inputs, output: output * 1.0)
    with pytest.raises(ValueError, match="expected an unmodified Convolution, but it has hooks"):
        compile(model)


def test_the_calculator_takes_original_and_compiled_models(tmp_path):
    model, atoms = nequip(), molecule("CH3CH2OH")
    save(model, tmp_path / "model.safetensors")
    assert main(["compile", str(tmp_path / "model.safetensors")]) == 0
    forces = []
    for name in ("model", "model-compiled"):
        twin: Atoms = atoms.copy()
        twin.calc = SymnetsCalculator(tmp_path / f"{name}.safetensors")
        forces.append(twin.get_forces())
    assert abs(forces[0] - forces[1]).max() < 2e-4
