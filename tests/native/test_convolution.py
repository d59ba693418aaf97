"""Tabulated convolutions in native programs: sums and derivatives equal to those of the torch twin."""

import ctypes
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from e3nn import o3

from symnets import nn
from symnets.native import CannotLower, Matrix, Program, lower
from symnets.nn._convolution import TabulatedConvolution
from symnets.ops import RadialTable
from tests.native.programs import (
    Edges,
    Rows,
    assert_equal,
    native_result,
    random_edges,
    torch_result,
)

CUTOFF, HARMONICS = 5.0, "0e+1o+2e"


def convolution(irreps_in: str, targets: str, *, n_kinds: int = 1, seed: int = 0) -> TabulatedConvolution:
    """A layer with tables of sines; its conversion to tables is tested elsewhere."""
    exact = nn.Convolution(irreps_in, HARMONICS, targets, n_basis=1, radial_hidden=[], mean_neighbors=1.0)
    k = torch.arange(1, exact.product.weight_numel + 1, dtype=torch.float64) / (5 + seed)
    kinds = [lambda r, n=n: torch.sin(k * (r[:, None] + n)) for n in range(n_kinds)]
    return TabulatedConvolution(exact, RadialTable(kinds, CUTOFF, 7, dtype=torch.float64))


def inputs(layer: TabulatedConvolution, edges: Edges, *, of: str = "atoms", n_kinds: int = 1) -> list[Rows]:
    """Random features, harmonics and lengths, and kinds of edges if there are several."""
    generator, n_edges = torch.Generator().manual_seed(1), len(edges.sender)
    n_filters = o3.Irreps(HARMONICS).dim
    lengths = torch.rand(n_edges, 1, generator=generator, dtype=torch.float64) * CUTOFF
    if n_edges > 1:
        lengths[0], lengths[1] = 0.0, CUTOFF
    n_rows = edges.n_own if of == "atoms" else 2
    rows = [
        Rows(torch.randn(n_rows, layer.irreps_in.dim, generator=generator, dtype=torch.float64), of),
        Rows(torch.randn(n_edges, n_filters, generator=generator, dtype=torch.float64), "edges"),
        Rows(lengths, "edges"),
    ]
    if n_kinds > 1:
        rows.append(Rows(torch.randint(n_kinds, (n_edges, 1), generator=generator), "edges"))
    return rows


def convolved(layer: TabulatedConvolution, program: Program, *matrices: Matrix) -> Matrix:
    """The layer in a program."""
    features, filters, lengths, *kind = matrices
    edges = SimpleNamespace(basis=lengths, filters=filters, pair=None, kind=kind[0] if kind else None)
    return lower(program, layer, features, edges, (program.sender, program.receiver))


def twin(layer: TabulatedConvolution, edges: Edges, owner: np.ndarray | None = None):
    """The layer in torch; senders that are ghosts are replaced by their owners."""
    edge_index = edges.edge_index
    if owner is not None:
        edge_index[0] = torch.from_numpy(owner)[edge_index[0]]

    def evaluate(x, y, r, *kind):
        return layer(x, nn.Edges(r, y, kind=kind[0][:, 0] if kind else None), edge_index)

    return evaluate


