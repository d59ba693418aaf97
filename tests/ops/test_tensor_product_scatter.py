"""`TensorProductScatter` in threads, processes, autocast, and torch's modes and transforms."""

import copy
import itertools
import os
import pickle
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from symnets.ops import LinearWeights, TensorProductScatter, all_paths
from symnets.ops import _linear_weights as linear_weights
from tests.ops.products import derivatives, draw, relative


def product(irreps: str, filters: str, irreps_out: str, implementation="fused", layout="ir_mul"):
    slots, paths = all_paths(irreps, filters, irreps_out)
    return TensorProductScatter(irreps, filters, slots, paths, implementation=implementation, layout=layout)


@pytest.fixture
def small():
    return product("2x0e+1x1o", "0e+1o", "0e+1o+1e")


def test_threads_do_not_change_the_result():
    op = product("16x0e+16x1o", "0e+1o", "0e+1o")
    arguments = draw(op, n_nodes=200, n_edges=20_000)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = derivatives(op, arguments)
        torch.set_num_threads(2)
        assert all(torch.equal(a, b) for a, b in zip(derivatives(op, arguments)[:4], alone[:4], strict=True))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("implementation", ["fused", "plain"])
def test_no_edges_give_zeros(small, implementation):
    small.implementation = implementation
    x = torch.ones(3, small.irreps_in1.dim, requires_grad=True)
    empty = torch.zeros(0, small.irreps_in2.dim), torch.zeros(0, small.weight_numel)
    out = small(x, *empty, torch.zeros(2, 0, dtype=torch.int64), 3)
    assert out.shape == (3, small.irreps_out.dim)
    assert not out.any()
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert not gradient.any()


def detached(op: TensorProductScatter) -> list:
    return [a.detach() if isinstance(a, Tensor) else a for a in draw(op)]


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_torch_func_uses_the_plain_implementation(layout):
    op = product("2x0e+1x1o", "0e+1o", "0e+1o+1e", "auto", layout)
    x, y, w, edge_index, n = detached(op)

    def of(x: Tensor) -> Tensor:
        return op(x, y, w, edge_index, n)

    _, tangent = torch.func.jvp(of, (x,), (x,))
    assert relative(tangent, of(x)) < 1e-12  # linear in x
    gradient = torch.func.grad(lambda w: (op(x, y, w, edge_index, n) ** 2).sum())(w)
    leaf = w.clone().requires_grad_()
    assert (
        relative(gradient, torch.autograd.grad((op(x, y, leaf, edge_index, n) ** 2).sum(), leaf)[0]) < 1e-12
    )
    hessian = torch.func.hessian(lambda x: (of(x) ** 2).sum() / 2)(x).flatten(2).flatten(0, 1)
    jacobian = torch.func.jacrev(of)(x).flatten(0, 1).flatten(1)
    assert relative(hessian, jacobian.mT @ jacobian) < 1e-12
    several = torch.stack([x, 2 * x])
    assert relative(torch.func.vmap(of)(several), torch.stack([of(x), of(2 * x)])) < 1e-12


def test_transforms_in_float32_can_follow_one_another():
    op = product("2x0e+1x1o", "0e+1o", "0e+1o+1e", "auto", "mul_ir")
    x, y, w, edge_index = (a.float() if a.is_floating_point() else a for a in detached(op)[:4])
    n = len(x)

    def energy(w: Tensor) -> Tensor:
        return op(x, y, w, edge_index, n).square().sum()

    # The coupling coefficients are cast to float32 within the first transform.
    nested = torch.func.jvp(torch.func.grad(energy), (w,), (w,))[1]
    assert relative(nested, torch.func.grad(energy)(w)) < 1e-5  # of second degree in w


def test_torch_compile_uses_the_plain_implementation_without_graph_break():
    op = product("2x0e+1x1o", "0e+1o", "0e+1o+1e", "auto", "mul_ir")
    arguments = draw(op)
    compiled = torch.compile(op, fullgraph=True, backend="aot_eager")
    out, expected = compiled(*arguments), op(*arguments)
    assert relative(out, expected) < 1e-12
    pairs = zip(*(torch.autograd.grad((o**2).sum(), arguments[:3]) for o in (out, expected)), strict=True)
    assert all(relative(a, b) < 1e-12 for a, b in pairs)


@pytest.mark.parametrize("implementation", ["fused", "plain"])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_no_grad_and_inference_mode_give_the_same_and_training_works_afterwards(implementation, mode):
    op = product("2x0e+1x1o", "0e+1o", "0e+1o+1e", implementation, "mul_ir")
    arguments = draw(op)
    with mode():
        value = op(*arguments)
    assert not value.requires_grad
    out = op(*arguments)
    assert torch.equal(out, value)
    assert all(g.any() for g in torch.autograd.grad(out.sum(), arguments[:3]))


def test_other_dtypes_use_the_plain_implementation():
    op = product("2x0e+1x1o", "0e+1o", "0e+1o+1e", "auto", "mul_ir")
    *tables, edge_index, n = detached(op)
    out = op(*(t.bfloat16() for t in tables), edge_index, n)
    assert out.dtype == torch.bfloat16
    assert relative(out.double(), op(*tables, edge_index, n)) < 0.05


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda op: pickle.loads(pickle.dumps(op))])
def test_copies_compute_the_same_and_have_no_parameters(copied):
    op = product("2x0e+1x1o", "2x0e+1o", "0e+1o+1e", layout="mul_ir")
    arguments = draw(op)
    expected = op(*arguments)  # compiles the loops
    assert torch.equal(copied(op)(*arguments), expected)
    assert not op.state_dict()


