"""Identities that Hessians of ReLU nets satisfy for any weights."""

import pytest
import torch
from torch import Tensor

from symnets.data import Batch
from symnets.models import Dense
from symnets.observables import margins
from symnets.observables.curvature import hessian_split, inertia, spectrum
from symnets.training import CrossEntropy, QuadraticHinge


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def relu_net(depth: int, width: int = 5, d_in: int = 4) -> Dense:
    generator = torch.Generator().manual_seed(depth)
    return Dense(d_in, width, depth, generator=generator, dtype=torch.float64)


def data(n: int = 40) -> Batch:
    return Batch(draw(n, 4, seed=1), draw(n, seed=2).sign())


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.reshape(-1) for t in tensors]).detach()


def gradient(net: Dense, values: Tensor) -> Tensor:
    return flat(list(torch.autograd.grad(values.mean(), list(net.parameters()))))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_euler_identity_of_one_layer(depth: int) -> None:
    """f is homogeneous of degree 1 in each layer, w_l · ∂f/∂w_l = f. By one more derivative:

    Hp w_l = ∂L/∂w in the other layers, and 0 in layer l.
    """
    net, batch = relu_net(depth), data()
    hp = hessian_split(net, CrossEntropy(), batch).hp
    slope = gradient(net, CrossEntropy()(net(batch.inputs), batch.targets))
    for layer in range(depth + 1):
        own = flat([w * (k == layer) for k, w in enumerate(net.weights)])
        others = flat([torch.ones_like(w) * (k != layer) for k, w in enumerate(net.weights)])
        torch.testing.assert_close(hp @ own, slope * others, rtol=0, atol=1e-14)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_euler_identity_of_all_weights(depth: int) -> None:
    """Hp w = L ∂L/∂w, and H0 w = (L + 1) (1/P) Σ ℓ'' f ∇f, with L hidden layers."""
    net, (x, y) = relu_net(depth), data()
    loss, w = QuadraticHinge(), flat(list(relu_net(depth).parameters()))
    split = hessian_split(net, loss, Batch(x, y))
    f = net(x)
    torch.testing.assert_close(split.hp @ w, depth * gradient(net, loss(f, y)), rtol=0, atol=1e-14)
    f = net(x)
    weighted = loss.d2(f, y) * f.detach() * f
    torch.testing.assert_close(split.h0 @ w, (depth + 1) * gradient(net, weighted), rtol=0, atol=1e-13)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_hp_of_relu_nets_has_no_block_of_a_layer_with_itself(depth: int) -> None:
    net = relu_net(depth)
    hp = hessian_split(net, CrossEntropy(), data()).hp
    start = 0
    for w in net.weights:
        own = slice(start, start + w.numel())
        assert not hp[own, own].any()
        start = own.stop
    assert hp.trace() == 0
    assert hp.any()


@pytest.mark.parametrize("n", [6, 12, 200])
def test_h0_is_positive_semidefinite_of_rank_n_unsatisfied(n: int) -> None:
    net, batch = relu_net(2), data(n)
    h0 = hessian_split(net, QuadraticHinge(), batch).h0
    found, n_unsatisfied = inertia(h0), int(margins(net, batch, tolerance=0).n_unsatisfied)
    assert found.n_negative == 0
    assert 0 < found.n_positive <= min(n_unsatisfied, len(h0))
    if n_unsatisfied < 20:  # few random patterns have independent gradients
        assert found.n_positive == n_unsatisfied


def test_hp_of_one_hidden_layer_has_one_negative_eigenvalue_a_unit() -> None:
    """Hp couples u_p with W_p only, along v_p = (1/P) Σ ℓ' φ'(z_p) x: eigenvalues ±|v_p|, the rest 0."""
    net, (x, y) = relu_net(1, width=7), data()
    hp = hessian_split(net, QuadraticHinge(), Batch(x, y)).hp
    found = inertia(hp)
    assert (found.n_negative, found.n_positive, found.n_zero) == (7, 7, len(hp) - 14)
    with torch.no_grad():
        active = (x @ net.weights[0].T > 0).double()
        slopes = QuadraticHinge().d1(net(x), y)
        v = 2**0.5 * 4**-0.5 * 7**-0.5 * torch.einsum("np,n,nj->pj", active, slopes, x) / len(x)
    expected = torch.cat([-v.norm(dim=1), v.norm(dim=1)]).sort().values
    eigenvalues = spectrum(hp).eigenvalues
    largest = eigenvalues[eigenvalues.abs() > 1e-9]
    torch.testing.assert_close(largest, expected, rtol=0, atol=1e-14)


def test_at_zero_loss_the_landscape_is_flat() -> None:
    net, (x, _) = relu_net(2), data()
    with torch.no_grad():
        f = net(x)
    split = hessian_split(net, QuadraticHinge(margin=0.5 * float(f.abs().min())), Batch(x, f.sign()))
    assert not split.h.any()
