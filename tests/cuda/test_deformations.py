"""Deformations on a GPU equal those of the CPU: the same random numbers, and the same operations."""

import copy

import pytest
import torch
from torch import Generator, Tensor

from symnets.diffeo import (
    Affine,
    BSplineField,
    Composition,
    Expansion,
    Field,
    GaussianField,
    RandomDiffeo,
    SineField,
    deform_points,
    isotropic_noise,
    random_affine,
)

FLAT = {
    "sine": SineField((17, 21), cutoff=3),
    "half": SineField((16, 16), cutoff=4, rule="half"),
    "gaussian": GaussianField((18, 16), sigma=3),
    "bspline": BSplineField((20, 17), spacing=5),
}
SOLID = {
    "sine": SineField((9, 8, 10), cutoff=2),
    "gaussian": GaussianField((8, 9, 8), sigma=2),
    "bspline": BSplineField((9, 9, 9), spacing=4),
}
FIELDS = {**FLAT, **{f"{name} in a volume": field for name, field in SOLID.items()}}
EXACT = {"rtol": 1e-10, "atol": 1e-10}
"""Tolerance in float64, for sums of at most a few hundred products of numbers of order 1 to 20."""


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def images(n: int, shape: tuple[int, ...], channels: int = 2) -> Tensor:
    return torch.rand(n, channels, *shape, generator=seeded(1), dtype=torch.float64)


def both(field: Field, device: torch.device, n: int = 4, delta: float = 0.6) -> tuple[Expansion, Expansion]:
    """The same random deformations on the CPU and on the device; none of them folds."""
    here, there = (
        field.sample(n, delta=delta, generator=seeded(), bijective=True, dtype=torch.float64, device=where)
        for where in ("cpu", device)
    )
    assert there.device.type == device.type
    return here, there


def same(there: Tensor, here: Tensor, device: torch.device, **tolerance: float) -> None:
    assert there.device.type == device.type
    torch.testing.assert_close(there.cpu(), here, **(tolerance or EXACT))


@pytest.fixture(params=FIELDS)
def field(request: pytest.FixtureRequest) -> Field:
    return FIELDS[request.param]


def test_a_generator_of_the_cpu_gives_the_same_fields(field, device):
    here, there = both(field, device)
    assert torch.equal(there.coefficients.cpu(), here.coefficients)
    assert there.acceptance == here.acceptance
    again = here.to(device=device)
    assert torch.equal(again.coefficients, there.coefficients)
    assert torch.equal(again.to(device="cpu").coefficients, here.coefficients)


def test_a_generator_of_the_device_samples_on_the_device(field, device):
    draws = [
        field.sample(3, delta=0.3, generator=Generator(device).manual_seed(5), dtype=torch.float64)
        for _ in range(2)
    ]
    assert draws[0].device.type == device.type
    assert torch.equal(draws[0].coefficients, draws[1].coefficients)
    # δ² from 9 normals or more: the probability of a mean square outside of this is small.
    squares = draws[0].coefficients.square().sum() / field.amplitudes.square().sum() / field.dim / 3
    assert 0.1 < float(squares) / 0.3**2 < 4


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
def test_warp(field, device, mode):
    if mode == "bicubic" and field.dim == 3:
        mode = "bilinear"
    here, there = both(field, device)
    x = images(4, field.shape)
    same(there.warp(x.to(device), mode), here.warp(x, mode), device)


def test_warp_in_float32_rounds_a_little(field, device):
    # u of a pixel and coordinates up to 20, in numbers of 24 digits: 20 x 6e-8, times slopes of order 1.
    here, there = both(field, device)
    x = images(4, field.shape).float()
    single = there.to(dtype=torch.float32)
    same(single.warp(x.to(device)), here.to(dtype=torch.float32).warp(x), device, rtol=0.0, atol=2e-5)