@pytest.mark.parametrize("irreps", ["3x0e+20x1o", "17x0e+8x1o+5x2e", "33x0e", "16x0e+16x1o+16x1e"])
@pytest.mark.parametrize("n_edges", [0, 1, 40])
def test_equals_torch_with_derivatives(irreps, n_edges):
    """1e-12 of the largest entry: sums in another order."""
    layer, edges = convolution(irreps, irreps), random_edges(6, n_edges)
    rows = inputs(layer, edges)
    ours = native_result(lambda *m: convolved(layer, *m), *rows, edges=edges)
    assert_equal(ours, torch_result(twin(layer, edges), *rows), 1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("threads", [1, 2])
def test_two_threads_and_float32_equal_torch(dtype, tolerance, threads):
    layer, edges = convolution("16x0e+5x1o", "0e+1o+2e"), random_edges(9, 60)
    rows = inputs(layer, edges)
    ours = native_result(lambda *m: convolved(layer, *m), *rows, edges=edges, dtype=dtype, threads=threads)
    assert_equal(ours, torch_result(twin(layer, edges), *rows), tolerance)


def test_an_atom_without_edges_gets_zeros():
    layer, edges = convolution("4x0e+4x1o", "0e+1o"), random_edges(1, 0)
    rows = inputs(layer, edges)
    ours = native_result(lambda *m: convolved(layer, *m), *rows, edges=edges)
    assert not ours.out.any()
    assert not ours.gradients[0].any()


def test_features_that_are_lookups_get_no_derivative():
    """They depend on the species alone; ghosts have them without an exchange."""
    layer, edges = convolution("5x0e", "0e+1o+2e"), random_edges(6, 30, n_species=2, n_own=4)
    table, *rows = inputs(layer, edges, of="species")
    ours = native_result(lambda *m: convolved(layer, *m), table, *rows, edges=edges, n_species=2)
    x = Rows(table.values[edges.species])
    theirs = torch_result(twin(layer, edges), x, *rows)
    theirs.out, theirs.gradients[0] = theirs.out[: edges.n_own], None
    # No edge ends at a ghost: their rows of the sum are zero, and have no part in the energy.
    assert_equal(ours, theirs, 1e-12)


def test_each_kind_of_pairs_has_its_own_functions():
    layer, edges = convolution("4x0e+4x1o", "0e+1o", n_kinds=3), random_edges(5, 30)
    rows = inputs(layer, edges, n_kinds=3)
    ours = native_result(lambda *m: convolved(layer, *m), *rows, edges=edges)
    assert_equal(ours, torch_result(twin(layer, edges), *rows), 1e-12)
    with pytest.raises(CannotLower, match="kinds"):
        native_result(lambda *m: convolved(layer, *m), *rows[:3], edges=edges)


@pytest.mark.parametrize("exchanged", [False, True], ids=["own", "ghosts"])
@pytest.mark.parametrize("threads", [1, 2])
def test_several_readers_of_features_filters_and_lengths_add_their_derivatives(exchanged, threads):
    """x is read by two convolutions and by a sum; with ghosts, whose rows come from their owners."""
    first = convolution("5x0e", "0e", seed=1)
    second = convolution("5x0e", "0e", seed=2)
    edges = random_edges(9, 60, n_own=5) if exchanged else random_edges(5, 60)
    owner = np.concatenate([np.arange(5), np.array([2, 0, 3, 0])])
    rows = inputs(first, edges)

    def native(program, x, y, r):
        a = convolved(first, program, x, y, r)
        b = convolved(second, program, x, y, r)
        c = convolved(second, program, a, y, r)
        return program.sum(program.sum(a, x), program.sum(b, c))

    def in_torch(x, y, r):
        a, b = (twin(layer, edges, owner)(x, y, r) for layer in (first, second))
        return a + x + b + twin(second, edges, owner)(a, y, r)

    exchange, _keep = halo(owner[5:], len(edges.species), edges.n_own) if exchanged else ((0, 0, 0), None)
    ours = native_result(native, *rows, edges=edges, threads=threads, exchange=exchange)
    assert_equal(ours, torch_result(in_torch, *rows), 1e-12)


def test_ghosts_give_the_same_derivatives():
    layer, edges = convolution("6x0e+5x1o", "0e+1o+2e"), random_edges(8, 50, n_own=5)
    owner = np.array([0, 1, 2, 3, 4, 1, 1, 0])
    rows = inputs(layer, edges)
    exchange, calls = halo(owner[5:], 8, 5)
    ours = native_result(lambda *m: convolved(layer, *m), *rows, edges=edges, exchange=exchange)
    assert_equal(ours, torch_result(twin(layer, edges, owner), *rows), 1e-12)
    assert calls.names == ["forward", "reverse"]


def halo(owner: np.ndarray, n_atoms: int, n_own: int):
    """Exchange functions for ghosts with given owners in this process, in float64, and a log of calls."""
    calls = SimpleNamespace(names=[])

    def rows_of(address: int, columns: int) -> np.ndarray:
        numbers = (ctypes.c_double * (n_atoms * columns)).from_address(address)
        return np.frombuffer(numbers, dtype=np.float64).reshape(n_atoms, columns)

    def forward(_: int, address: int, columns: int) -> None:
        rows = rows_of(address, columns)
        rows[n_own:] = rows[owner]
        calls.names.append("forward")

    def reverse(_: int, address: int, columns: int) -> None:
        rows = rows_of(address, columns)
        np.add.at(rows, owner, rows[n_own:].copy())
        rows[n_own:] = math.nan  # nobody may read them afterwards
        calls.names.append("reverse")

    kind = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)
    calls.functions = kind(forward), kind(reverse)
    addresses = [ctypes.cast(function, ctypes.c_void_p).value or 0 for function in calls.functions]
    return (addresses[0], addresses[1], 0), calls
