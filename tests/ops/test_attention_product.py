"""Logits and sums of attention against e3nn's tensor product for each edge."""

import pytest
import torch
from torch import Tensor

from symnets.ops import AttentionLogits, AttentionSum, RadialTable, SplineWeights, all_paths
from tests.naive.attention import attention_logits, attention_sum
from tests.ops.products import largest_error, relative

NODES, EDGES = 5, 9
CASES = {
    "three heads": ("3x0e+3x1o+3x2e", "0e+1o+2e", "0e+1o+2e", 3),
    "uneven channels": ("8x0e+4x1o+2x1e", "0e+1o", "0e+1o+1e", 2),
    "scalar filter": ("2x0e+2x1o", "0e", "0e+1o", 2),
    "more channels than a register": ("18x0e+18x1o", "0e+1o", "0e+1o", 1),
}


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def build(cls, case: str, implementation: str = "auto"):
    irreps, filters, targets, heads = CASES[case]
    slots, paths = all_paths(irreps, filters, targets)
    return cls(irreps, filters, slots, paths, heads=heads, implementation=implementation)


def graph() -> tuple[Tensor, Tensor]:
    """Edges, of which the last node receives none, and a row of weights for each, partly shared."""
    generator = torch.Generator().manual_seed(0)
    ends = [torch.randint(n, (EDGES,), generator=generator) for n in (NODES, NODES - 1)]
    return torch.stack(ends), torch.arange(EDGES) // 2