def test_derivatives_of_a_warp(field, device):
    found = []
    for where in ("cpu", device):
        coefficients = both(field, device)[0].coefficients.to(where).requires_grad_()
        x = images(4, field.shape).to(where).requires_grad_()
        warped = Expansion(field.basis, coefficients, field.shape).warp(x)
        found.append(torch.autograd.grad(warped.square().sum(), [x, coefficients]))
    for there, here in zip(found[1], found[0], strict=True):
        same(there, here, device)


def test_jacobians_and_folds(field, device):
    here, there = both(field, device)
    same(there.det(), here.det(), device)
    same(there.det(2), here.det(2), device)
    same(there.energy(), here.energy(), device)
    assert torch.equal(there.is_bijective().cpu(), here.is_bijective())
    strong = [drawn.coefficients * 40 for drawn in (here, there)]
    folded = [Expansion(field.basis, coefficients, field.shape).is_bijective() for coefficients in strong]
    assert not folded[0].any()
    assert torch.equal(folded[1].cpu(), folded[0])


def test_inverse_and_push(field, device):
    here, there = both(field, device)
    points = torch.rand(4, 50, field.dim, generator=seeded(2), dtype=torch.float64)
    points = points * (torch.tensor(field.shape) - 1)
    # Both are solved iteratively to 1e-10 pixels.
    same(there.push(points.to(device)), here.push(points), device, rtol=0.0, atol=1e-9)
    back = there.push(there.pull(points.to(device)))
    same(back, points, device, rtol=0.0, atol=1e-8)
    x = images(4, field.shape)
    same(there.inverse().warp(x.to(device)), here.inverse().warp(x), device, rtol=0.0, atol=1e-8)
    assert torch.equal(there.inverse().is_bijective().cpu(), here.inverse().is_bijective())


def test_composition(field, device):
    here, there = both(field, device)
    x = images(4, field.shape)
    composed = there.compose(there[[1]]), here.compose(here[[1]])
    same(composed[0].warp(x.to(device)), composed[1].warp(x), device)
    same(composed[0].det(), composed[1].det(), device)


def test_numbers_and_masks_of_the_device_choose_deformations(device):
    here, there = both(FLAT["sine"], device)
    mask = torch.tensor([True, False, True, False])
    for one, other in (
        (there, here),
        (there.compose(there), here.compose(here)),
        (there.inverse(), here.inverse()),
    ):
        for index in (mask, torch.tensor([2, 0]), 1):
            moved = index.to(device) if isinstance(index, Tensor) else index
            grid = other[index].displacement()
            same(one[moved].displacement(), grid, device, rtol=0.0, atol=1e-8)
            same(one[index].displacement(), grid, device, rtol=0.0, atol=1e-8)
    selected = here.compose(here)[mask.to(device)]
    assert selected.n == 2


def test_more_points_than_a_launch_has_blocks_are_solved_for(device):
    # 100 maps of 27 x 27 pixels are 72,900 small systems of equations.
    field = SineField((27, 27), cutoff=3)
    drawn = field.sample(100, delta=0.5, generator=seeded(), bijective=True, dtype=torch.float64)
    inverse = drawn.to(device=device).inverse()
    assert float(inverse.residual.max()) <= 1e-10
    gradient = inverse.jacobian()
    same(gradient, drawn.inverse().jacobian(), device, rtol=0.0, atol=1e-7)


def test_affine_maps(device):
    limits = {"degrees": 20, "translate": 2, "scale": (0.8, 1.2), "shear": 5, "dtype": torch.float64}
    here = random_affine(5, (12, 14), **limits, generator=seeded())
    there = random_affine(5, (12, 14), **limits, generator=seeded(), device=device)
    x = images(5, (12, 14))
    same(there.warp(x.to(device)), here.warp(x), device)
    same(there.inverse().matrix, here.inverse().matrix, device)
    turned = Affine.rotation(torch.tensor([90.0], dtype=torch.float64, device=device), (5, 5))
    square = images(1, (5, 5))
    same(turned.warp(square.to(device)), square.rot90(1, (2, 3)), device)
    composed = Composition(there, there), Composition(here, here)
    same(composed[0].warp(x.to(device)), composed[1].warp(x), device)


