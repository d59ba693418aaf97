"""The second device computes the values of the CPU and refuses the mixtures that CUDA refuses."""

import copy

import pytest
import torch
from torch import Tensor, nn

from tests.second_device import on_device, second_device


@pytest.fixture(autouse=True)
def _device():
    with second_device():
        yield


MIX = "Expected all tensors to be on the same device"


@pytest.mark.parametrize("device", ["cuda", "cuda:0", torch.device("cuda"), torch.device("cuda", 0), 0])
def test_tensors_are_created_on_the_device(device):
    for made in (
        torch.zeros(3, device=device),
        torch.ones(3).to(device),
        torch.tensor([1.0, 2.0], device=device),
        torch.as_tensor([1.0, 2.0], device=device),
        torch.arange(3, device=device),
        torch.zeros_like(torch.ones(3), device=device),
        torch.ones(3).new_zeros(3, device=device),
        torch.eye(3, device=device),
        torch.rand(3, device=device),
        torch.full((2,), 3.0, device=device),
        torch.linspace(0, 1, 3, device=device),
        torch.empty(3, device=device),
    ):
        assert made.device == torch.device("cuda:0")
        assert made.is_cuda
        assert made.device.type == "cuda"
        assert on_device(made)
        assert not on_device(made.cpu())
        assert made.cpu().device.type == "cpu"


def test_results_of_its_tensors_are_on_the_device():
    x = torch.arange(6.0).to("cuda").view(2, 3)
    for made in (
        x + 1,
        x @ x.T,
        x[0],
        x[:, [0, 1]],
        x[x > 2],
        x.new_zeros(3),
        x.new_tensor([1.0]),
        torch.zeros_like(x),
        x.nonzero(),
        x.double(),
        x.to(torch.float64),
        torch.linalg.svd(x)[1],
        torch.einsum("ij,kj->ik", x, x),
        torch.cat([x, x]),
        x.unbind()[0],
        x.sum(),
        torch.where(x > 1, x, torch.tensor(0.0)),
        x * torch.tensor(2.0),
    ):
        assert on_device(made), made


def test_values_equal_those_of_the_cpu():
    torch.manual_seed(0)
    x = torch.randn(5, 4, dtype=torch.float64)
    index = torch.tensor([0, 0, 1, 2, 1])
    on = x.to("cuda")
    sums = torch.zeros(3, 4, dtype=torch.float64, device="cuda").index_add_(0, index.to("cuda"), on)
    assert torch.equal(sums.cpu(), torch.zeros(3, 4, dtype=torch.float64).index_add_(0, index, x))
    assert on[1, 2].item() == x[1, 2].item()
    assert float(on.sum()) == float(x.sum())
    assert on.tolist() == x.tolist()
    assert torch.equal((on.T @ on).cpu(), x.T @ x)
    on[0] = 1.0
    on[torch.tensor([1])] = torch.tensor(2.0, dtype=torch.float64)
    assert on[:2].cpu().unique().tolist() == [1.0, 2.0]
    on[0].add_(1)  # through a view
    assert on[0, 0].item() == 2.0


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, y: x + y,
        lambda x, y: y + x,
        lambda x, y: x @ y.T,
        lambda x, y: torch.cat([x, y]),
        lambda x, y: torch.einsum("ij,ij->i", x, y),
        lambda x, y: x.add_(y),
        lambda x, y: y.add_(x),
        lambda x, y: y + x.sum(),
        lambda x, y: y.sum().add_(x.sum()),
        lambda x, y: torch.stack([x.sum(), y.sum()]),
        lambda x, y: x.index_add(0, torch.tensor([0, 1]), x),
        lambda x, y: x.index_select(0, torch.tensor([0])),
        lambda x, y: y[torch.tensor([0], device="cuda")],
        lambda x, y: torch.where(y > 0, x, x),
        lambda x, y: torch.linalg.solve(x[:, :2], y),
        lambda x, y: nn.Linear(3, 2)(x),
        lambda x, y: torch.func.vmap(torch.dot)(x, y),
    ],
)
def test_mixing_devices_is_refused(mix):
    x, y = torch.ones(2, 3).to("cuda"), torch.ones(2, 3)
    with pytest.raises(RuntimeError, match=MIX):
        mix(x, y)


