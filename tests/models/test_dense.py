"""Dense nets against a twin written from the docstring, derivatives, members."""

import pytest
import torch
from torch.func import functional_call, hessian, jacrev, vmap

from symnets.models import Dense, convert, signals
from symnets.models._activation import ACTIVATIONS, Activation

# Sums of some tens of terms of size 1 in float64, in another order.
ROUNDING = {"rtol": 1e-12, "atol": 1e-13}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def net(activation="tanh", *, members=3, bias=True, d_out=None, parametrization="ntk", width=5, depth=2):
    model = Dense(
        4,
        width,
        depth,
        activation=activation,
        parametrization=parametrization,
        bias=bias,
        d_out=d_out,
        members=members,
        generator=seeded(),
        dtype=torch.float64,
    )
    with torch.no_grad():  # biases away from zero, where kinks would be hit by symmetric inputs
        for index, b in enumerate(model.biases):
            b.copy_(draw(*b.shape, seed=10 + index))
    return model


def twin(model, x):
    """One net at one pattern: z_1 = s_1 W_1 x, z_l = s_l W_l φ(z_(l-1)), f = s_(L+1) W_(L+1) φ(z_L)."""
    z = x
    for layer, (s, w) in enumerate(zip(model.scales, model.weights, strict=True)):
        a = z if layer == 0 else model.activation(z)
        z = s * (w @ a) + (model.biases[layer] if len(model.biases) else 0)
    return z if model.d_out else z[0]


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("d_out", [None, 2])
@pytest.mark.parametrize("own", [False, True])
def test_forward_and_gradient_are_those_of_the_twin(activation, d_out, own):
    model = net(activation, d_out=d_out)
    x = draw(3, 7, 4) if own else draw(7, 4)
    x.requires_grad_()
    f = model(x)
    singles = [model.member(s) for s in range(3)]
    y = x.detach().clone().requires_grad_()
    rows = [torch.stack([twin(m, p) for p in (y[s] if own else y)]) for s, m in enumerate(singles)]
    torch.testing.assert_close(f, torch.stack(rows), **ROUNDING)
    weight = draw(*f.shape, seed=5)
    (f * weight).sum().backward()
    (torch.stack(rows) * weight).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, **ROUNDING)
    for s, single in enumerate(singles):
        for p, q in zip(model.parameters(), single.parameters(), strict=True):
            torch.testing.assert_close(p.grad[s], q.grad, **ROUNDING)


@pytest.mark.parametrize("activation", ["relu", "tanh", "swish"])
@pytest.mark.parametrize("bias", [False, True])
def test_derivatives_of_first_and_second_order_are_those_of_finite_differences(activation, bias):
    model = net(activation, members=2, bias=bias, width=3)
    x = draw(3, 4).requires_grad_()
    names = [name for name, _ in model.named_parameters()]
    inputs = [x, *[p.detach().clone().requires_grad_() for p in model.parameters()]]

    def call(x, *parameters):
        return functional_call(model, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs)


def test_gradient_with_respect_to_inputs_alone():
    model = net().requires_grad_(False)
    x = draw(6, 4).requires_grad_()
    (slope,) = torch.autograd.grad(model(x)[1].sum(), x)
    single = model.member(1)
    expected = torch.stack([torch.autograd.functional.jacobian(lambda p: twin(single, p), p) for p in x])
    torch.testing.assert_close(slope, expected, **ROUNDING)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_transforms_of_torch_func_go_through(activation):
    model = net(activation, members=None, width=3)
    x, parameters = draw(6, 4), {k: p.detach() for k, p in model.named_parameters()}

    def f(parameters, p):
        return functional_call(model, parameters, (p[None],))[0]

    per_pattern = vmap(jacrev(f), (None, 0))(parameters, x)
    jacobian = torch.cat([per_pattern[k].flatten(1) for k in parameters], 1)
    for mu, pattern in enumerate(x):
        row = torch.autograd.grad(model(pattern[None])[0], list(model.parameters()))
        torch.testing.assert_close(jacobian[mu], torch.cat([g.flatten() for g in row]), **ROUNDING)

    def loss(first):
        return functional_call(model, parameters | {"weights.0": first}, (x,)).square().sum()

    h = hessian(loss)(parameters["weights.0"])
    expected = torch.autograd.functional.hessian(loss, parameters["weights.0"])
    torch.testing.assert_close(h, expected, **ROUNDING)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("members", [None, 2])
def test_signals_are_the_derivatives_of_the_output(activation, members):
    model = net(activation, members=members)
    x = draw(5, 4)
    passed = signals(model, x)
    torch.testing.assert_close(passed.output, model(x).reshape(members or 1, 5), **ROUNDING)
    for mu in range(5):
        grads = torch.autograd.grad(model(x[mu : mu + 1]).sum(), list(model.parameters()))
        for layer in range(3):
            a = passed.activations[layer][..., mu]
            d = passed.signals[layer][..., mu]
            found = passed.scales[layer] * d[:, :, None] * a.expand(members or 1, -1)[:, None, :]
            torch.testing.assert_close(found.reshape(grads[layer].shape), grads[layer], **ROUNDING)
            torch.testing.assert_close(d.reshape(grads[3 + layer].shape), grads[3 + layer], **ROUNDING)


def test_members_drawn_at_once_are_single_nets_drawn_one_after_the_other():
    generator = seeded(3)
    singles = [Dense(4, 5, 2, generator=generator) for _ in range(3)]
    together = Dense(4, 5, 2, members=3, generator=seeded(3))
    for p, q in zip(together.parameters(), Dense.stack(singles).parameters(), strict=True):
        assert torch.equal(p, q)


