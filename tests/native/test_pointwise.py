"""Nonlinear row operations of native programs equal their torch twins, and their reverse equals autograd."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from e3nn import o3
from llvmlite import ir
from torch import Tensor, nn

from symnets.models._invariant import PowerSpectrum
from symnets.models._tensor_field_network import NormNonlinearity
from symnets.native import CannotLower, Matrix, NativeProgram, Program, lower
from symnets.native._math_code import ACTIVATIONS, exponential
from symnets.nn import MLP, AtomicEnergy, Gate, RMSNorm, SpeciesIndex
from symnets.ops import CompiledModule, VectorCode
from tests.native.programs import (
    Given,
    Keep,
    Rows,
    _read,
    assert_equal,
    native_result,
    random_edges,
    torch_result,
)

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
ULP = {"exp": (1.5, 1.5), "tanh": (3, 5), "sigmoid": (3, 5), "silu": (3, 3)}
"""Largest errors of functions and derivatives in units of the last place."""

BOTH = [pytest.param("float32", marks=pytest.mark.slow), "float64"]
"""Dtypes, for operations whose code depends on them only through functions that have a test of their own."""


def compiled(function: Callable[..., Any], dtype: str, lanes: int) -> Callable[[np.ndarray], np.ndarray]:
    """Both results of a function of `_math_code`, (2, n), computed in registers of `lanes` numbers."""
    module = ir.Module("math")
    code = VectorCode(module, "loop", dtype, "rrrnn", public=True)
    x, first, second, low, high = code.arguments
    with code.loop(low, high, lanes) as k:
        for value, out in zip(
            function(code.build, code.load(code.offset(x, k), lanes)), (first, second), strict=True
        ):
            code.store(value, code.offset(out, k), lanes)
    code.build.ret_void()
    loops = CompiledModule(module, {"loop": "rrrnn"})

    def call(numbers: np.ndarray) -> np.ndarray:
        padded = np.zeros(-(-len(numbers) // lanes) * lanes, dtype=dtype)
        padded[: len(numbers)] = numbers
        out = np.empty((2, len(padded)), dtype=dtype)
        loops.functions["loop"](padded.ctypes.data, out[0].ctypes.data, out[1].ctypes.data, 0, len(padded))
        return out[:, : len(numbers)]

    return call


def reference(name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Functions in the most precise floating-point numbers of NumPy, from formulas without cancellation."""
    x = x.astype(np.longdouble)
    e = np.exp(-np.abs(x))
    if name == "exp":
        return np.exp(x), np.expm1(x)
    if name == "tanh":
        return np.tanh(x), 1 / np.cosh(x) ** 2
    sigmoid = np.where(x < 0, e, 1) / (1 + e)
    slope = e / (1 + e) ** 2
    return (sigmoid, slope) if name == "sigmoid" else (x * sigmoid, sigmoid + x * slope)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lanes", [1, 3, 16])
