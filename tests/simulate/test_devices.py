"""Simulations on a device whose tensors cannot be mixed with those of the CPU."""

import numpy as np
import pytest
import torch
from ase.build import bulk
from torch import nn

from symnets.data import build_graphs, collate
from symnets.models import Compiled, ForceField, NequIP
from symnets.nn import Linear
from symnets.observables import predictions
from symnets.simulate import SymnetsCalculator, compile, compile_error, relax, run_md
from symnets.testing import assert_equivariant, assert_inputs_untouched
from tests.second_device import on_device, second_device


def test_a_missing_device_is_named(field):
    with pytest.raises(ValueError, match=r"device: expected one that torch .* got 'cuda:99'"):
        SymnetsCalculator(field, device="cuda:99")
    with pytest.raises(ValueError, match=r"got 'nonsense'"):
        SymnetsCalculator(field, device="nonsense")
    assert SymnetsCalculator(field, device="auto").device.type in ("cpu", "cuda")


def test_calculator_dynamics_and_relaxation_equal_those_of_the_cpu(field, crystal):
    here = SymnetsCalculator(field)
    atoms = crystal(2)
    forces, stress = here.get_forces(atoms), here.get_property("stress", atoms)
    run = run_md(atoms, here, steps=5, temperature=50.0)
    with second_device():
        moved = ForceField(field.energy_model).to("cuda")
        there = SymnetsCalculator(moved)
        assert there.device.type == there.neighbors.device.type == "cuda"
        assert on_device(next(there.model.parameters()))
        np.testing.assert_allclose(there.get_forces(atoms), forces, atol=1e-12)
        np.testing.assert_allclose(there.get_property("stress", atoms), stress, atol=1e-12)
        again = run_md(atoms, there, steps=5, temperature=50.0)
        np.testing.assert_allclose(again.atoms.positions, run.atoms.positions, atol=1e-12)
        assert relax(atoms, there, steps=2).energy < there.get_potential_energy(atoms)


def test_a_model_is_compiled_and_evaluated_on_its_device():
    torch.manual_seed(1)
    small = {"cutoff": 3.0, "lmax": 1, "channels": 2, "layers": 1, "radial_hidden": (4,)}
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=2)
    batch = collate(build_graphs([atoms], 3.0, dtype=torch.float64))
    model = ForceField(NequIP(["Cu"], **small)).double().eval()
    expected = predictions(model, [batch])
    with second_device():
        model = model.to("cuda")
        compiled = compile(model, tolerance=1e-3)
        assert isinstance(compiled, Compiled)
        assert all(on_device(t) for t in (*compiled.parameters(), *compiled.buffers()))
        assert all(on_device(p) for p in model.parameters())
        assert compile_error(model, compiled, batch.inputs).forces < 1e-3
        found = predictions(model, [batch])
        assert not on_device(batch.inputs.pos)
        assert_inputs_untouched(model, atoms)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-12)
    np.testing.assert_allclose(found.stress, expected.stress, atol=1e-12)


def test_the_law_of_layers_holds_on_the_device_of_the_layer():
    torch.manual_seed(0)
    with second_device():
        layer: nn.Module = Linear("2x0e+3x1o", "1x0e+2x1o").to("cuda")
        assert_equivariant(layer, "2x0e+3x1o", "1x0e+2x1o")
