"""Deformations on another device agree with the CPU."""

import pytest
import torch

from symnets.diffeo import RandomDiffeo, SineField
from symnets.diffeo._sample_parts import sample_parts
from tests.diffeo.fields import FIELDS, seeded
from tests.second_device import on_device, second_device


@pytest.fixture(autouse=True)
def _device():
    with second_device():
        yield


@pytest.mark.parametrize("name", ["sines, rectangle", "B-splines", "Gaussian, volume"])
def test_fields_sampled_on_the_cpu_warp_on_the_device(name):
    field = FIELDS[name]
    here = field.sample(3, delta=0.2, generator=seeded(), bijective=True, dtype=torch.float64)
    there = field.sample(3, delta=0.2, generator=seeded(), bijective=True, dtype=torch.float64, device="cuda")
    assert on_device(there.coefficients)
    x = torch.rand(3, 2, *field.shape, generator=seeded(1), dtype=torch.float64)  # pyright: ignore
    for mode in ("bilinear", "nearest"):
        warped = there.warp(x.to("cuda"), mode)
        assert on_device(warped)
        # The fused loops of the CPU and grid_sample, sums of eight products.
        torch.testing.assert_close(warped.cpu(), here.warp(x, mode), rtol=0.0, atol=1e-10)
    torch.testing.assert_close(there.det(2).cpu(), here.det(2), rtol=1e-12, atol=1e-12)
    composed = there.compose(there.inverse())
    assert float(composed.displacement().abs().max()) < 1e-8


def test_an_index_of_either_device_chooses_deformations_of_either():
    field = SineField((9, 9), cutoff=2)
    here = field.sample(4, delta=0.2, generator=seeded(), bijective=True, dtype=torch.float64)
    mask = torch.tensor([True, False, True, False])
    for one in (here, here.to(device="cuda")):
        for made in (one, one.inverse(), one.compose(one), one.compose(one).to(dtype=torch.float32)):
            for index in (mask, mask.to("cuda"), torch.tensor([0, 2]), torch.tensor([0, 2]).to("cuda")):
                assert made[index].n == 2
                made[index].displacement()


def test_images_on_another_device_are_an_error():
    field = SineField((9, 9), cutoff=2)
    here = field.sample(2, delta=0.2, generator=seeded())
    x = torch.rand(2, 1, 9, 9)
    with pytest.raises(
        ValueError, match=r"of the deformation, cpu, got cuda:0; use diffeo\.to\(device=images\.device\)"
    ):
        here.warp(x.to("cuda"))
    with pytest.raises(ValueError, match="one device, got cpu and cuda:0"):
        here.compose(here.to(device="cuda"))


def test_a_sample_on_the_device_is_deformed_as_one_on_the_cpu():
    deform = RandomDiffeo(delta=(0.1, 0.3), cutoff=(2, 3), p=0.7)
    x = torch.rand(5, 1, 12, 12, generator=seeded(2), dtype=torch.float64)
    boxes = torch.tensor([[[2.0, 3.0, 8.0, 9.0]]], dtype=torch.float64).expand(5, -1, -1).contiguous()
    found = []
    for device in ("cpu", "cuda"):
        image, hull = x.to(device), boxes.to(device)
        deformation = deform.make_params(sample_parts({"image": image, "boxes": hull}), seeded(3))
        found.append((deformation.warp(image, "bilinear"), deformation.push_boxes(hull, "XYXY", clamp=True)))
    for here, there in zip(*found, strict=True):
        assert on_device(there)
        torch.testing.assert_close(there.cpu(), here, rtol=0.0, atol=1e-10)


def test_fields_made_under_another_default_device_stay_on_the_cpu():
    # Tables of modes are kept for all: made on the meta device they would have no numbers.
    torch.set_default_device("meta")
    try:
        field = SineField((10, 13), cutoff=2.5)
        expected = (
            FIELDS["Gaussian"].__class__((10, 13), sigma=3),
            FIELDS["B-splines"].__class__((10, 13), spacing=4),
        )
    finally:
        torch.set_default_device(None)
    for one in (field, *expected):
        assert one.modes.device.type == one.amplitudes.device.type == "cpu"
        assert one.sample(1, delta=0.1, generator=seeded()).displacement().isfinite().all()
