"""Cached tables at pixels are valid in every mode of torch."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from symnets.diffeo import Expansion, SineField
from symnets.diffeo._basis import _cached_pixel_table


@pytest.fixture(autouse=True)
def _empty_cache_of_pixel_tables() -> None:
    _cached_pixel_table.cache_clear()


def test_derivatives_after_inference_mode() -> None:
    field = SineField((7, 9), cutoff=3)
    c = torch.randn(1, 2, field.n_modes)
    with torch.inference_mode():
        field.expansion(c).displacement()
    c.requires_grad_(True)
    field.expansion(c).warp(torch.rand(1, 1, 7, 9)).sum().backward()
    assert c.grad is not None


def test_values_after_fake_tensors_and_transforms() -> None:
    field = SineField((7, 9), cutoff=3)
    diffeo = field.expansion(torch.randn(1, 2, field.n_modes, dtype=torch.float64))
    mode = FakeTensorMode()
    fake = mode.from_tensor(diffeo.coefficients)
    with mode:
        assert Expansion(diffeo.basis, fake, (7, 9)).displacement().shape == (1, 7, 9, 2)
    total = lambda c: Expansion(diffeo.basis, c, (7, 9)).displacement().square().sum()  # noqa: E731
    slope = torch.func.grad(total)(diffeo.coefficients)
    # A quadratic function: c · f'(c) = 2 f(c).
    torch.testing.assert_close((slope * diffeo.coefficients).sum(), 2 * total(diffeo.coefficients))
    assert type(diffeo.displacement()) is torch.Tensor
    torch.testing.assert_close(diffeo.displacement().flatten(1, 2), diffeo.at(diffeo._grid(1)[0]))


def test_tables_are_cached() -> None:
    diffeo = SineField((7, 9), cutoff=3).sample(1, delta=0.1, generator=None)
    diffeo.displacement()
    before = _cached_pixel_table.cache_info().misses
    diffeo.displacement()
    assert _cached_pixel_table.cache_info().misses == before
