"""Closed forms and fast paths are used for unmodified modules only; modified modules are called."""

import copy

import pytest
import torch
from torch import nn

from symnets.data import Batch
from symnets.models import Convolutional, Dense, convert, signals, size
from symnets.nn import Convolution, Edges, modification
from symnets.observables import tangent_kernel
from symnets.observables.curvature import h0_spectrum, hessian_split, spectrum
from symnets.training import MSE, QuadraticHinge, TrainState, descend_members, levenberg_marquardt

SEED = torch.Generator().manual_seed(0)
X = torch.randn(6, 3, generator=SEED, dtype=torch.float64)
Y = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(3)


class Squashed(Dense):
    """A subclass that computes another function than `Dense`."""

    def forward(self, x):
        return super().forward(x).tanh()


def dense(cls=Dense, members=None):
    seed = torch.Generator().manual_seed(1)
    return cls(3, 4, 1, activation="tanh", bias=True, members=members, generator=seed, dtype=torch.float64)


def hooked(net):
    net.register_forward_hook(lambda module, inputs, output: output.tanh())
    return net


def patched(net):
    forward = net.forward
    net.forward = lambda x: forward(x).tanh()
    return net


class Tanh(nn.Module):
    """A module that computes the function of the changed nets above, and has no closed form."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x).tanh()


CHANGED = [dense(Squashed), hooked(dense()), patched(dense())]
NAMES = ["subclass", "hook", "patch"]


@pytest.mark.parametrize("net", CHANGED, ids=NAMES)
def test_curvature_and_kernel_are_those_of_the_function_that_is_called(net):
    expected = Tanh(dense())
    torch.testing.assert_close(tangent_kernel(net, X), tangent_kernel(expected, X), rtol=1e-12, atol=0)
    found, split = (hessian_split(model, QuadraticHinge(), (X, Y)) for model in (net, expected))
    torch.testing.assert_close(found.h0, split.h0, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(found.hp, split.hp, rtol=1e-10, atol=1e-14)
    lowest = h0_spectrum(net, QuadraticHinge(), (X, Y)).eigenvalues
    torch.testing.assert_close(lowest, spectrum(split.h0).eigenvalues[-len(lowest) :], rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("change", [lambda net: net, hooked], ids=["subclass", "hook"])
def test_members_of_a_changed_ensemble_are_trained_and_measured_as_it_is_called(change):
    def nets():
        return change(dense(Squashed if change is not hooked else Dense, members=2))

    def trained(model):
        state = TrainState(model, torch.optim.SGD(model.parameters(), lr=0.5))
        list(descend_members(state, MSE(), (X, Y), budget=3, stride=1))
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    net = nets()
    expected = dense(members=2)
    for _ in range(3):
        loss = MSE()(expected(X).tanh(), Y).mean(-1).sum()
        for p, g in zip(
            expected.parameters(), torch.autograd.grad(loss, [*expected.parameters()]), strict=True
        ):
            p.data -= 0.5 * g
    torch.testing.assert_close(
        trained(net), torch.cat([p.flatten() for p in expected.parameters()]), rtol=1e-12, atol=1e-14
    )
    net = nets()
    torch.testing.assert_close(net.member(1)(X), net(X)[1], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(net.select([1, 0])(X), net(X).flip(0), rtol=1e-12, atol=1e-14)
    split = hessian_split(net, MSE(), Batch(X, Y))
    alone = hessian_split(Tanh(dense(members=2).member(1)), MSE(), Batch(X, Y))
    torch.testing.assert_close(split.h[1], alone.h, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(
        tangent_kernel(net, X)[1], tangent_kernel(net.member(1), X), rtol=1e-12, atol=1e-14
    )


def test_functions_that_have_only_a_closed_form_refuse_changed_nets():
    for net, match in zip(
        CHANGED, ["class is Squashed", "has hooks", "forward of the instance"], strict=True
    ):
        with pytest.raises(ValueError, match=f"signals: expected an unmodified Dense, .*{match}"):
            signals(net, X)
        with pytest.raises(ValueError, match=f"backpropagate: expected an unmodified Dense, .*{match}"):
            net.backpropagate(X, torch.ones_like)
        with pytest.raises(ValueError, match=f"expected an unmodified Dense or Convolutional, .*{match}"):
            convert(net, "standard")
        with pytest.raises(TypeError, match=f"levenberg_marquardt: .*{match}"):
            next(levenberg_marquardt(TrainState(net), MSE(), (X, Y), budget=1))
        assert size(net).n_effective == size(net).n_params
    with pytest.raises(ValueError, match="models: expected unmodified nets, but it has hooks"):
        Dense.stack([hooked(dense()), dense()])
    with pytest.raises(ValueError, match=r"cannot separate .* forward of the instance was replaced"):
        patched(dense(members=2)).member(0)


def test_parametrised_and_tied_weights_are_changes():
    net = Dense(3, 3, 2)
    assert modification(net, Dense) is None
    tied = copy.deepcopy(net)
    tied.weights[1] = tied.weights[0]
    assert modification(tied, Dense) == "a parameter is used twice"
    nn.utils.parametrizations.orthogonal(net.weights, "0")
    assert modification(net, Dense) == "weights has parametrised weights"
    split = hessian_split(tied.double(), MSE(), (X, Y))
    assert split.n_params == 9 + 3
    torch.testing.assert_close(tangent_kernel(tied, X).trace() / 6, split.h0.trace(), rtol=1e-10, atol=0)


def test_hooks_for_all_modules_and_replaced_classes_are_changes(monkeypatch):
    handle = nn.modules.module.register_module_forward_hook(lambda module, inputs, output: None)
    assert modification(dense(), Dense) == "hooks are registered for all modules"
    handle.remove()
    net = Convolutional((1, 4, 4), 2, 1)
    assert modification(net, Convolutional) is None
    monkeypatch.setattr(Convolutional, "forward", lambda self, x: x)
    assert modification(net, Convolutional) == "Convolutional.forward was replaced"


def test_a_changed_radial_network_is_called():
    torch.manual_seed(0)
    layer = Convolution("2x0e", "1x0e+1x1o", "2x0e", n_basis=3, radial_hidden=[4], mean_neighbors=1.0)
    plain = layer.radial
    hidden, matrix = plain.last_layer(torch.ones(1, 3))
    torch.testing.assert_close(plain(torch.ones(1, 3)), hidden @ matrix)
    handle = plain.register_forward_hook(lambda module, inputs, output: 0 * output)
    edges = Edges(torch.ones(1, 3), torch.ones(1, 4))
    index = torch.tensor([[0], [1]])
    assert not layer(torch.ones(2, 2), edges, index).any()
    handle.remove()
    assert layer(torch.ones(2, 2), edges, index).any()


def test_members_that_are_not_those_of_the_ensemble_are_refused():
    class Last(Dense):
        """Its members are all the last one."""

        def forward(self, x):
            return super().forward(x).tanh()

        def member(self, index):
            return super().member(self.members - 1)

    for measure in (lambda net: tangent_kernel(net, X), lambda net: hessian_split(net, MSE(), (X, Y))):
        with pytest.raises(ValueError, match=r"member\(0\) is not member 0: its outputs differ"):
            measure(dense(Last, members=2))
    whole = Tanh(dense(members=2))
    whole.members = 2
    with pytest.raises(ValueError, match=r"expected member\(s\) that returns one net"):
        tangent_kernel(whole, X)
