"""Convolutional nets against loops over members, images and positions."""

import pytest
import torch

from symnets.models import Convolutional, Dense

ROUNDING = {"rtol": 1e-12, "atol": 1e-13}


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def net(members=3, **options):
    defaults = {"kernel": 3, "stride": (2, 1), "activation": "relu", "bias": True}
    generator = torch.Generator().manual_seed(0)
    options = defaults | options
    model = Convolutional(
        (2, 6, 5), 4, 2, members=members, generator=generator, dtype=torch.float64, **options
    )
    with torch.no_grad():
        for index, b in enumerate(model.biases):
            b.copy_(draw(*b.shape, seed=10 + index))
    return model


def convolved(w, a, stride, padding):
    """Σ_{c,i,j} w[o, c, i, j] a[c, s p + i - padding, s q + j - padding], by loops over places."""
    kernel, (_, rows, columns) = w.shape[-1], a.shape
    padded = torch.zeros(len(a), rows + 2 * padding, columns + 2 * padding, dtype=a.dtype)
    padded[:, padding : padding + rows, padding : padding + columns] = a
    out = [(n + 2 * padding - kernel) // stride + 1 for n in (rows, columns)]
    z = torch.zeros(len(w), *out, dtype=a.dtype)
    for p in range(out[0]):
        for q in range(out[1]):
            window = padded[:, stride * p : stride * p + kernel, stride * q : stride * q + kernel]
            z[:, p, q] = (w * window).sum((1, 2, 3))
    return z


def twin(model, image):
    """Output of one net for one image, written from the formula in the docstring."""
    a = image
    for layer in range(model.depth):
        z = convolved(model.scales[layer] * model.weights[layer], a, model.strides[layer], model.kernel // 2)
        if len(model.biases):
            z = z + model.biases[layer][:, None, None]
        a = model.activation(z)
    f = model.scales[-1] * model.weights[-1] @ a.mean((1, 2))
    f = f + model.biases[-1] if len(model.biases) else f
    return f if model.d_out else f[0]


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("d_out", [None, 2])
@pytest.mark.parametrize("kernel", [1, 3])
def test_members_equal_single_nets_and_these_the_twin(own, d_out, kernel):
    model = net(d_out=d_out, kernel=kernel)
    x = draw(3, 4, 2, 6, 5) if own else draw(4, 2, 6, 5)
    f = model(x)
    assert f.shape == ((3, 4) if d_out is None else (3, 4, 2))
    f.square().sum().backward()
    for s in range(3):
        single, images = model.member(s), x[s] if own else x
        torch.testing.assert_close(single(images), f[s].detach(), **ROUNDING)
        torch.testing.assert_close(torch.stack([twin(single, i) for i in images]), f[s].detach(), **ROUNDING)
        single(images).square().sum().backward()
        for p, q in zip(model.parameters(), single.parameters(), strict=True):
            torch.testing.assert_close(p.grad[s], q.grad, **ROUNDING)


def test_second_derivatives_are_those_of_finite_differences():
    model = net(members=2, activation="tanh")
    weight = model.weights[0].detach().clone().requires_grad_()
    x = draw(2, 2, 6, 5)

    def f(w):
        return torch.func.functional_call(model, {"weights.0": w}, (x,))

    assert torch.autograd.gradgradcheck(f, weight)


def test_with_a_kernel_as_large_as_one_pixel_it_is_a_dense_net_of_pixels():
    model = Convolutional((4, 1, 1), 5, 2, kernel=1, stride=1, members=2, dtype=torch.float64)
    dense = Dense(4, 5, 2, members=2, dtype=torch.float64)
    with torch.no_grad():
        for p, q in zip(dense.parameters(), model.parameters(), strict=True):
            p.copy_(q.view_as(p))
    x = draw(6, 4)
    torch.testing.assert_close(model(x[:, :, None, None]), dense(x), **ROUNDING)


def test_shifts_of_an_image_away_from_the_border_change_nothing_at_stride_one():
    model = Convolutional((1, 12, 12), 4, 2, stride=1, generator=torch.Generator().manual_seed(0)).double()
    image = torch.zeros(1, 1, 12, 12, dtype=torch.float64)
    image[..., 4:7, 4:7] = draw(3, 3)
    torch.testing.assert_close(model(image.roll((2, -1), (2, 3))), model(image), **ROUNDING)


def test_initial_pre_activations_have_unit_variance_inside():
    """Images of unit variance, stride 1, no border: 300 members × 16 channels, 5 standard errors."""
    model = Convolutional((3, 5, 5), 16, 1, stride=1, members=300, generator=torch.Generator().manual_seed(0))
    x = draw(1, 3, 5, 5).float()
    x /= x[..., 1:4, 1:4].square().mean().sqrt()
    w = (model.scales[0] * model.weights[0]).flatten(0, 1)
    z = torch.nn.functional.conv2d(x[..., 1:4, 1:4], w)
    assert z.var().item() == pytest.approx(1.0, abs=5 * (2 / 4800) ** 0.5)


def test_stacked_single_nets_equal_selected_members():
    model = net()
    singles = [model.member(s) for s in (2, 0)]
    x = draw(4, 2, 6, 5)
    torch.testing.assert_close(Convolutional.stack(singles)(x), model.select([2, 0])(x), **ROUNDING)
    assert "members=2" in repr(model.select([2, 0]))
    with pytest.raises(ValueError, match="one shape"):
        Convolutional.stack([model])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width"),
        ({"depth": 0}, "depth"),
        ({"kernel": 0}, "kernel"),
        ({"stride": 0}, "stride: expected at least 1"),
        ({"stride": (1, 2, 2)}, "one for each of 2 layers"),
        ({"shape": (0, 4, 4)}, "channels"),
        ({"activation": "sigmund"}, "unknown 'sigmund'"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Convolutional(**({"shape": (1, 4, 4), "width": 3, "depth": 2} | arguments))


def test_images_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(n, 2, 6, 5\) or \(3, n, 2, 6, 5\), got \(4, 2, 5, 6\)"):
        net()(draw(4, 2, 5, 6))
    with pytest.raises(ValueError, match="expected shape"):
        net()(draw(2, 4, 2, 6, 5))


def test_frozen_parameters_are_frozen_in_selected_members():
    model = net()
    model.biases[1].requires_grad_(False)
    flags = [p.requires_grad for p in model.parameters()]
    for other in (model.select([2, 0]), model.member(1)):
        assert [p.requires_grad for p in other.parameters()] == flags