class Layer(nn.Module):
    """A product with trainable weights."""

    def __init__(self) -> None:
        super().__init__()
        self.product = product("4x0e+4x1o", "0e+1o", "0e+1o", "auto", "mul_ir")
        self.radial = nn.Linear(3, self.product.weight_numel)

    def forward(self, x: Tensor, y: Tensor, basis: Tensor, edge_index: Tensor) -> Tensor:
        return self.product(x, y, self.radial(basis), edge_index, len(x))


def half(rank: int) -> tuple[Layer, list[Tensor]]:
    """A layer with seeded weights, and the arguments of one of two processes."""
    torch.manual_seed(0)
    layer, generator = Layer().double(), torch.Generator().manual_seed(1 + rank)
    shapes = (5, 16), (9, 4), (9, 3)
    tables = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    return layer, [*tables, torch.randint(5, (2, 9), generator=generator)]


def train_in_parallel(rank: int, folder: str) -> None:
    """Compute gradients of the mean loss in one of two processes."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    layer, arguments = half(rank)
    parallel = nn.parallel.DistributedDataParallel(layer)
    (parallel(*arguments) ** 2).sum().backward()
    torch.save([p.grad for p in layer.parameters()], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow  # starts two processes that import torch
def test_gradient_of_two_processes_equals_that_of_one(tmp_path):
    code = "import sys; from tests.ops.test_tensor_product_scatter import train_in_parallel as f; "
    code += "f(int(sys.argv[1]), sys.argv[2])"
    root = Path(__file__).parents[2]
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(rank), str(tmp_path)], cwd=root) for rank in (0, 1)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    layer, _ = half(0)
    sum((layer(*half(rank)[1]) ** 2).sum() / 2 for rank in (0, 1)).backward()  # pyright: ignore
    for rank in (0, 1):
        for ours, theirs in zip(layer.parameters(), torch.load(tmp_path / f"{rank}.pt"), strict=True):
            assert relative(theirs, ours.grad) < 1e-12  # pyright: ignore


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_computation_works_in_a_forked_child():
    op = product("16x0e+16x1o", "0e+1o", "0e+1o")
    arguments = [a.detach() if isinstance(a, Tensor) else a for a in draw(op, n_nodes=200, n_edges=20_000)]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        op(*arguments)  # starts the threads
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Python 3.12 warns about forks with threads, which are tested here
            child = os.fork()
        if child == 0:
            signal.alarm(20)  # a deadlock ends the child
            op(*arguments)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("linear", [False, True])
def test_skipping_unneeded_derivatives_does_not_change_the_others(small, linear):
    x, y, w, edge_index, n = draw(small)
    hidden, matrix = (
        torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((7, 3), (3, w.shape[1]))
    )
    leaves = [x, y, hidden, matrix] if linear else [x, y, w]

    def second(inputs: list[Tensor], first: list[Tensor]) -> tuple[Tensor, ...]:
        out = small(x, y, LinearWeights(hidden, matrix) if linear else w, edge_index, n)
        gradients = torch.autograd.grad((out**2).sum(), first, create_graph=True)
        return torch.autograd.grad(sum((g**2).sum() for g in gradients), inputs)

    for chosen in itertools.chain.from_iterable(itertools.combinations(leaves, k) for k in (1, 2, 3)):
        expected = second(leaves, list(chosen))
        for one, alone in zip(leaves, expected, strict=True):
            (gradient,) = second([one], list(chosen))
            torch.testing.assert_close(gradient, alone, rtol=1e-12, atol=1e-12)


def test_factorised_weights_have_derivatives_of_every_order(small, monkeypatch):
    x, y, w, edge_index, n = draw(small)
    hidden, matrix = (
        torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((7, 3), (3, w.shape[1]))
    )

    def function(*arguments: Tensor) -> Tensor:
        return small(*arguments[:2], LinearWeights(*arguments[2:]), edge_index, n)

    leaves = (x, y, hidden, matrix)
    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)
    twin = product("2x0e+1x1o", "0e+1o", "0e+1o+1e", "plain")

    def third(op: TensorProductScatter) -> list[Tensor]:
        tensors = [op(x, y, LinearWeights(hidden, matrix), edge_index, n)]
        for _ in range(3):
            total = sum((t**2).sum() for t in tensors)
            tensors = list(torch.autograd.grad(total, leaves, create_graph=True))
        return tensors

    expected = third(twin)
    for kept in (linear_weights.MAX_KEPT_WEIGHTS, 0):  # 0: weights are recomputed in chunks of nodes
        monkeypatch.setattr(linear_weights, "MAX_KEPT_WEIGHTS", kept)
        for a, b in zip(third(small), expected, strict=True):
            assert relative(a, b) < 1e-11


@pytest.mark.parametrize("keep", [0, linear_weights.MAX_KEPT_WEIGHTS])
def test_autocast_does_not_affect_the_compiled_loops(small, monkeypatch, keep):
    monkeypatch.setattr(linear_weights, "MAX_KEPT_WEIGHTS", keep)
    x, y, w, edge_index, n_nodes = draw(small)
    hidden = torch.randn(len(w), 3, dtype=torch.float32)
    matrix = torch.randn(3, w.shape[1], dtype=torch.float32)
    tensors = [a.detach().float().requires_grad_() for a in (x, y, hidden, matrix)]
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", enabled=enabled):
            x, y, *factors = tensors
            out = small(x, y, LinearWeights(*factors), edge_index, n_nodes)
            first = torch.autograd.grad(out.square().sum(), tensors, create_graph=True)
            second = torch.autograd.grad(sum(t.square().sum() for t in first), tensors)
        results.append([out, *first, *second])
    torch.testing.assert_close(*results)