def test_a_deformation_of_another_device_is_refused(device):
    if device.type == "cpu":
        pytest.skip("needs two devices")
    here, there = both(FLAT["sine"], device)
    with pytest.raises(ValueError, match=r"diffeo\.to\(device=images\.device\)"):
        here.warp(images(4, FLAT["sine"].shape).to(device))
    with pytest.raises(ValueError, match="one device"):
        here.compose(there)


def test_random_diffeo_of_a_sample(device):
    sample = {
        "image": images(3, (16, 16), 3).float(),
        "mask": torch.randint(5, (3, 16, 16), generator=seeded(3)),
        "boxes": torch.tensor([[[2.0, 3.0, 9.0, 11.0], [0.0, 0.0, 16.0, 16.0]]]).expand(3, -1, -1).clone(),
        "keypoints": torch.rand(3, 4, 2, generator=seeded(4)) * 15,
        "label": torch.tensor([1, 2, 3]),
    }
    deform = RandomDiffeo(delta=(0.2, 1.0), cutoff=(2, 4), p=0.7)
    here = deform(copy.deepcopy(sample), seeded(7))
    there = deform({name: part.to(device) for name, part in sample.items()}, seeded(7))
    assert not torch.equal(here["image"], sample["image"])
    same(there["image"], here["image"], device, rtol=0.0, atol=1e-5)
    same(there["boxes"], here["boxes"], device, rtol=0.0, atol=1e-5)
    same(there["keypoints"], here["keypoints"], device, rtol=0.0, atol=1e-5)
    # In float32 a position half-way between two pixels may be rounded to either.
    assert (there["mask"].cpu() == here["mask"]).float().mean() > 0.99
    assert torch.equal(there["label"].cpu(), sample["label"])


def test_random_diffeo_with_a_generator_of_the_device(device):
    x = images(8, (16, 16)).to(device)
    deform = RandomDiffeo(delta=0.7, p=0.5, bijective=True)
    one, other = (deform(x, Generator(device).manual_seed(3)) for _ in range(2))
    assert one.device.type == device.type
    assert torch.equal(one, other)
    moved = (one != x).flatten(1).any(1)
    assert 0 < int(moved.sum()) < 8


@pytest.mark.parametrize("owned", [False, True])
def test_clouds_of_points(device, owned):
    points = torch.randn(30, 3, generator=seeded(5), dtype=torch.float64)
    owner = torch.arange(30) % 4 if owned else None
    options = {"delta": 0.2, "cutoff": 2.0, "margin": 1.0}
    here = deform_points(points, owner=owner, generator=seeded(), **options)
    on = None if owner is None else owner.to(device)
    there = deform_points(points.to(device), owner=on, generator=seeded(), **options)
    same(there, here, device, rtol=0.0, atol=1e-8)
    noise = isotropic_noise(here - points, generator=seeded(6))
    same(isotropic_noise((here - points).to(device), generator=seeded(6)), noise, device)


def test_fields_made_under_another_default_device_are_those_of_the_cpu(device):
    before, x = torch.get_default_device(), images(2, (11, 13))
    try:
        torch.set_default_device(device)
        fields = [
            SineField((11, 13), cutoff=3),
            GaussianField((11, 13), sigma=2),
            BSplineField((11, 13), spacing=4),
        ]
        drawn = [field.sample(2, delta=0.5, generator=seeded(), dtype=torch.float64) for field in fields]
        deformed = RandomDiffeo(delta=0.5)(x, seeded(1))
    finally:
        torch.set_default_device(before)
    for field, one in zip(fields, drawn, strict=True):
        assert one.device.type == "cpu"
        assert torch.equal(
            one.coefficients,
            field.sample(2, delta=0.5, generator=seeded(), dtype=torch.float64).coefficients,
        )
    assert torch.equal(deformed, RandomDiffeo(delta=0.5)(x, seeded(1)))