@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "silu"])
def test_functions_are_exact_to_the_last_bits(name: str, lanes: int, dtype: str) -> None:
    function = compiled(exponential if name == "exp" else ACTIVATIONS[name], dtype, lanes)
    rng, edge = np.random.default_rng(0), 80 if dtype == "float32" else 700
    x = np.concatenate(
        [rng.normal(size=2000), rng.uniform(-edge, edge, size=2000), rng.normal(size=500) * 1e-3, [0.0, -0.0]]
    ).astype(dtype)
    if name == "exp":
        x = -np.abs(x)  # expm1 is for negative numbers alone
    value, derivative = function(x)
    with np.errstate(under="ignore"):
        expected = reference(name, x)
    sizes = [np.abs(part) for part in expected]
    if name == "silu":  # the derivative has a zero: its error is relative to its terms
        sizes[1] += (1 + np.abs(x)) * np.exp(-np.abs(x.astype(np.longdouble)))
    for part, exact, size, bound in zip((value, derivative), expected, sizes, ULP[name], strict=True):
        assert np.max(np.abs(part - exact) / np.spacing(size.astype(dtype))) <= bound


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_have_their_limits(dtype: str) -> None:
    x = np.array([-np.inf, -1e30, 1e30, np.inf, np.nan])
    expected = {
        "tanh": ([-1, -1, 1, 1, np.nan], [0, 0, 0, 0, np.nan]),
        "sigmoid": ([0, 0, 1, 1, np.nan], [0, 0, 0, 0, np.nan]),
        "silu": ([0, 0, 1e30, np.inf, np.nan], [0, 0, 1, 1, np.nan]),
    }
    for name, limits in expected.items():
        found = compiled(ACTIVATIONS[name], dtype, 4)(x)
        np.testing.assert_array_equal(found, np.array(limits).astype(dtype), err_msg=name)
    exp, _ = compiled(exponential, dtype, 4)(x)
    np.testing.assert_array_equal(exp, np.array([0, 0, np.inf, np.inf, np.nan]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exp_is_right_where_its_result_is_almost_too_large_or_too_small(dtype: str) -> None:
    exp, numbers = compiled(exponential, dtype, 8), np.finfo(dtype)
    largest = np.log(numbers.max.astype(np.longdouble))
    x = np.array([largest * (1 - 2 * numbers.eps), largest * (1 + 4 * numbers.eps)]).astype(dtype)
    with np.errstate(over="ignore"):
        expected = np.exp(x.astype(np.longdouble)).astype(dtype)
    np.testing.assert_allclose(exp(x)[0], expected, rtol=4 * numbers.eps)
    x = np.linspace(0.9, 1.1, 50).astype(dtype) * np.log(numbers.tiny)
    with np.errstate(under="ignore"):
        np.testing.assert_allclose(
            exp(x)[0], np.exp(x), rtol=4 * numbers.eps, atol=1.01 * numbers.smallest_subnormal
        )


def rows(n: int, columns: int, seed: int = 0, of: str = "atoms") -> Rows:
    """Random rows of standard deviation 2."""
    generator = torch.Generator().manual_seed(seed)
    return Rows(2 * torch.randn(n, columns, generator=generator, dtype=torch.float64), of)


def check(
    layer: nn.Module | Callable[..., Any], *inputs: Rows, dtype: str = "float64", threads: int = 1
) -> None:
    """Compare the program of a layer, or of a function of tensors or matrices, with torch."""

    def native(program: Program, *given: Matrix) -> Matrix:
        return lower(program, layer, *given) if isinstance(layer, nn.Module) else layer(*given)

    n_atoms = len(inputs[0].values)
    edges = random_edges(n_atoms, 2 if threads > 1 else 0)
    ours = native_result(native, *inputs, edges=edges, dtype=dtype, threads=threads)
    assert_equal(ours, torch_result(layer, *inputs), TOLERANCE[dtype])


GATES = {
    "scalars": Gate("7x0e"),
    "parity": Gate("5x0e+3x0o+4x1o+2x1e+3x2e+1x2o"),
    "wide": Gate("33x0e+17x1o+16x2e"),
    "order": Gate("4x0e+2x1o+3x2e", irreps_in="3x2e+9x0e+2x1o"),
    "functions": Gate("5x0e+3x0o+4x1o", act=torch.tanh, gate_act=torch.sigmoid),
    "high": Gate("2x0e+3x4e"),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", GATES)
def test_gate(name: str, dtype: str) -> None:
    gate = GATES[name].double()
    check(gate, rows(9, gate.irreps_in.dim), dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "norm",
    [
        RMSNorm("5x0e+3x1o+17x2e"),
        RMSNorm("4x0o+33x1o", affine=False, weights=[0.2, 0.5], eps=0.1),
        RMSNorm.nequix("20x0e+6x1o+3x2e"),
    ],
    ids=["equal", "weights", "nequix"],
)
def test_norm(norm: RMSNorm, dtype: str) -> None:
    norm.double()
    if norm.weight is not None:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    check(norm, rows(6, norm.irreps_in.dim), dtype=dtype)


def test_norm_of_zeros_is_zero_with_finite_derivatives() -> None:
    norm = RMSNorm.nequix("3x0e+2x1o").double()
    inputs = Rows(torch.zeros(2, 9, dtype=torch.float64))
    check(norm, inputs)


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("irreps", ["5x0e+3x0o+17x1o+2x2e", "17x0e+33x1e"])
def test_activations_of_norms(irreps: str, dtype: str) -> None:
    layer = NormNonlinearity(o3.Irreps(irreps)).double()
    for bias in layer.biases:
        nn.init.uniform_(bias, -1, 1)
    check(layer, rows(6, layer.irreps_in.dim), dtype=dtype)


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("sizes", [(5, 1), (17, 8, 1), (33, 20, 5, 3)])
def test_network(sizes: tuple[int, ...], dtype: str) -> None:
    torch.manual_seed(0)
    check(MLP(*sizes).double(), rows(7, sizes[0]), dtype=dtype)


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("irreps", ["5x0e+5x1o+5x2e", "3x0e+17x1o", "33x0e"])
def test_power_spectrum(irreps: str, dtype: str) -> None:
    spectrum = PowerSpectrum(o3.Irreps(irreps))
    dim = spectrum.irreps.dim
    check(spectrum, rows(6, dim), rows(6, dim, seed=1), dtype=dtype)


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("columns", [1, 5, 33])
def test_rows_divided_by_one_plus_a_density(columns: int, dtype: str) -> None:
    density = Rows(rows(5, 1, seed=1).values.square())
    check(lambda x, rho: x / (1 + rho), rows(5, columns), density, dtype=dtype)


def test_lookup_divided_by_a_density() -> None:
    density, table = Rows(rows(4, 1).values.square()), rows(3, 6, seed=1, of="species")
    edges = random_edges(4, 0, n_species=3)

    def divide(program: Program, rho: Matrix, x: Matrix) -> Matrix:
        return x / (1 + rho)

    ours = native_result(divide, density, table, edges=edges, n_species=3)
    theirs = torch_result(lambda rho, x: x[edges.species] / (1 + rho), density, table)
    assert_equal(ours, theirs, 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_affine_functions_and_columns(dtype: str) -> None:
    check(lambda x: 2.0 * x + 1, rows(5, 19), dtype=dtype)
    check(lambda x: x[:, :18], rows(5, 37), dtype=dtype)
    check(lambda x: x[:, :3] + x[:, 2:5] * 0.5 + x[:, 4:], rows(5, 7), dtype=dtype)


@pytest.mark.parametrize("threads", [1, 2])
def test_cotangents_of_several_uses_are_added(threads: int) -> None:
    gate, norm = Gate("5x0e+3x1o").double(), RMSNorm("8x0e+3x1o").double()
    spectrum, network = PowerSpectrum(o3.Irreps("8x0e+3x1o")), MLP(17, 4, 8).double()

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.norm, self.spectrum, self.network = gate, norm, spectrum, network

        def forward(self, x: Any) -> Any:
            normal = self.norm(x)
            scaled = normal / (1 + self.spectrum(x, normal)[:, :1] * 0.01)
            both = self.gate(x)[:, :8] + x[:, :8] + self.gate(scaled)[:, :8] + scaled[:, 1:9]
            return both + self.network(x) + self.network(scaled)

    check(Twice(), rows(11, 17), threads=threads)


@pytest.mark.parametrize("n_atoms", [1, 2, 40])
def test_any_number_of_atoms_in_two_threads(n_atoms: int) -> None:
    gate = Gate("5x0e+3x1o").double()
    check(gate, rows(n_atoms, gate.irreps_in.dim), threads=2)


def test_layers_of_lookups_need_no_code() -> None:
    program = Program(3, 5.0)
    before = len(program.operations)
    table = torch.randn(3, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layers: list[nn.Module] = [
        Gate("5x0e+3x1o").double(),
        RMSNorm("8x0e+3x1o").double(),
        MLP(17, 4, 2).double(),
    ]
    for layer in layers:
        out = lower(program, layer, program.lookup(table))
        assert torch.equal(out.table, layer(table))
    assert torch.equal((2 * program.lookup(table) + 1)[:, 1:5].table, (2 * table + 1)[:, 1:5])
    assert len(program.operations) == before


def test_energies_are_scaled_and_shifted_by_species_in_float64() -> None:
    model, index = AtomicEnergy([-1e4, 2.0, 0.5], [0.3, 2.0, 1.0]).double(), SpeciesIndex([1, 6, 8])
    outputs, edges = rows(6, 1), random_edges(6, 0, n_species=3)
    program = Program(3, 5.0)
    given = Given(program, "outputs", outputs)
    program.add(given)
    species = lower(program, index, program.species)
    assert species is program.species
    program.finish(lower(program, model, given.out.squeeze(-1), species))
    slope = program.cotangent(given.out)
    assert slope is not None
    program.add(Keep(slope))
    native = NativeProgram(program, "float64")
    result = native(edges.species, edges.sender, edges.receiver, edges.vectors)
    of_atoms = torch.from_numpy(edges.species)
    expected = model(outputs.values[:, 0], of_atoms)
    np.testing.assert_allclose(result.energy, expected.detach().numpy(), rtol=1e-14)
    assert torch.equal(_read(native, slope, 6, 0)[:, 0], model.scale[of_atoms])


def test_errors_name_what_has_no_native_code() -> None:
    def leaky(x: Tensor) -> Tensor:
        return nn.functional.leaky_relu(x)

    program = Program(1, 5.0)
    given = Given(program, "x", rows(2, 8))
    with pytest.raises(CannotLower, match="the activation leaky has no native code"):
        lower(program, Gate("5x0e+1x1o", act=leaky), given.out[:, :6])
    with pytest.raises(CannotLower, match="expected a divisor of 1 column, got 8"):
        given.out / given.out
    with pytest.raises(CannotLower, match="of a matrix of 8 columns"):
        given.out[:, ::2]
