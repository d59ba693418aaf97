"""Weights from spline tables: accuracy of the splines, compiled against plain product."""

import math

import pytest
import torch
from e3nn import o3
from scipy.interpolate import CubicHermiteSpline

from symnets.nn import xplor_envelope
from symnets.ops import RadialTable, TabulatedProductScatter, TensorProductScatter, all_paths
from symnets.ops._fused_plan import TO_RECEIVERS, TO_SENDERS, FusedPlan

CUTOFF = 5.0


def waves(n: int):
    """n smooth functions that vanish at the cutoff with zero slope."""
    k = torch.arange(1, n + 1, dtype=torch.float64)
    return lambda r: torch.sin(k * r[:, None]) * torch.cos(math.pi * r / (2 * CUTOFF))[:, None] ** 2


def test_splines_are_exact_at_knots_and_converge_with_the_fourth_power_of_the_step():
    functions, r = waves(3), torch.linspace(0, CUTOFF, 1001, dtype=torch.float64)
    errors = []
    for n in (20, 40):
        table = RadialTable(functions, CUTOFF, n, dtype=torch.float64)
        knots = torch.arange(1, n + 1, dtype=torch.float64) * table.step
        assert torch.allclose(table(knots), functions(knots), atol=1e-13)
        errors.append(float((table(r) - functions(r)).abs().max()))
    assert 12 < errors[0] / errors[1] < 20


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_splines_equal_those_of_scipy(n):
    functions, r = waves(3), torch.linspace(0, CUTOFF, 301, dtype=torch.float64)
    table = RadialTable(functions, CUTOFF, n, dtype=torch.float64)
    knots = (torch.arange(n + 1, dtype=torch.float64) * table.step).clamp(min=1e-6 * table.step)
    slopes = torch.func.jvp(functions, (knots,), (torch.ones_like(knots),))[1]
    spline = CubicHermiteSpline(knots.numpy(), functions(knots).numpy(), slopes.numpy())
    assert torch.allclose(table(r), torch.from_numpy(spline(r.numpy())), rtol=0, atol=2e-5 / n)


def test_splines_converge_for_functions_with_a_discontinuous_second_derivative():
    """SevenNet-0's envelope has one; splines with a continuous second derivative do not converge to it."""

    def functions(r: torch.Tensor) -> torch.Tensor:
        return (torch.sin(3 * r) * xplor_envelope(r, 0.9 * CUTOFF, CUTOFF))[:, None]

    r = torch.linspace(0.01, CUTOFF, 1001, dtype=torch.float64)
    tables = [RadialTable(functions, CUTOFF, n, dtype=torch.float64) for n in (100, 200)]
    coarse, fine = ((table(r) - functions(r)).abs().max() for table in tables)
    assert 12 < coarse / fine < 20