def leaves(*sizes: tuple[int, int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(size, generator=generator, requires_grad=True) for size in sizes]


def arguments(op) -> list[Tensor]:
    """q, x, Y, w of `AttentionLogits`, or x, Y, w, α of `AttentionSum`."""
    rows = (NODES, op.irreps_in1.dim), (EDGES, op.irreps_in2.dim), ((EDGES + 1) // 2, op.weight_numel)
    if isinstance(op, AttentionLogits):
        return leaves((NODES, op.irreps_out.dim), *rows)
    return leaves(*rows, (EDGES, op.heads))


def call(op, tensors: list[Tensor]) -> Tensor:
    edge_index, pair = graph()
    if isinstance(op, AttentionLogits):
        return op(*tensors, edge_index, pair)
    return op(*tensors, edge_index, NODES, pair)


def e3nn(op, tensors: list[Tensor]) -> Tensor:
    """The logits or sums by e3nn, where each edge has its own row of weights."""
    edge_index, pair = graph()
    if isinstance(op, AttentionLogits):
        q, x, y, w = tensors
        return attention_logits(op, q, x, y, w[pair], edge_index)
    x, y, w, a = tensors
    return attention_sum(op, x, y, w[pair], a, edge_index, NODES)


def derivatives(function, tensors: list[Tensor], order: int) -> list[Tensor]:
    """Value, and gradients of sums of squares of gradients, up to an order."""
    results = [function(tensors)]
    first = results[0]
    total = (torch.sin(torch.arange(first.numel())).view_as(first) * first).sum() + (first**2).sum()
    for _ in range(order):
        gradients = torch.autograd.grad(total, tensors, create_graph=True)
        results += gradients
        total = sum((g**2).sum() for g in gradients)
    return results


@pytest.mark.parametrize("implementation", ["fused", "plain"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cls", [AttentionLogits, AttentionSum])
def test_values_and_two_derivatives_are_those_of_e3nn(cls, case, implementation):
    op = build(cls, case, implementation)
    tensors = arguments(op)
    ours = derivatives(lambda t: call(op, t), tensors, 2)
    theirs = derivatives(lambda t: e3nn(op, t), tensors, 2)
    assert largest_error(ours, theirs) < 1e-12


@pytest.mark.parametrize("cls", [AttentionLogits, AttentionSum])
def test_third_derivatives_of_the_compiled_loops_are_those_of_torch(cls):
    op, twin = (build(cls, "uneven channels", name) for name in ("fused", "plain"))
    tensors = arguments(op)
    ours, theirs = (derivatives(lambda t, o=o: call(o, t), tensors, 3) for o in (op, twin))
    assert largest_error(ours, theirs) < 1e-12


@pytest.mark.parametrize("cls", [AttentionLogits, AttentionSum])
def test_skipping_unneeded_derivatives_does_not_change_the_others(cls):
    op = build(cls, "scalar filter")  # each choice of derivatives has its own loops; these compile fast
    tensors = arguments(op)

    def second(first: list[Tensor], inputs: list[Tensor]) -> tuple[Tensor, ...]:
        gradients = torch.autograd.grad((call(op, tensors) ** 2).sum(), first, create_graph=True)
        return torch.autograd.grad(sum((g**2).sum() for g in gradients), inputs)

    for n in range(4):
        first = tensors[:n] + tensors[n + 1 :]
        expected = second(first, tensors)
        for one, both in zip(tensors, expected, strict=True):
            assert relative(second(first, [one])[0], both) < 1e-12


@pytest.mark.parametrize("implementation", ["fused", "plain"])
@pytest.mark.parametrize("cls", [AttentionLogits, AttentionSum])
def test_no_edges_give_no_logits_and_zero_sums(cls, implementation):
    op = build(cls, "three heads", implementation)
    x, q = torch.ones(3, op.irreps_in1.dim, requires_grad=True), torch.ones(3, op.irreps_out.dim)
    y, w, a = torch.zeros(0, op.irreps_in2.dim), torch.zeros(0, op.weight_numel), torch.zeros(0, op.heads)
    index = torch.zeros(2, 0, dtype=torch.int64)
    out = op(q, x, y, w, index) if cls is AttentionLogits else op(x, y, w, a, index, 3)
    assert out.shape == ((0, op.heads) if cls is AttentionLogits else (3, op.irreps_out.dim))
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert not out.any()
    assert not gradient.any()


@pytest.mark.parametrize("cls", [AttentionLogits, AttentionSum])
def test_torch_func_uses_the_plain_implementation(cls):
    op = build(cls, "uneven channels")
    tensors, (edge_index, pair) = [t.detach() for t in arguments(op)], graph()
    n_nodes = () if cls is AttentionLogits else (NODES,)

    def of(x: Tensor) -> Tensor:
        return op(x, *tensors[1:], edge_index, *n_nodes, pair)

    _, tangent = torch.func.jvp(of, (tensors[0],), (tensors[0],))
    assert relative(tangent, of(tensors[0])) < 1e-12  # linear in its first argument
    several = torch.stack([tensors[0], 2 * tensors[0]])
    assert relative(torch.func.vmap(of)(several)[1], 2 * of(tensors[0])) < 1e-12


def test_heads_and_arguments_are_checked():
    slots, paths = all_paths("4x0e", "0e", "0e")
    with pytest.raises(ValueError, match="heads: expected a number that divides the channels"):
        AttentionSum("4x0e", "0e", slots, paths, heads=3)
    with pytest.raises(ValueError, match="irreps_in2: expected multiplicities of one"):
        AttentionSum("4x0e", "2x0e", slots, paths, heads=2)
    op = AttentionSum("4x0e", "0e", slots, paths, heads=2)
    with pytest.raises(ValueError, match=r"attention: expected shape \(1, 2\)"):
        op(
            torch.ones(2, 4),
            torch.ones(1, 1),
            torch.ones(1, 4),
            torch.ones(1, 4),
            torch.tensor([[0], [1]]),
            2,
        )


@pytest.mark.parametrize("cls", [AttentionLogits, AttentionSum])
def test_weights_from_a_table_are_interpolated(cls):
    """Values and gradients are those of stored rows of the same splines, also if lengths alone vary."""
    op = build(cls, "uneven channels")
    frequencies = torch.arange(1.0, 1.0 + op.weight_numel)
    table = RadialTable(lambda r: torch.sin(r[:, None] * frequencies) * (3 - r[:, None]) ** 2, 3.0, 20)
    place = 2 if cls is AttentionSum else 3
    tensors = arguments(op)
    lengths = torch.linspace(0.3, 2.9, (EDGES + 1) // 2, requires_grad=True)

    def value(weights) -> Tensor:
        return call(op, [weights if n == place else tensor for n, tensor in enumerate(tensors)])

    fused, rows = value(SplineWeights(table, lengths)), value(table(lengths))
    assert relative(fused, rows) < 1e-12
    variables = [lengths, *(tensor for n, tensor in enumerate(tensors) if n != place)]
    for chosen in (variables, [lengths]):
        found, expected = (
            torch.autograd.grad((v**2).sum(), chosen, retain_graph=True) for v in (fused, rows)
        )
        assert largest_error(list(found), list(expected)) < 1e-12
    for tensor in tensors:
        tensor.requires_grad_(False)
    alone = torch.autograd.grad((value(SplineWeights(table, lengths)) ** 2).sum(), lengths)
    assert relative(alone[0], torch.autograd.grad((rows**2).sum(), lengths)[0]) < 1e-12
    with pytest.raises(ValueError, match=f"expected a table of {op.weight_numel} functions"):
        value(SplineWeights(RadialTable(lambda r: r[:, None], 3.0, 5), lengths.detach()))
