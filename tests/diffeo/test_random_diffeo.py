"""RandomDiffeo: one deformation for all parts of a sample; other parts are unchanged."""

from collections import OrderedDict, namedtuple
from enum import Enum

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from torch.utils.data import DataLoader, Dataset

from symnets.data import Loader, TensorPairs
from symnets.diffeo import FoldingWarning, RandomDiffeo, SineField
from symnets.diffeo._sample_parts import sample_parts


class TVTensor(torch.Tensor):
    """Stand-in for the tensors of torchvision, with their class names and attributes."""


class Image(TVTensor):
    pass


class Mask(TVTensor):
    pass


class Video(TVTensor):
    pass


class KeyPoints(TVTensor):
    canvas_size: tuple[int, int]


class BoundingBoxes(TVTensor):
    format: object
    canvas_size: tuple[int, int]


class BoxFormat(Enum):
    XYXY = "XYXY"
    CXCYWH = "CXCYWH"


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def boxes_of(values, *, format=BoxFormat.XYXY, canvas=(20, 30)) -> BoundingBoxes:
    boxes = torch.tensor(values).as_subclass(BoundingBoxes)
    boxes.format, boxes.canvas_size = format, canvas
    return boxes


IMAGE = torch.rand(3, 20, 30, generator=seeded(1), dtype=torch.float64)
MASK = torch.randint(0, 5, (20, 30), generator=seeded(2))


def test_fields_are_those_of_sine_field():
    images = torch.rand(4, 1, 20, 30, generator=seeded(1), dtype=torch.float64)
    found = RandomDiffeo(delta=0.7, cutoff=4, generator=seeded())(images)
    diffeo = SineField((20, 30), cutoff=4).sample(4, delta=0.7, generator=seeded(), dtype=torch.float64)
    assert torch.equal(found, diffeo.warp(images))


def test_each_image_has_its_own_field_by_default():
    images = IMAGE.expand(5, -1, -1, -1)
    own = RandomDiffeo(generator=seeded())(images)
    shared = RandomDiffeo(per_image=False, generator=seeded())(images)
    assert all(not torch.equal(own[0], other) for other in own[1:])
    assert all(torch.equal(shared[0], other) for other in shared[1:])


def test_channels_share_a_field():
    channel = IMAGE[:1]
    found = RandomDiffeo(generator=seeded())(channel.expand(3, -1, -1))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float16, torch.bfloat16, torch.float32])
def test_dtype_is_kept_and_values_are_interpolated(dtype):
    image = (200 * IMAGE).to(dtype)
    found = RandomDiffeo(generator=seeded())(image)
    exact = RandomDiffeo(generator=seeded())(image.to(torch.float64))
    assert found.dtype == dtype
    # Rounding to whole numbers, or to the 8 bits of a bfloat16 between 128 and 256.
    assert (found.to(torch.float64) - exact).abs().max() <= (0.51 if dtype != torch.float32 else 1e-3)


def test_zero_displacement_returns_the_same_object():
    sample = {"image": IMAGE, "mask": MASK, "boxes": torch.rand(2, 4), "label": 3}
    found = RandomDiffeo(delta=0.0)(sample)
    assert all(found[key] is sample[key] for key in sample)


def test_probability_zero_returns_the_same_object():
    assert RandomDiffeo(p=0.0)(IMAGE) is IMAGE


def test_probability_is_of_each_image():
    images = IMAGE.expand(400, -1, -1, -1)
    boxes = torch.tensor([[3.0, 4.0, 20.0, 15.0]]).expand(400, 1, 4)
    sample = {"image": images, "boxes": boxes}
    found = RandomDiffeo(p=0.3, generator=seeded())(sample)
    same = (found["image"] == images).flatten(1).all(1)
    assert torch.equal(same, (found["boxes"] == boxes).flatten(1).all(1))
    # Four standard deviations of a binomial.
    assert abs(float(same.double().mean()) - 0.7) < 4 * (0.3 * 0.7 / 400) ** 0.5


def test_strength_is_uniform_in_its_range():
    fields = RandomDiffeo(delta=(0.2, 1.0), cutoff=6).fields
    diffeo = fields.sample(3000, (24, 24), bijective=False, generator=seeded())
    squared = diffeo.displacement().square().sum(-1).mean((1, 2)) * (24 / 23) ** 2
    uniform = (1 + 0.2 + 0.2**2) / 3  # mean of δ² for δ uniform between 0.2 and 1
    assert float(squared.mean()) == pytest.approx(uniform, rel=4 * float(squared.std()) / uniform / 3000**0.5)


