"""Machine code for lengths, harmonics, kinds of pairs and densities, against e3nn and the layers."""

from functools import cache

import numpy as np
import pytest
import torch
from ase.data import atomic_numbers
from e3nn import o3

from symnets.native import (
    CannotLower,
    Geometry,
    LoweredGraph,
    Matrix,
    NativeProgram,
    Program,
    ScaleAndShift,
    lower,
)
from symnets.nn import BesselBasis, EdgeGeometry, Edges, PairKinds
from symnets.nn._density import TabulatedDensity
from symnets.nn._edges import Distance
from symnets.ops import RadialTable
from tests.native.edge_energies import SumOfSquares, forces_and_virials, random_edges

CUTOFF = 3.0
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
"""Relative to the largest value: about a hundred roundings."""


@pytest.fixture(params=[1, 2])
def threads(request, monkeypatch):
    """One thread, or two, for any number of edges."""
    monkeypatch.setattr(
        "symnets.native._native_program.MOST_EDGES_OF_ONE_THREAD", -1 if request.param == 2 else 10**9
    )
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def close(found, expected, dtype):
    expected = np.asarray(expected)
    scale = max(abs(expected).max(initial=0.0), 1.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


@cache
def harmonics_program(lmax, *, solid=False):
    program = Program(1, CUTOFF)
    geometry = Geometry(program, lmax, solid=solid)
    program.add(geometry)
    factors = np.linspace(0.5, 1.5, 1 + (lmax + 1) ** 2)
    energy = SumOfSquares(program, [geometry.length, geometry.filters], factors)
    program.add(energy)
    program.finish(energy.out)
    return program, factors, geometry


@cache
def program_that_keeps_lengths():
    """A program with a last operation that reads the lengths, so that their memory is not used again."""
    program, _, geometry = harmonics_program.__wrapped__(1)
    program.add(SumOfSquares(program, [geometry.length], np.ones(1)))
    return program, geometry.length


def expected_energies(vectors, lmax, factors, *, solid):
    """Energy of each edge and its derivative with respect to the vector, by e3nn and autograd."""
    v = torch.tensor(vectors, requires_grad=True)
    r = v.norm(dim=1)
    filters = o3.spherical_harmonics(
        list(range(lmax + 1)),
        v if solid else v / r[:, None],
        normalize=False,
        normalization="component",
    )
    energy = torch.cat([r[:, None], filters], dim=1) ** 2 @ torch.tensor(factors)
    (derivative,) = torch.autograd.grad(energy.sum(), v)
    return energy.detach().numpy(), derivative.numpy()


def one_edge_each(n_edges):
    """Every edge has its own receiver; the sender of all is a ghost. Species, senders, receivers, vectors."""
    _, _, _, vectors = random_edges(1, n_edges, 1, CUTOFF)
    return np.zeros(n_edges + 1, dtype=np.int64), np.full(n_edges, n_edges), np.arange(n_edges), vectors


@pytest.mark.parametrize(
    ("lmax", "solid", "dtype"),
    [
        *((lmax, False, "float64") for lmax in (0, 1, 2, 6)),
        *((lmax, True, "float64") for lmax in (1, 3)),
        (3, False, "float32"),
        (2, True, "float32"),
    ],
)
def test_lengths_and_harmonics_and_their_derivatives_are_those_of_e3nn(lmax, solid, dtype):
    program, factors, _ = harmonics_program(lmax, solid=solid)
    native = NativeProgram(program, dtype)
    for n_edges in (0, 1, 37):  # no multiple of the number of lanes
        species, sender, receiver, vectors = one_edge_each(n_edges)
        found = native(species, sender, receiver, vectors, n_own=n_edges)
        energy, derivative = expected_energies(vectors, lmax, factors, solid=solid)
        close(found.energy, energy, dtype)
        close(found.forces[:-1], derivative, dtype)
        close(found.forces[-1], -derivative.sum(axis=0), dtype)


def test_threads_share_the_edges(threads):
    program, factors, _ = harmonics_program(2)
    species, sender, receiver, vectors = one_edge_each(101)
    found = NativeProgram(program, "float64")(species, sender, receiver, vectors, n_own=101)
    energy, derivative = expected_energies(vectors, 2, factors, solid=False)
    close(found.energy, energy, "float64")
    close(found.forces[:-1], derivative, "float64")


def test_forces_and_virials_of_atoms_are_sums_over_their_edges():
    program, factors, _ = harmonics_program(2)
    _, sender, receiver, vectors = random_edges(5, 40, 1, CUTOFF)
    found = NativeProgram(program, "float64")(np.zeros(5, dtype=np.int64), sender, receiver, vectors)
    energy, derivative = expected_energies(vectors, 2, factors, solid=False)
    close(found.energy, np.bincount(receiver, energy, minlength=5), "float64")
    forces, virials = forces_and_virials(torch.tensor(derivative), vectors, sender, receiver, 5)
    close(found.forces, forces, "float64")
    close(found.virials, virials, "float64")


BAD_VECTORS = [
    ([0.0, 0.0, 0.0], "same place"),
    ([np.nan, 0.0, 1.0], "not finite"),
    ([np.inf, 0.0, 0.0], "not finite"),
    ([1e300, 0.0, 0.0], "not finite"),
    ([0.0, CUTOFF * 1.001, 0.0], "longer than the cutoff"),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bad_vectors_are_errors_and_lengths_stay_within_the_tables(dtype):
    program, length = program_that_keeps_lengths()
    native = NativeProgram(program, dtype)
    for bad, message in BAD_VECTORS:
        species, sender, receiver, vectors = one_edge_each(20)
        vectors[17] = bad
        with pytest.raises(ValueError, match=message):
            native(species, sender, receiver, vectors, n_own=20)
        lengths = edge_rows(native, length, 21, 20)[:, 0]
        assert ((lengths >= 0) & (lengths <= np.float32(CUTOFF))).all(), bad
        others = np.arange(20) != 17
        np.testing.assert_allclose(lengths[others], np.linalg.norm(vectors[others], axis=1), rtol=1e-6)
        vectors[17] = [0.0, 1.0, 0.0]  # the next call is none the worse
        assert np.isfinite(native(species, sender, receiver, vectors, n_own=20).energy).all()


def test_lengths_may_exceed_the_cutoff_by_rounding():
    program, length = program_that_keeps_lengths()
    native = NativeProgram(program, "float64")
    species, sender, receiver, vectors = one_edge_each(1)
    vectors[0] = [0.0, 0.0, CUTOFF * (1 + 5e-5)]
    native(species, sender, receiver, vectors, n_own=1)
    assert edge_rows(native, length, 2, 1)[0, 0] == CUTOFF


def edge_rows(native, matrix, n_atoms, n_edges):
    """Rows of a matrix of edges in the arena, after a call."""
    layout, place = native.layout, native.layout.places[matrix]
    first = layout.atoms * _padded(n_atoms) + place.offset * _padded(n_edges)
    rows = native._arena[first:].view(native.dtype)[: n_edges * matrix.columns]
    return rows.reshape(n_edges, matrix.columns).copy()


def _padded(n):
    return n // 16 * 16 + 16


SPECIES = tuple(atomic_numbers[symbol] for symbol in ("H", "C", "O"))


def geometry_layer(*, kinds=False, **options):
    return EdgeGeometry(CUTOFF, 2, 8, basis=Distance(PairKinds(SPECIES) if kinds else None), **options)


def test_the_layer_lowers_to_lengths_and_harmonics():
    program = Program(3, CUTOFF)
    edges = lower(program, geometry_layer(), LoweredGraph(program))
    assert (edges.basis.columns, edges.filters.columns, edges.pair, edges.kind) == (1, 9, None, None)
    solid = lower(program, geometry_layer(solid=True), LoweredGraph(program))
    operations = [op for op in program.operations if isinstance(op, Geometry)]
    assert [op.solid for op in operations] == [False, True]
    assert solid.filters is operations[1].filters


def test_other_bases_and_envelopes_have_no_native_code():
    program = Program(3, CUTOFF)
    with pytest.raises(CannotLower, match="BesselBasis"):
        lower(program, EdgeGeometry(CUTOFF, 2, 8, basis=BesselBasis(CUTOFF, 8)), LoweredGraph(program))
    with pytest.raises(CannotLower, match="attention"):
        lower(program, geometry_layer(envelope=True), LoweredGraph(program))
    program = Program(2, CUTOFF)
    with pytest.raises(CannotLower, match="expected those of the 2 elements of the model, got 3"):
        lower(program, geometry_layer(kinds=True), LoweredGraph(program))


@pytest.mark.parametrize(("kinds", "dtype"), [(False, "float64"), (True, "float64"), (True, "float32")])
def test_density_is_that_of_the_layer(threads, kinds, dtype):
    functions = [
        lambda r, c=c: ((c + torch.sin(2 * r)) * (1 - r / CUTOFF) ** 2)[:, None]
        for c in np.linspace(1, 2, 6 if kinds else 1)
    ]
    layer = TabulatedDensity(RadialTable(functions, CUTOFF, 20, dtype=torch.float64))
    program = Program(3, CUTOFF)
    edges = lower(program, geometry_layer(kinds=kinds), LoweredGraph(program))
    density = lower(program, layer, edges, (program.sender, program.receiver), None)
    assert isinstance(density, Matrix)
    scale = [1.0, -0.5, 2.0]
    energy = ScaleAndShift(program, density, scale, [0.0, 0.0, 0.0])
    program.add(energy)
    program.finish(energy.out)
    native = NativeProgram(program, dtype)
    for n_edges in (0, 60):
        species, sender, receiver, vectors = random_edges(7, n_edges, 3, CUTOFF)
        v = torch.tensor(vectors, requires_grad=True)
        z = torch.tensor(SPECIES)[torch.tensor(species)]
        edge_index = torch.tensor(np.stack([sender, receiver]))
        kind = PairKinds(SPECIES)(z[edge_index]) if kinds else None
        rho = layer(Edges(v.norm(dim=1)[:, None], v, kind=kind), edge_index, 7)
        expected = rho[:, 0] * torch.tensor(scale, dtype=torch.float64)[torch.tensor(species)]
        (derivative,) = torch.autograd.grad(expected.sum(), v)
        found = native(species, sender, receiver, vectors)
        close(found.energy, expected.detach(), dtype)
        close(found.forces, forces_and_virials(derivative, vectors, sender, receiver, 7)[0], dtype)