def test_mixtures_that_cuda_allows_are_allowed():
    x = torch.ones(2, 3).to("cuda")
    assert on_device(x * torch.tensor(2.0))
    assert on_device(x[torch.tensor([0])])
    y = torch.zeros(2, 3)
    y.copy_(x)
    assert torch.equal(y, torch.ones(2, 3))
    x.copy_(2 * y)
    assert torch.equal(x.cpu(), 2 * y)


def test_the_memory_of_its_tensors_cannot_be_read():
    x = torch.ones(2).to("cuda")
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        x.numpy()
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        __import__("numpy").asarray(x)
    with pytest.raises(RuntimeError, match="memory"):
        x.data_ptr()


def test_generators_belong_to_a_device():
    here, there = torch.Generator().manual_seed(0), torch.Generator(device="cuda").manual_seed(0)
    assert there.device == torch.device("cuda:0")
    assert here.device == torch.device("cpu")
    assert on_device(torch.randn(3, generator=there, device="cuda"))
    assert not on_device(torch.randn(3, generator=here))
    torch.ones(2, device="cuda").normal_(generator=there)
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator"):
        torch.randn(3, generator=here, device="cuda")
    with pytest.raises(RuntimeError, match="Expected a 'cpu' device type for generator"):
        torch.randn(3, generator=there)
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator"):
        torch.ones(2, device="cuda").uniform_(generator=here)
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator"):
        torch.multinomial(torch.ones(2, device="cuda"), 1, generator=here)


class Cube(torch.autograd.Function):
    """x³, whose backward makes a tensor."""

    @staticmethod
    def forward(ctx, x: Tensor, make_wrong: bool) -> Tensor:
        ctx.save_for_backward(x)
        ctx.make_wrong = make_wrong
        return x**3

    @staticmethod
    def backward(ctx, g: Tensor):
        (x,) = ctx.saved_tensors
        three = torch.full(x.shape, 3.0, dtype=x.dtype, device="cpu" if ctx.make_wrong else x.device)
        return g * three * x**2, None


def test_derivatives_of_both_orders():
    def derivatives(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        (first,) = torch.autograd.grad((Cube.apply(x, False) * x.sin()).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        return first, second

    x = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    for here, there in zip(derivatives(x), derivatives(x.to("cuda")), strict=True):
        assert on_device(there)
        torch.testing.assert_close(there.cpu(), here)


def test_a_tensor_created_on_the_wrong_device_in_backward_is_detected():
    x = torch.ones(2).to("cuda").requires_grad_()
    with pytest.raises(RuntimeError, match=MIX):
        Cube.apply(x, True).sum().backward()


def test_gradients_cross_devices():
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    (x.to("cuda") ** 2).sum().cpu().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    assert not on_device(x.grad)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_modules_move_and_train(optimizer):
    torch.manual_seed(0)
    here = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.SiLU(), nn.Linear(4, 1)).double()
    there = copy.deepcopy(here).to("cuda")
    assert all(on_device(p) and isinstance(p, nn.Parameter) for p in there.parameters())
    assert all(map(on_device, there.buffers()))
    x = torch.randn(6, 3, dtype=torch.float64)
    for net, data in ((here, x), (there, x.to("cuda"))):
        steps = optimizer(net.parameters(), lr=0.1)
        for _ in range(3):
            steps.zero_grad()
            net(data).square().mean().backward()
            steps.step()
    again = copy.deepcopy(there).to("cpu")
    for mine, theirs in zip(here.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(theirs, mine)
    with pytest.raises(RuntimeError, match=MIX):
        there(x)


def test_torch_func_transforms():
    x = torch.randn(4, 3, dtype=torch.float64)

    def energy(row: Tensor) -> Tensor:
        return (row + torch.ones(3, dtype=row.dtype, device=row.device)).prod()

    there = torch.func.vmap(torch.func.hessian(energy))(x.to("cuda"))
    assert on_device(there)
    torch.testing.assert_close(there.cpu(), torch.func.vmap(torch.func.hessian(energy))(x))