def test_range_of_one_value_is_that_value():
    found, expected = (
        RandomDiffeo(delta=d, cutoff=c, generator=seeded())(IMAGE)
        for d, c in (((0.5, 0.5), (3, 3)), (0.5, 3))
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize("bijective", [False, True])
def test_cutoffs_of_a_range_all_occur_and_keep_their_displacement(bijective):
    fields = RandomDiffeo(delta=0.5, cutoff=(2, 4)).fields
    diffeo = fields.sample(600, (24, 24), bijective=bijective, generator=seeded())
    reach = (diffeo.coefficients != 0).any(1).flatten(1).sum(1)
    assert reach.unique().tolist() == [1, 4, 8]  # modes within 2, 3 and 4
    if not bijective:
        squared = diffeo.displacement().square().sum(-1).mean((1, 2)) * (24 / 23) ** 2
        assert float(squared.mean()) == pytest.approx(0.25, rel=0.15)  # spread 0.9 / √600, four times


def test_temperature_and_delta_give_equal_fields():
    temperature = SineField((20, 30), cutoff=3).temperature(0.8)
    found = RandomDiffeo(temperature=temperature, generator=seeded())(IMAGE)
    torch.testing.assert_close(found, RandomDiffeo(delta=0.8, generator=seeded())(IMAGE))


def test_temperatures_lie_in_their_range():
    hot = RandomDiffeo(temperature=(1e-4, 1e-3), cutoff=3).fields
    diffeo = hot.sample(2000, (24, 24), bijective=False, generator=seeded())
    expected = SineField((24, 24), cutoff=3).typical_displacement(5.5e-4) ** 2
    squared = diffeo.displacement().square().sum(-1).mean((1, 2)) * (24 / 23) ** 2
    assert float(squared.mean()) == pytest.approx(expected, rel=0.07)  # spread 0.7 / √2000, four times


def test_folding_warning_is_for_the_end_of_the_range():
    with pytest.warns(FoldingWarning, match="folds with probability"):
        RandomDiffeo(delta=(0.0, 6.0), generator=seeded())(IMAGE)


def test_bijective_fields_do_not_fold():
    fields = RandomDiffeo(delta=(0.0, 3.0), bijective=True).fields
    assert fields.sample(50, (20, 30), bijective=True, generator=seeded()).is_bijective().all()


def test_mask_moves_with_its_image_by_nearest_pixels():
    found = RandomDiffeo(generator=seeded())({"image": IMAGE, "mask": MASK})
    diffeo = SineField((20, 30), cutoff=3).sample(1, delta=1.0, generator=seeded(), dtype=torch.float64)
    assert torch.equal(found["image"], diffeo.warp(IMAGE[None])[0])
    assert torch.equal(found["mask"], diffeo.to(dtype=torch.float32).warp(MASK[None, None], "nearest")[0, 0])
    assert found["mask"].dtype == MASK.dtype


def test_an_image_and_equal_masks_remain_equal():
    deform = RandomDiffeo(interpolation="nearest", generator=seeded())
    image = IMAGE.float()
    found = deform({"image": image, "masks": [image[0], image > 0.5]})
    assert torch.equal(found["image"][0], found["masks"][0])
    assert torch.equal(found["image"] > 0.5, found["masks"][1])


def test_batches_of_masks_boxes_and_key_points_follow_their_image():
    images = torch.rand(4, 3, 20, 30, generator=seeded(1))
    masks = torch.randint(0, 5, (4, 2, 20, 30), generator=seeded(2))
    points = torch.tensor([15.0, 10.0]).expand(4, 1, 2)
    batch = {"image": images, "masks": masks, "keypoints": points}
    found = RandomDiffeo(generator=seeded())(batch)
    diffeos = RandomDiffeo(bijective=True).fields.sample(4, (20, 30), bijective=True, generator=seeded())
    for k in range(4):
        one = diffeos[[k]].to(dtype=torch.float32)
        assert torch.equal(found["image"][k], one.warp(images[[k]])[0])
        assert torch.equal(found["masks"][k], one.warp(masks[[k]], "nearest")[0])
        torch.testing.assert_close(
            found["keypoints"][k].flip(-1), diffeos[[k]].push(points[k].flip(-1).double())[0].float()
        )


def test_too_few_rows_of_boxes_are_an_error():
    with pytest.raises(ValueError, match="per_image=False"):
        RandomDiffeo()({"image": IMAGE.expand(4, -1, -1, -1), "boxes": torch.rand(3, 4)})


def test_the_first_plain_tensor_is_the_image():
    label, weights = torch.tensor(3), torch.rand(4, 4)
    image, (same_label, same_weights, word) = RandomDiffeo()(IMAGE, [label, weights, "cat"])
    assert not torch.equal(image, IMAGE)
    assert same_label is label
    assert same_weights is weights
    assert word == "cat"


def test_plain_tensors_beside_an_image_are_unchanged():
    plain, image = IMAGE.clone(), IMAGE.float().as_subclass(Image)
    found_plain, found_image = RandomDiffeo(masks=())(plain, image)
    assert found_plain is plain
    assert type(found_image) is Image
    assert not torch.equal(found_image.as_subclass(torch.Tensor), IMAGE.float())


def test_containers_keep_their_classes():
    Pair = namedtuple("Pair", "image label")
    sample = OrderedDict(pair=Pair(IMAGE, 1), rest=(None, ["a"]))
    found = RandomDiffeo()(sample)
    assert type(found) is OrderedDict
    assert type(found["pair"]) is Pair
    assert found["pair"].label == 1
    assert found["rest"] == (None, ["a"])
    assert sample["pair"].image is IMAGE


def test_tensors_of_torchvision_keep_class_and_attributes():
    points = torch.tensor([[10.0, 5.0]]).as_subclass(KeyPoints)
    points.canvas_size = (20, 30)
    boxes = boxes_of([[10.0, 5.0, 4.0, 6.0]], format=BoxFormat.CXCYWH)
    mask = MASK.as_subclass(Mask)
    sample = (IMAGE.as_subclass(Image), mask, boxes, points, torch.tensor([1]))
    found = RandomDiffeo(generator=seeded())(*sample)
    assert [type(part) for part in found[:4]] == [Image, Mask, BoundingBoxes, KeyPoints]
    assert found[2].format is BoxFormat.CXCYWH
    assert found[2].canvas_size == found[3].canvas_size == (20, 30)
    assert found[4] is sample[4]
    plain = {"image": IMAGE, "mask": MASK, "keypoints": torch.tensor([[10.0, 5.0]])}
    keyed = RandomDiffeo(generator=seeded())(plain)
    assert torch.equal(keyed["mask"], found[1].as_subclass(torch.Tensor))
    assert torch.equal(keyed["keypoints"], found[3].as_subclass(torch.Tensor))


def test_boxes_alone_are_deformed_on_their_canvas():
    found = RandomDiffeo(generator=seeded())(boxes_of([[0.0, 0.0, 30.0, 20.0], [5.0, 5.0, 9.0, 9.0]]))
    plain = found.as_subclass(torch.Tensor)
    assert torch.equal(plain[0], torch.tensor([0.0, 0.0, 30.0, 20.0]))  # the border stays
    assert not torch.equal(plain[1], torch.tensor([5.0, 5.0, 9.0, 9.0]))


def test_frames_of_a_video_share_a_field():
    frames = IMAGE.expand(4, -1, -1, -1).clone().as_subclass(Video)
    found = RandomDiffeo()(frames).as_subclass(torch.Tensor)
    assert all(torch.equal(found[0], frame) for frame in found)
    clips = RandomDiffeo()(torch.stack([IMAGE.expand(4, -1, -1, -1)] * 2).as_subclass(Video)).as_subclass(
        torch.Tensor
    )
    assert torch.equal(clips[0, 0], clips[0, 3])
    assert not torch.equal(clips[0, 0], clips[1, 0])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "P", "F", "I;16", "I", "CMYK"])
