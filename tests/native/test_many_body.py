"""Many-body products in native programs: equal to the torch twin, with derivatives."""

import pytest
import torch

from symnets.native import lower
from symnets.nn import ManyBodyProduct
from tests.native.programs import Rows, assert_equal, native_result, random_edges, torch_result


def product(irreps_in: str, irreps_out: str, correlation: int, n_species: int) -> ManyBodyProduct:
    torch.manual_seed(0)
    return ManyBodyProduct(irreps_in, irreps_out, correlation, n_species).double()


@pytest.mark.parametrize(
    ("correlation", "out", "channels", "threads"),
    [(1, "0e", 5, 1), (2, "0e+1o", 33, 1), (2, "0e+1o", 16, 2), (3, "0e+2e", 5, 1)],
)
def test_equals_torch_with_derivatives(correlation, out, channels, threads):
    """Three species, one without atoms; 1e-12 of the largest entry: sums in another order."""
    irreps_out = "+".join(f"{channels}x{ir}" for ir in out.split("+"))
    layer = product(f"{channels}x0e+{channels}x1o+{channels}x2e", irreps_out, correlation, 3)
    edges = random_edges(7, 4, n_species=2, n_own=6)
    species = torch.from_numpy(edges.species)[:6]
    rows = Rows(torch.randn(6, channels * 9, dtype=torch.float64))
    ours = native_result(
        lambda program, x: lower(program, layer, x, program.species),
        rows,
        edges=edges,
        n_species=3,
        threads=threads,
    )
    assert_equal(ours, torch_result(lambda x: layer(x, species), rows), 1e-12)


def test_derivatives_are_added_where_others_read_the_features():
    layer, edges = product("8x0e+8x1o", "8x0e+8x1o", 2, 1), random_edges(4, 0)
    rows = Rows(torch.randn(4, 32, dtype=torch.float64))
    ours = native_result(
        lambda program, x: program.sum(lower(program, layer, x, program.species), x), rows, edges=edges
    )
    species = torch.zeros(4, dtype=torch.long)
    assert_equal(ours, torch_result(lambda x: layer(x, species) + x, rows), 1e-12)


def test_products_of_a_lookup_are_a_lookup():
    layer, edges = product("4x0e", "4x0e", 3, 2), random_edges(5, 0, n_species=2)
    table = Rows(torch.randn(2, 4, dtype=torch.float64), "species")
    ours = native_result(
        lambda program, x: lower(program, layer, x, program.species), table, edges=edges, n_species=2
    )
    species = torch.from_numpy(edges.species)
    expected = layer(table.values[species], species)
    assert torch.allclose(ours.out, expected, rtol=0, atol=1e-13)