def test_slope_is_that_of_the_spline():
    table = RadialTable(waves(2), CUTOFF, 7, dtype=torch.float64)
    r = torch.rand(20, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * CUTOFF
    assert torch.autograd.gradcheck(table, r.requires_grad_())


@pytest.mark.parametrize("bad", [math.nan, -0.1, 5.1])
def test_distances_outside_of_the_table_are_refused(bad):
    table = RadialTable(waves(2), CUTOFF, 7)
    with pytest.raises(ValueError, match="expected 0 to 5"):
        table(torch.tensor([1.0, bad]))


def test_edges_slightly_beyond_the_cutoff_by_rounding_have_zero_weight():
    table = RadialTable(waves(2), CUTOFF, 2000, dtype=torch.float32)
    assert bool((table(torch.tensor([CUTOFF + 2e-4])).abs() < 1e-6).all())


def products(irreps_in: str, irreps_filter: str, dtype: torch.dtype = torch.float64):
    """Compiled and plain products of the same table, and the plan's product of given weights."""
    slots, paths = all_paths(irreps_in, irreps_filter, irreps_in)
    given = TensorProductScatter(irreps_in, irreps_filter, slots, paths, layout="ir_mul")
    table = RadialTable(waves(given.weight_numel), CUTOFF, 16, dtype=dtype)
    return [
        TabulatedProductScatter(given.plan, table, implementation=name) for name in ("fused", "plain")
    ], given


def graph(irreps_in: str, irreps_filter: str, n_edges: int, dtype: torch.dtype = torch.float64):
    """Random features, filters, distances and edges; node 5 has no edges."""
    generator = torch.Generator().manual_seed(3)
    columns = o3.Irreps(irreps_in).dim, o3.Irreps(irreps_filter).dim
    x = torch.randn(6, columns[0], generator=generator, dtype=dtype, requires_grad=True)
    y = torch.randn(n_edges, columns[1], generator=generator, dtype=dtype, requires_grad=True)
    r = torch.rand(n_edges, generator=generator, dtype=dtype) * CUTOFF
    if n_edges > 1:
        r[0], r[1] = 0.0, CUTOFF
    edge_index = torch.randint(5, (2, n_edges), generator=generator)
    return x, y, r.requires_grad_(), edge_index, 6


@pytest.mark.parametrize("irreps", ["3x0e+20x1o", "17x0e+8x1o+5x2e", "16x0e"])
@pytest.mark.parametrize("n_edges", [0, 1, 30])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_compiled_equals_plain_with_derivatives(irreps, n_edges, dtype, tolerance):
    (fused, plain), _ = products(irreps, "0e+1o+2e", dtype)
    arguments = graph(irreps, "0e+1o+2e", n_edges, dtype)
    results = []
    for product in (fused, plain):
        out = product(*arguments)
        weights = torch.sin(torch.arange(out.numel(), dtype=dtype)).view_as(out)
        results.append([out, *torch.autograd.grad((out * weights).sum(), arguments[:3])])
    for ours, theirs in zip(*results, strict=True):
        largest = theirs.detach().abs().max() if len(theirs) else torch.zeros(())
        assert torch.allclose(ours, theirs, rtol=0, atol=tolerance * float(largest))


def test_forces_alone_need_no_derivative_of_features_of_the_species(monkeypatch):
    """The features of the first layer depend on weights and not on positions: dL/dx is not computed."""
    loops, at_nodes = [], FusedPlan.at_nodes

    def counted(self, loop, *arguments):
        loops.append(loop)
        return at_nodes(self, loop, *arguments)

    monkeypatch.setattr(FusedPlan, "at_nodes", counted)
    (product, _), _ = products("3x0e+3x1o", "0e+1o")
    embedding, y, r, edge_index, n = graph("3x0e+3x1o", "0e+1o", 30)
    energy = product(2 * embedding, y, r, edge_index, n).sum()
    torch.autograd.grad(energy, (y, r), retain_graph=True)
    assert loops == [TO_RECEIVERS]
    torch.autograd.grad(energy, (embedding, y, r))
    assert loops == [TO_RECEIVERS, TO_SENDERS]


def test_equals_the_product_of_the_interpolated_weights():
    (fused, _), given = products("4x0e+4x1o", "0e+1o")
    x, y, r, edge_index, n = graph("4x0e+4x1o", "0e+1o", 12)
    expected = given(x, y, fused.table(r), edge_index, n)
    assert torch.allclose(fused(x, y, r, edge_index, n), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("implementation", [0, 1], ids=["fused", "plain"])
def test_invalid_tensors_are_refused_before_machine_code_reads_them(implementation):
    product = products("4x0e+4x1o", "0e+1o")[0][implementation]
    x, y, r, edge_index = (a.detach() for a in graph("4x0e+4x1o", "0e+1o", 12)[:4])
    for bad in (
        (x.float(), y, r, edge_index),
        (x, y.float(), r, edge_index),
        (x, y, r.float(), edge_index),
        (x.float(), y.float(), r.float(), edge_index),  # the table is float64
        (x, y, r, edge_index.int()),
        (x[:, 1:], y, r, edge_index),
        (x, y[:, 1:], r, edge_index),
        (x, y, r[1:], edge_index),
        (x.to("meta"), y, r, edge_index),
    ):
        with pytest.raises(ValueError, match="expected shape"):
            product(*bad, 6)
    with pytest.raises(ValueError, match="implementation: expected one of"):
        TabulatedProductScatter(product.plan, product.table, implementation="Fused")  # type: ignore[arg-type]


def test_each_kind_of_pairs_has_its_own_functions():
    """A table of two sets of functions: row by row the values of the single tables, compiled and plain."""
    slots, paths = all_paths("4x0e", "0e+1o", "4x0e+4x1o")
    given = TensorProductScatter("4x0e", "0e+1o", slots, paths, layout="ir_mul")
    first = waves(given.weight_numel)
    kinds = [first, lambda r: 2 * first(r) + first(r / 2 + CUTOFF / 2)]
    table = RadialTable(kinds, CUTOFF, 16, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    r = torch.rand(5, generator=generator, dtype=torch.float64) * CUTOFF
    kind = torch.tensor([0, 1, 1, 0, 1])
    singles = torch.stack([RadialTable(w, CUTOFF, 16, dtype=torch.float64)(r) for w in kinds])
    assert torch.equal(table(r, kind), singles[kind, torch.arange(5)])
    x, y = (torch.randn(5, n, generator=generator, dtype=torch.float64) for n in (4, 4))
    edge_index = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 0, 0, 3]])
    outputs = []
    for name in ("fused", "plain"):
        leaf = r.clone().requires_grad_()
        product = TabulatedProductScatter(given.plan, table, implementation=name)
        out = product(x, y, leaf, edge_index, 5, None, kind)
        outputs.append((out, *torch.autograd.grad(out.square().sum(), leaf)))
    torch.testing.assert_close(outputs[0], outputs[1])
    with pytest.raises(ValueError, match="kind: expected 5 numbers from 0 to 1"):
        table(r, kind + 1)