def test_pil_images_keep_mode_and_palette(mode):
    values = (255 * IMAGE.permute(1, 2, 0).numpy()).astype(np.uint8)
    image = PILImage.fromarray(values)
    image = image.convert("L").convert(mode) if mode in ("I;16", "I", "F", "1") else image.convert(mode)
    found, still = RandomDiffeo(generator=seeded())(image), RandomDiffeo(delta=1e-9)(image)
    for other in (found, still):
        assert isinstance(other, PILImage.Image)
        assert (other.mode, other.size) == (mode, (30, 20))
    assert np.asarray(found).tobytes() != np.asarray(image).tobytes()
    np.testing.assert_allclose(np.asarray(still, dtype=float), np.asarray(image, dtype=float), atol=1e-4)
    if mode == "P":
        assert found.getpalette() == image.getpalette()
        assert set(np.unique(np.asarray(found))) <= set(np.unique(np.asarray(image)))


def test_pil_image_is_deformed_as_its_tensor():
    values = (255 * IMAGE).to(torch.uint8)
    image = PILImage.fromarray(values.permute(1, 2, 0).numpy())
    found = np.asarray(RandomDiffeo(generator=seeded())(image))
    assert np.array_equal(found, RandomDiffeo(generator=seeded())(values).permute(1, 2, 0).numpy())


