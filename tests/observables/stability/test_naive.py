"""Stability against loops written from the formulas, with the same fields and noise."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from symnets.diffeo import SineField
from symnets.observables import stability
from tests.naive.stability import numbers, warped
from tests.observables.stability.nets import SHAPE, Recorder, generator, images, small_net


class RecordingField(SineField):
    """Sine field that records the coefficients that it samples."""

    sampled: list[Tensor]

    def sample(self, *arguments: object, **options: object):
        found = super().sample(*arguments, **options)
        self.sampled.append(found.coefficients)
        return found


@pytest.mark.parametrize("average", ["mean", "median", "reference"])
@pytest.mark.parametrize("published", [False, True])
def test_d_g_r_agree_with_the_formulas(average: str, published: bool) -> None:
    """In a rectangle; and in a square with modes and temperature as in the code published with the paper."""
    shape = (6, 6) if published else SHAPE
    field = RecordingField(shape, cutoff=2, rule="half" if published else "disc")
    field.sampled = []
    temperature = field.temperature(0.3, exact=not published)
    net, x, draws = Recorder(small_net(shape=shape)), images(13, shape=shape), 3
    found = stability(
        net, x, field, temperature=temperature, n_draws=draws, average=average, generator=generator()
    )
    seen = [part.numpy() for part in net.inputs]
    assert len(seen) == 1 + 2 * draws
    assert sorted(map(float, seen[0][:, 0, 0, 0])) == sorted(map(float, x[:, 0, 0, 0]))
    deformed = []
    # The first sample is for the warnings only.
    for coefficients, mine, noisy in zip(field.sampled[1:], seen[1::2], seen[2::2], strict=True):
        slow = [warped(image, c.numpy()) for image, c in zip(seen[0], coefficients, strict=True)]
        np.testing.assert_allclose(mine, slow, atol=1e-12)
        norm, length = (np.sqrt(((one - seen[0]) ** 2).sum((1, 2, 3))) for one in (slow, noisy))
        np.testing.assert_allclose(length, norm, rtol=1e-10)
        deformed.append(outputs(net.net, np.array(slow)))
    noisy = [outputs(net.net, one) for one in seen[2::2]]
    expected = numbers(outputs(net.net, seen[0]), np.array(deformed), np.array(noisy), average)
    got = (found.D.value[0], found.G.value[0], found.R.value[0])
    assert got == pytest.approx(expected, rel=1e-9)


def outputs(net: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net.eval()(torch.from_numpy(x)).numpy()
