"""Observables take the derivatives that they need in inference mode too, also of tensors made there."""

import pytest
import torch

from symnets.observables import margins, tangent_kernel
from symnets.observables.curvature import HessianOperator, h0_spectrum, hessian_split


def squared(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs - targets).square() * targets.square()


MEASUREMENTS = {
    "margins": lambda net, x, y: margins(net, (x, y)).gaps,
    "kernel": lambda net, x, y: tangent_kernel(net, x),
    "split": lambda net, x, y: hessian_split(net, squared, (x, y)).hp,
    "h0": lambda net, x, y: h0_spectrum(net, squared, (x, y)).eigenvalues,
    "operator": lambda net, x, y: HessianOperator(net, squared, [(x, y), (x, y)]) @ torch.ones(25).double(),
}


@pytest.mark.parametrize("measure", MEASUREMENTS.values(), ids=MEASUREMENTS)
def test_inference_mode_does_not_change_a_measurement(measure):
    generator = torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1, bias=False))
    net = torch.nn.Sequential(net.double(), torch.nn.Flatten(0))
    x = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(6, generator=generator, dtype=torch.float64).sign()
    expected = measure(net, x, y)
    with torch.inference_mode():
        assert torch.equal(measure(net, x, y), expected)
        assert torch.equal(measure(net, x.clone(), y.clone()), expected)
    with torch.no_grad():
        assert torch.equal(measure(net, x, y), expected)
        assert not torch.is_grad_enabled()