def test_pil_mask_is_not_interpolated():
    mask = PILImage.fromarray(MASK.to(torch.uint8).numpy())
    found = RandomDiffeo(generator=seeded())({"image": IMAGE, "mask": mask})["mask"]
    expected = RandomDiffeo(generator=seeded())({"image": IMAGE, "mask": MASK})["mask"]
    assert np.array_equal(np.asarray(found), expected.numpy())


def test_gradients_flow_through_images():
    image = IMAGE.clone().requires_grad_()
    RandomDiffeo()(image).sum().backward()
    assert image.grad is not None
    assert float(image.grad.sum()) == pytest.approx(IMAGE.numel())  # weights of interpolation sum to 1


class Constant(Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return RandomDiffeo()(IMAGE), index


def epoch(seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.cat([images for images, _ in DataLoader(Constant(), batch_size=2, num_workers=2)])


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")  # of one core
def test_workers_sample_different_reproducible_fields():
    first = epoch(0)
    assert len(first.flatten(1).unique(dim=0)) == 8
    assert torch.equal(epoch(0), first)
    assert not torch.equal(epoch(1), first)


def test_random_diffeo_is_a_transform_of_tensor_pairs():
    pairs = TensorPairs(IMAGE.float().expand(6, -1, -1, -1), torch.arange(6), RandomDiffeo())
    loader = Loader(pairs, 3, seed=5)
    first, again, later = (torch.cat([b.inputs for b in loader.epoch(k)]) for k in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert len(first.flatten(1).unique(dim=0)) == 6


def test_with_a_generator_torchs_default_state_is_unchanged():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    RandomDiffeo(delta=(0.0, 1.0), cutoff=(2, 4), p=0.5, generator=seeded())(IMAGE.expand(4, -1, -1, -1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ((torch.tensor(3), IMAGE), "put the image first"),
        ((7, "cat"), "sample: expected images"),
        ({"image": IMAGE, "mask": torch.zeros(20, 31)}, "one size"),
        ({"image": IMAGE, "mask": [[0, 1], [1, 0]]}, "mask: expected a tensor, got int"),
        ({"image": IMAGE, "boxes": torch.zeros(3, 5)}, r"boxes: expected shape \(..., 4\)"),
        ((IMAGE.as_subclass(Image), boxes_of([[0.0, 0, 1, 1]], format="XYWHR")), "format: expected one of"),
    ],
)
def test_invalid_samples_are_an_error(sample, message):
    with pytest.raises(ValueError, match=message):
        RandomDiffeo()(sample)


@pytest.mark.parametrize(
    "options",
    [
        {"delta": 1.0, "temperature": 1e-3},
        {"delta": -1.0},
        {"delta": (2.0, 1.0)},
        {"p": 1.5},
        {"cutoff": (2.5, 4)},
        {"interpolation": "cubic"},
        {"cutoff": 0},
        {"cutoff": 1},
        {"cutoff": float("nan")},
        {"rule": "x"},
    ],
)
def test_invalid_options_are_an_error(options):
    with pytest.raises(ValueError, match=r"expected|keeps no mode"):
        RandomDiffeo(**options)


def test_kinds_follow_from_class_then_key_then_position():
    sample = {"a": IMAGE, "boxes": [boxes_of([[0.0, 0, 1, 1]]), torch.zeros(4)], "label": torch.tensor(1)}
    assert [part.kind for part in sample_parts(sample)] == ["image", "boxes", "boxes", "other"]


def test_print_shows_the_options():
    assert "delta=(1.0, 1.0), cutoff=(3.0, 3.0)" in repr(RandomDiffeo())


SEGMENTS = MASK.to(torch.uint8)


def grey(values: torch.Tensor):
    return PILImage.fromarray(values.to(torch.uint8).numpy())


@pytest.mark.parametrize("place", [1, -1])
def test_a_mask_is_declared_by_position(place):
    deform = RandomDiffeo(masks=(place,), generator=seeded())
    image, mask = deform(IMAGE, MASK)
    expected = RandomDiffeo(generator=seeded())({"image": IMAGE, "mask": MASK})
    assert torch.equal(image, expected["image"])
    assert torch.equal(mask, expected["mask"])
    pil = RandomDiffeo(masks=(place,), generator=seeded())((grey(255 * IMAGE[0]), grey(MASK)))[1]
    assert np.array_equal(np.asarray(pil), expected["mask"].numpy())


def test_a_mask_is_declared_by_key_at_any_depth():
    sample = {"image": IMAGE, "target": {"segmentation": [SEGMENTS, None], "label": 3}}
    found = RandomDiffeo(masks=("segmentation",), generator=seeded())(sample)
    expected = RandomDiffeo(generator=seeded())({"image": IMAGE, "mask": SEGMENTS})["mask"]
    assert torch.equal(found["target"]["segmentation"][0], expected)
    assert found["target"]["segmentation"][1] is None


def test_a_declaration_takes_precedence_over_the_class():
    mask = SEGMENTS[None].as_subclass(Image)
    found = RandomDiffeo(masks=(1,), generator=seeded())(IMAGE.as_subclass(Image), mask)[1]
    assert type(found) is Image
    assert set(found.unique().tolist()) <= set(range(5))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ((IMAGE, MASK), r"Tensor of shape \(20, 30\), returned unchanged"),
        ((IMAGE.float().expand(2, 3, 20, 30), MASK.expand(2, 20, 30)), r"shape \(2, 20, 30\)"),
        ({"image": IMAGE, "segmentation": MASK.numpy()}, "ndarray of shape"),
        ((IMAGE.as_subclass(Image), MASK), "returned unchanged"),
        ((grey(255 * IMAGE[0]), grey(40 * MASK)), 'PIL image of mode "L", interpolated'),
        ({"a": grey(MASK), "b": grey(MASK).convert("RGB")}, 'mode "L"'),
    ],
)
def test_undeclared_masks_emit_a_warning(sample, message):
    with pytest.warns(UserWarning, match=message) as emitted:
        RandomDiffeo()(sample)
    assert [one.filename for one in emitted] == [__file__]
    RandomDiffeo(masks=())(sample)


@pytest.mark.parametrize(
    "sample",
    [
        (IMAGE, torch.tensor(3), torch.rand(20, 4)),
        (grey(MASK), 3),
        (grey(MASK).convert("RGB"), grey(MASK).convert("P"), grey(MASK).convert("1")),
        {"image": grey(MASK), "mask": grey(MASK)},
        {"images": [grey(MASK), grey(MASK)]},
        {"image": IMAGE, "masks": [MASK, MASK]},
    ],
)
def test_declared_samples_emit_no_warning(sample):
    RandomDiffeo()(sample)


def test_invalid_declarations_are_an_error():
    for masks in ("segmentation", 1):
        with pytest.raises(ValueError, match="masks: expected positions or keys"):
            RandomDiffeo(masks=masks)
    for sample in (IMAGE, {"image": IMAGE}, (IMAGE,)):
        with pytest.raises(ValueError, match="masks: expected a tuple or list with position 1, got"):
            RandomDiffeo(masks=(1,))(sample)
    with pytest.raises(ValueError, match="masks: expected a tensor, got int"):
        RandomDiffeo(masks=(1,))(IMAGE, 3)


def test_one_folding_warning_in_each_call_at_the_calling_line():
    with pytest.warns(FoldingWarning) as emitted:
        RandomDiffeo(delta=6.0, cutoff=(2, 5), generator=seeded())(IMAGE.expand(20, -1, -1, -1))
    assert [one.filename for one in emitted] == [__file__]
    assert "of cutoff 5" in str(emitted[0].message)
    RandomDiffeo(delta=6.0, p=0.0)(IMAGE)


def test_boolean_images_are_an_error_that_names_the_option():
    with pytest.raises(ValueError, match=r'RandomDiffeo\(interpolation="nearest"\)'):
        RandomDiffeo()(IMAGE > 0.5)
    assert RandomDiffeo(interpolation="nearest")(IMAGE > 0.5).dtype == torch.bool
