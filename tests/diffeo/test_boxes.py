"""Boxes and key points follow the content of a deformed image."""

import pytest
import torch

from symnets.diffeo import Affine, SineField, push_boxes, push_key_points

SHAPE = (24, 32)
N_EDGE = 4001


def diffeo(n: int = 1, *, delta: float = 1.5, cutoff: float = 4, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return SineField(SHAPE, cutoff=cutoff).sample(
        n, delta=delta, bijective=True, generator=generator, dtype=torch.float64
    )


def some_boxes(n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(n, 2, generator=generator, dtype=torch.float64) * torch.tensor([20.0, 14.0])
    size = 1 + torch.rand(n, 2, generator=generator, dtype=torch.float64) * torch.tensor([11.0, 9.0])
    return torch.cat([low, low + size], dim=-1)


def slow_hull(box: torch.Tensor, map_) -> torch.Tensor:
    """Upright box around many pushed points on the four edges and on a diagonal of a box."""
    x0, y0, x1, y1 = box.tolist()
    t = torch.linspace(0, 1, N_EDGE, dtype=torch.float64)
    x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
    full = torch.full_like
    xs = torch.cat([x, x, full(t, x0), full(t, x1), x])
    ys = torch.cat([full(t, y0), full(t, y1), y, y, y])
    rows, columns = (ys - 0.5).clamp(0, SHAPE[0] - 1), (xs - 0.5).clamp(0, SHAPE[1] - 1)
    moved = map_.push(torch.stack([rows, columns], dim=-1))[0]
    ys, xs = ys + moved[:, 0] - rows, xs + moved[:, 1] - columns
    return torch.stack([xs.min(), ys.min(), xs.max(), ys.max()])


def test_hull_is_the_smallest_box_around_the_pushed_box():
    map_, boxes = diffeo(), some_boxes(12)
    for box, hull in zip(boxes, push_boxes(boxes, map_), strict=True):
        # 64 points an edge: h² |∂²u| / 8 < (11/63)² · 3 · (4π/27)² / 8 ~ 0.003.
        torch.testing.assert_close(hull, slow_hull(box, map_), atol=3e-3, rtol=0)


def test_hull_needs_more_than_four_corners():
    map_, boxes = diffeo(delta=2.0), some_boxes(30)
    corners, hull = push_boxes(boxes, map_, points_per_edge=2), push_boxes(boxes, map_)
    assert float((corners - hull).abs().max()) > 0.3


def test_box_around_a_mask_is_the_box_around_the_moved_mask():
    map_ = diffeo(delta=2.0)
    mask = torch.zeros(1, 1, *SHAPE)
    mask[..., 6:17, 8:26] = 1
    rows, columns = map_.warp(mask, "nearest")[0, 0].nonzero().unbind(1)
    seen = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).double()
    hull = push_boxes(torch.tensor([8.0, 6.0, 26.0, 17.0], dtype=torch.float64), map_)
    # A pixel counts with its whole square if its middle is in: half a pixel on either side.
    assert float((hull - seen).abs().max()) < 0.6


def test_a_box_around_the_image_does_not_move():
    whole = torch.tensor([0.0, 0.0, 32.0, 24.0], dtype=torch.float64)
    torch.testing.assert_close(push_boxes(whole, diffeo()), whole, atol=1e-9, rtol=0)


def test_the_three_formats_agree():
    map_, corners = diffeo(), some_boxes(5)
    low, high = corners[:, :2], corners[:, 2:]
    expected = push_boxes(corners, map_)
    sides = push_boxes(torch.cat([low, high - low], dim=1), map_, format="XYWH")
    centres = push_boxes(torch.cat([(low + high) / 2, high - low], dim=1), map_, format="CXCYWH")
    torch.testing.assert_close(torch.cat([sides[:, :2], sides[:, :2] + sides[:, 2:]], 1), expected)
    half = centres[:, 2:] / 2
    torch.testing.assert_close(torch.cat([centres[:, :2] - half, centres[:, :2] + half], 1), expected)


def test_integer_boxes_are_widened_to_whole_pixels():
    map_, boxes = diffeo(), some_boxes(8).round().to(torch.int64)
    found, exact = push_boxes(boxes, map_), push_boxes(boxes.double(), map_)
    assert found.dtype == torch.int64
    assert (found[:, :2] <= exact[:, :2]).all()
    assert (found[:, 2:] >= exact[:, 2:]).all()
    assert (found - exact).abs().max() < 1


def test_boxes_are_clipped_to_the_image_with_clamp():
    box = torch.tensor([-5.0, 3.0, 40.0, 9.0])
    assert push_boxes(box, diffeo())[[0, 2]].tolist() == [0.0, 32.0]
    assert push_boxes(box, diffeo(), clamp=False)[[0, 2]].tolist() == [-5.0, 40.0]


def test_each_image_has_its_own_boxes():
    maps, boxes = diffeo(3), some_boxes(6).reshape(3, 2, 4)
    found = push_boxes(boxes, maps)
    points = push_key_points(boxes.reshape(3, 4, 2), maps)
    for k in range(3):
        torch.testing.assert_close(found[k], push_boxes(boxes[k], maps[[k]]))
        torch.testing.assert_close(points[k], push_key_points(boxes[k].reshape(4, 2), maps[[k]]))


@pytest.mark.parametrize("shape", [(0, 4), (2, 0, 4)])
def test_empty_boxes(shape):
    assert push_boxes(torch.zeros(shape), diffeo(shape[0] or 1)).shape == shape


def test_key_point_on_a_spot_follows_the_spot():
    map_ = diffeo()
    row, column = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in SHAPE), indexing="ij")
    image = torch.exp(-((row - 11.0) ** 2 + (column - 17.0) ** 2) / 4)[None, None]
    moved = map_.warp(image, "bicubic")[0, 0]
    centre = torch.stack([(moved * column).sum(), (moved * row).sum()]) / moved.sum()
    found = push_key_points(torch.tensor([17.0, 11.0], dtype=torch.float64), map_)
    # The spot is as wide as a wave is long: its centre is not exactly that of what it becomes.
    assert float((found - centre).norm()) < 0.35
    assert float((found - torch.tensor([17.0, 11.0])).norm()) > 0.5