def test_selected_members_are_copies():
    model = net()
    part = model.select([2, 0])
    torch.testing.assert_close(part(draw(3, 4)), model(draw(3, 4))[[2, 0]], **ROUNDING)
    with torch.no_grad():
        part.weights[0].zero_()
    assert bool(model.weights[0].ne(0).all())


def test_orthogonal_weights_have_orthogonal_rows_of_the_same_mean_square():
    w = Dense(7, 5, 1, init="orthogonal", generator=seeded(), dtype=torch.float64).weights[0].detach()
    torch.testing.assert_close(w @ w.T, 7 * torch.eye(5, dtype=torch.float64), **ROUNDING)


@pytest.mark.parametrize("parametrization", ["ntk", "standard"])
def test_initial_outputs_have_unit_variance_on_the_sphere(parametrization):
    """f is Gaussian with variance |x|²/d = 1 for wide nets; 4000 nets estimate it to 1/√2000 = 2 %."""
    x = draw(1, 4)
    x *= 2 / x.norm()
    model = Dense(4, 60, 1, parametrization=parametrization, members=4000, generator=seeded())
    assert model(x.float()).var().item() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width: expected at least 1, got 0"),
        ({"depth": 0}, "depth"),
        ({"members": 0}, "members"),
        ({"activation": "rleu"}, "did you mean 'relu'"),
        ({"init": "zeros"}, "init"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Dense(4, **({"width": 3, "depth": 2} | arguments))


@pytest.mark.parametrize("shape", [(7, 5), (4, 7, 4), (7,), (2, 1, 7, 4)])
def test_inputs_of_the_wrong_shape_are_refused(shape):
    # Wrong numbers of axes are refused by the annotation while tests run, by the net otherwise.
    with pytest.raises(Exception, match=r"expected shape|type hint|Type-check"):
        net()(torch.zeros(shape, dtype=torch.float64))


def test_stacking_nets_of_different_shapes_is_refused():
    with pytest.raises(ValueError, match="one shape"):
        Dense.stack([Dense(4, 3, 2), Dense(4, 4, 2)])
    with pytest.raises(ValueError, match="at least one"):
        Dense.stack([])
    for other, trait in [
        (Dense(4, 3, 2).double(), "dtype"),
        (Dense(4, 3, 2).eval(), "training"),
        (Dense(4, 3, 2).requires_grad_(False), "requires_grad"),
    ]:
        with pytest.raises(ValueError, match=f"{trait} of number 1 is"):
            Dense.stack([Dense(4, 3, 2), other])
    with pytest.raises(ValueError, match=r"expected torch.float32 as the weights, got torch.float64"):
        Dense(4, 3, 2)(torch.zeros(5, 4, dtype=torch.float64))


def test_an_activation_of_ones_own_has_its_own_norm():
    """E max(z, 0)⁴ = 3/2 for z ~ N(0, 1)."""
    squared = Activation("squared", lambda z: z.relu() ** 2, lambda z: 2 * z.relu(), lambda z: 2.0 * (z > 0))
    assert squared.norm == pytest.approx(1.5**-0.5, rel=1e-6)
    net = Dense(3, 4, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    net.activation = squared
    x = torch.ones(2, 3, dtype=torch.float64)
    first, last = (w.detach() for w in net.weights)
    expected = 4**-0.5 * last @ (1.5**-0.5 * (3**-0.5 * first @ x.T).relu() ** 2)
    torch.testing.assert_close(net(x).detach(), expected[0], rtol=1e-6, atol=0)
    named = Activation("relu", torch.tanh, lambda z: 1 - z.tanh() ** 2, None)  # the name chooses nothing
    net.activation = named
    net(x).sum().backward()
    slope = (3**-0.5 * first @ x[0]).cosh() ** -2
    expected = 2 * 4**-0.5 * named.norm * 3**-0.5 * (last[0] * slope)[:, None].expand(4, 3)
    torch.testing.assert_close(net.weights[0].grad, expected, rtol=1e-12, atol=1e-14)


def test_frozen_parameters_are_frozen_in_selected_members_and_other_parametrisations():
    model = net()
    model.weights[0].requires_grad_(False)
    flags = [p.requires_grad for p in model.parameters()]
    assert flags.count(False) == 1
    twins = [model.select([2, 0]), model.member(1), Dense.stack([model.member(s) for s in range(3)])]
    for other in (*twins, convert(model, "standard").model):
        assert [p.requires_grad for p in other.parameters()] == flags


@pytest.mark.parametrize("activation", ["relu", "swish"])
@pytest.mark.parametrize(("members", "d_out", "own"), [(None, None, False), (3, None, False), (3, 2, True)])
def test_backpropagate_leaves_the_gradients_of_autograd(activation, members, d_out, own):
    generator = torch.Generator().manual_seed(0)
    net = Dense(
        4,
        5,
        2,
        activation=activation,
        members=members,
        d_out=d_out,
        bias=True,
        generator=generator,
        dtype=torch.float64,
    )
    net.weights[1].requires_grad_(False)
    with torch.no_grad():
        for bias in net.biases:
            bias.normal_(generator=generator)
    shape = (3, 7, 4) if own else (7, 4)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    found = net.backpropagate(x, lambda f: 2 * f)
    grads = [None if p.grad is None else p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    outputs = net(x)
    (outputs**2).sum().backward()
    torch.testing.assert_close(found, outputs.detach(), rtol=1e-13, atol=0)
    for parameter, grad in zip(net.parameters(), grads, strict=True):
        assert (grad is None) == (not parameter.requires_grad)
        if grad is not None:
            torch.testing.assert_close(grad, parameter.grad, rtol=1e-12, atol=1e-13)
