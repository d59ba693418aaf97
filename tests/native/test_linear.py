"""Native linear layers equal their torch twins, with the same gradients, and sums cost no operation."""

from collections.abc import Callable
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor

from symnets.native import CannotLower, Matrix, Program, _linear, matrix_product
from symnets.native._elementwise import AddTo, Sum
from symnets.nn import AtomicEnergy, Linear, SpeciesIndex, SpeciesLinear
from tests.native.programs import Edges, Rows, assert_equal, native_result, random_edges, torch_result

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
"""Sums of at most a hundred numbers of order one, added in another order."""


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def features(edges: Edges, columns: int) -> Rows:
    return Rows(torch.randn(edges.n_own, columns, dtype=torch.float64))


def compare(
    twin: Callable[..., Tensor],
    lowered: Callable[..., Matrix],
    *inputs: Rows,
    edges: Edges,
    n_species: int = 1,
    dtype: str = "float64",
    threads: int = 1,
) -> None:
    theirs = torch_result(twin, *inputs)
    ours = native_result(lowered, *inputs, edges=edges, n_species=n_species, dtype=dtype, threads=threads)
    assert_equal(ours, theirs, TOLERANCE[dtype])


LAYERS = [
    ("8x0e", "8x0e"),
    ("17x0e + 5x1o", "33x0e + 16x1o"),
    ("32x0e + 32x1o + 32x2e", "48x0e + 16x1o + 16x2e"),  # a gate's scalars
    ("5x0e + 3x1o + 4x0e + 2x1o + 7x0o", "1x0e + 6x1o"),  # several slots, one irrep that is not read
    ("20x0e", "1x0e"),
    ("1x0e + 1x3o", "18x0e + 2x3o"),
]


@pytest.mark.parametrize(("dtype", "threads"), [("float64", 1), ("float32", 2)])
@pytest.mark.parametrize(("irreps_in", "irreps_out"), LAYERS)
def test_linear(irreps_in: str, irreps_out: str, dtype: str, threads: int) -> None:
    layer = Linear(irreps_in, irreps_out).double()
    edges = random_edges(14, 30)
    x = features(edges, layer.irreps_in.dim)
    compare(layer, layer.lower, x, edges=edges, dtype=dtype, threads=threads)


@pytest.mark.parametrize("n_atoms", [1, 2, 3, 7])
def test_any_number_of_atoms(n_atoms: int) -> None:
    """Tiles have one row (1), two (2), three (3), four (4 of 7), five (5 of 9), or six."""
    layer = Linear("19x0e + 4x1o", "16x0e + 3x1o").double()
    edges = random_edges(n_atoms, 0)
    compare(layer, layer.lower, features(edges, layer.irreps_in.dim), edges=edges)


def test_bias() -> None:
    layer = Linear("5x1o + 6x0e + 2x0e", "3x1o + 17x0e", bias=True).double()
    assert layer.bias is not None
    torch.nn.init.normal_(layer.bias)
    edges = random_edges(9, 20)
    compare(layer, layer.lower, features(edges, layer.irreps_in.dim), edges=edges)


@pytest.mark.parametrize(("dtype", "threads"), [("float64", 2), ("float32", 1)])
@pytest.mark.parametrize("n_species", [1, 3])
def test_species_linear(n_species: int, dtype: str, threads: int) -> None:
    """Output irreps without input are zero, and inputs that no output reads have the gradient zero."""
    layer = SpeciesLinear("17x0e + 5x1o + 4x2e", "8x0e + 3x0o + 16x1o", n_species).double()
    edges = random_edges(25, 40, n_species=n_species)
    species = torch.tensor(edges.species)
    compare(
        lambda x: layer(x, species),
        lambda program, x: layer.lower(program, x, program.species),
        features(edges, layer.irreps_in.dim),
        edges=edges,
        n_species=n_species,
        dtype=dtype,
        threads=threads,
    )


def test_species_without_atoms() -> None:
    layer = SpeciesLinear("4x0e", "5x0e", 4).double()
    edges = random_edges(3, 0)
    edges.species[:] = 2
    compare(
        lambda x: layer(x, torch.tensor(edges.species)),
        lambda program, x: layer.lower(program, x, program.species),
        features(edges, 4),
        edges=edges,
        n_species=4,
    )