def test_pulling_brings_key_points_back():
    points = some_boxes(10)[:, :2]
    pushed = push_key_points(points, diffeo())
    torch.testing.assert_close(diffeo().pull(pushed.flip(-1))[0].flip(-1), points)


def test_key_points_outside_or_not_finite_do_not_move():
    points = torch.tensor([[-3.0, -1.0], [31.0, 23.0], [40.0, 50.0], [torch.nan, 2.0]])
    assert torch.equal(push_key_points(points, diffeo())[:3], points[:3])
    assert push_key_points(points, diffeo())[3].isnan().tolist() == [True, False]


def affine_map(points: torch.Tensor, map_: Affine) -> torch.Tensor:
    """Closed form A (p - c) + c + t of points (x, y), with c, A and t in the order (row, column)."""
    centre = (torch.tensor(SHAPE, dtype=torch.float64) - 1) / 2
    return ((points.flip(-1) - centre) @ map_.matrix[0].T + centre + map_.shift[0]).flip(-1)


AFFINE = {
    "rotation": Affine.rotation(30.0, SHAPE, dtype=torch.float64),
    "scaling": Affine.scaling(0.5, SHAPE, dtype=torch.float64),
    "shear and shift": Affine(
        torch.tensor([[[1.0, 0.2], [-0.3, 0.9]]], dtype=torch.float64),
        torch.tensor([[2.0, -1.5]], dtype=torch.float64),
        shape=SHAPE,
    ),
}


@pytest.mark.parametrize("name", AFFINE)
def test_affine_maps_move_key_points_outside_of_the_image_too(name):
    points = torch.tensor([[-4.0, -2.5], [3.0, 7.0], [50.0, 10.0], [31.7, 40.0]], dtype=torch.float64)
    found = push_key_points(points, AFFINE[name])
    torch.testing.assert_close(found, affine_map(points, AFFINE[name]), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", AFFINE)
@pytest.mark.parametrize("box", [(0.0, 0.0, 32.0, 24.0), (-6.0, 3.0, 40.0, 30.0)])
def test_affine_boxes_are_hulls_of_the_four_moved_corners(name, box):
    x0, y0, x1, y1 = box
    corners = torch.tensor([[x0, y0], [x0, y1], [x1, y0], [x1, y1]], dtype=torch.float64)
    moved = affine_map(corners - 0.5, AFFINE[name]) + 0.5
    expected = torch.cat([moved.amin(0), moved.amax(0)])
    found = push_boxes(torch.tensor(box, dtype=torch.float64), AFFINE[name], clamp=False)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_a_box_around_the_image_shrinks_with_it():
    whole = torch.tensor([0.0, 0.0, 32.0, 24.0], dtype=torch.float64)
    expected = torch.tensor([8.0, 6.0, 24.0, 18.0], dtype=torch.float64)
    torch.testing.assert_close(push_boxes(whole, AFFINE["scaling"]), expected)


def test_composed_with_an_affine_map_points_outside_move_by_the_affine_map_alone():
    turned = AFFINE["rotation"].compose(diffeo())
    points = torch.tensor([[-3.0, -1.0], [40.0, 50.0]], dtype=torch.float64)
    torch.testing.assert_close(
        push_key_points(points, turned), affine_map(points, AFFINE["rotation"]), rtol=0, atol=1e-8
    )


def test_further_columns_and_dtype_of_key_points_are_kept():
    points = torch.tensor([[[10, 12, 2], [5, 6, 0]]])
    found = push_key_points(points, diffeo())
    assert found.dtype == torch.int64
    assert torch.equal(found[..., 2], points[..., 2])
    exact = push_key_points(points[..., :2].double(), diffeo())
    assert torch.equal(found[..., :2], exact.round().long())


def test_a_fold_is_an_error():
    folded = SineField(SHAPE, cutoff=4).expansion(
        torch.full((1, 2, 9), 20.0, dtype=torch.float64)[..., : SineField(SHAPE, cutoff=4).n_modes]
    )
    with pytest.raises(ValueError, match="folds"):
        push_boxes(some_boxes(20), folded)


@pytest.mark.parametrize("function", [push_boxes, push_key_points])
def test_one_row_for_each_deformation(function):
    with pytest.raises(ValueError, match="one row for each image"):
        function(torch.zeros(3, 4), diffeo(2))


def test_nan_boxes_are_not_reported_as_a_fold():
    with pytest.raises(ValueError, match="boxes: expected finite numbers"):
        push_boxes(torch.tensor([1.0, 2.0, torch.nan, 4.0]), diffeo())