def test_prefetching_does_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are prefetched if there are many; none is read beyond the last one."""
    monkeypatch.setattr(_linear, "CACHE", 0)
    layer = SpeciesLinear("17x0e + 5x1o", "16x1o + 8x0e", 3).double()
    edges = random_edges(25, 0, n_species=3)
    compare(
        lambda x: layer(x, torch.tensor(edges.species)),
        lambda program, x: layer.lower(program, x, program.species),
        features(edges, layer.irreps_in.dim),
        edges=edges,
        n_species=3,
    )


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        *product([(64, 1), (5, 1), (1, 33), (37, 2), (16, 64), (40, 16)], ["float64"]),
        *product([(37, 2), (16, 64)], ["float32"]),
    ],
)
def test_matrix_product(shape: tuple[int, int], dtype: str) -> None:
    weights = torch.randn(*shape, dtype=torch.float64)
    edges = random_edges(23, 0)
    compare(
        lambda x: x @ weights,
        lambda program, x: matrix_product(program, x, weights),
        features(edges, shape[0]),
        edges=edges,
        dtype=dtype,
    )


def test_rows_of_edges() -> None:
    weights = torch.randn(6, 5, dtype=torch.float64)
    program = Program(1, 5.0)
    x = program.matrix("x", "edges", 6)
    assert matrix_product(program, x, weights).rows == "edges"
    assert program.operations[-1].over == "edges"


def test_rows_of_ghosts_are_not_computed() -> None:
    layer = Linear("5x0e", "4x0e").double()
    edges = random_edges(12, 20, n_own=7)
    compare(layer, layer.lower, features(edges, 5), edges=edges)


def test_lookups_need_no_operation() -> None:
    """Linear maps of rows that depend on species alone are computed when the program is made."""
    program, n_species = Program(3, 5.0), 3
    linear, own = Linear("4x0e", "5x0e").double(), SpeciesLinear("4x0e", "5x0e", n_species).double()
    lookup = program.lookup(torch.randn(n_species, 4, dtype=torch.float64))
    before = len(program.operations)
    matrices = linear.lower(program, lookup), own.lower(program, lookup, program.species)
    product = matrix_product(program, lookup, torch.ones(4, 2, dtype=torch.float64))
    assert len(program.operations) == before
    assert all(matrix.table is not None for matrix in (*matrices, product))
    torch.testing.assert_close(matrices[1].table, own(lookup.table, torch.arange(3)).detach())


LINEAR = Linear("17x0e + 5x1o", "17x0e + 5x1o").double()
OWN = SpeciesLinear("17x0e + 5x1o", "17x0e + 5x1o", 2).double()
SUMS: list[tuple[Callable[..., Tensor], Callable[..., Matrix]]] = [
    (
        lambda species, x, y: LINEAR(x) + OWN(y, species),
        lambda p, x, y: LINEAR.lower(p, x) + OWN.lower(p, y, p.species),
    ),
    (
        lambda species, x: OWN(x, species) + LINEAR(x),
        lambda p, x: OWN.lower(p, x, p.species) + LINEAR.lower(p, x),
    ),
    (lambda species, x: x + LINEAR(x), lambda p, x: x + LINEAR.lower(p, x)),
    (lambda species, x, y: LINEAR(x) + y, lambda p, x, y: LINEAR.lower(p, x) + y),
    (
        lambda species, x, y: LINEAR(x) + LINEAR(x) + OWN(y, species),
        lambda p, x, y: LINEAR.lower(p, x) + LINEAR.lower(p, x) + OWN.lower(p, y, p.species),
    ),
]
"""Sums with linear maps: twin, and function of a program."""


@pytest.mark.parametrize("number", range(len(SUMS)))
def test_sums_cost_no_operation(number: int) -> None:
    """The sum is computed by the linear map, forwards, and in reverse, where gradients are added."""
    edges = random_edges(14, 30, n_species=2)
    twin, lowered = SUMS[number]
    programs: list[Program] = []

    def lower(program: Program, *matrices: Matrix) -> Matrix:
        programs.append(program)
        return lowered(program, *matrices)

    inputs = [features(edges, 32) for _ in range(twin.__code__.co_argcount - 1)]
    compare(partial(twin, torch.tensor(edges.species)), lower, *inputs, edges=edges, n_species=2, threads=2)
    assert not any(isinstance(operation, (Sum, AddTo)) for operation in programs[0].operations)


def test_sum_with_a_lookup() -> None:
    layer = Linear("5x0e", "6x0e").double()
    edges = random_edges(9, 20, n_species=3)
    table = torch.randn(3, 6, dtype=torch.float64)
    compare(
        lambda x: layer(x) + table[edges.species],
        lambda program, x: layer.lower(program, x) + program.lookup(table),
        features(edges, 5),
        edges=edges,
        n_species=3,
    )


def test_sum_of_a_matrix_that_others_read() -> None:
    """Both y and x + y, for y = linear(x), are used: the sum is an operation of its own."""
    first, second = (Linear("5x0e", "5x0e").double() for _ in range(2))
    edges = random_edges(9, 20)

    def twin(x: Tensor) -> Tensor:
        y = first(x)
        return second(y) + (x + y)

    def lowered(program: Program, x: Matrix) -> Matrix:
        y = first.lower(program, x)
        z = second.lower(program, y)
        return z + (x + y)

    compare(twin, lowered, features(edges, 5), edges=edges)


def test_a_matrix_read_after_its_sum_cannot_be_lowered() -> None:
    program, layer = Program(1, 5.0), Linear("5x0e", "5x0e").double()
    x = program.matrix("x", "atoms", 5)
    y = layer.lower(program, x)
    assert (x + y).columns == 5
    with pytest.raises(CannotLower, match="after it was added"):
        layer.lower(program, y)


def test_species_layers_are_for_the_species_of_the_graph() -> None:
    program = Program(2, 5.0)
    x = program.matrix("x", "atoms", 3)
    with pytest.raises(CannotLower, match="SpeciesLinear: expected the species of the graph's atoms"):
        SpeciesLinear("3x0e", "2x0e", 2).lower(program, x, program.sender)
    with pytest.raises(CannotLower, match="expected weights of the 2 species of the model, or of 1, got 3"):
        SpeciesLinear("3x0e", "2x0e", 3).lower(program, x, program.species)
    with pytest.raises(CannotLower, match="SpeciesIndex: expected z of the graph's atoms"):
        SpeciesIndex((1, 6)).lower(program, program.sender)
    energy = AtomicEnergy([0.0, 0.0], [1.0, 1.0])
    with pytest.raises(CannotLower, match="AtomicEnergy: expected the species of the graph's atoms"):
        energy.lower(program, program.matrix("e", "atoms", 1), program.sender)
    with pytest.raises(CannotLower, match="AtomicEnergy: expected one output for each atom, got 3"):
        energy.lower(program, x, program.species)
