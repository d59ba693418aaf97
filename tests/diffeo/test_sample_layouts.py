"""RandomDiffeo: numpy images, volumes and containers; layouts and objects that are refused."""

import dataclasses
from collections import UserDict, namedtuple
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as PILImage

from symnets.diffeo import (
    RandomDiffeo,
    SineField,
    deform_points,
    isotropic_noise,
    push_boxes,
    push_key_points,
)
from tests.diffeo.test_random_diffeo import Image, Mask, Video, seeded

IMAGE = torch.rand(3, 20, 30, generator=seeded(1), dtype=torch.float64)
MASK = torch.randint(0, 5, (20, 30), generator=seeded(2))
RGB = IMAGE.permute(1, 2, 0).numpy()
BYTES = (255 * RGB).astype(np.uint8)


def deform(sample: Any, **options: Any) -> Any:
    return RandomDiffeo(generator=seeded(), **options)(sample)


EXPECTED = deform({"image": IMAGE, "mask": MASK})


@dataclasses.dataclass(frozen=True)
class Sample:
    image: Any
    mask: Any = None
    name: str = "a"
    derived: int = dataclasses.field(default=3, init=False)


@dataclasses.dataclass(slots=True)
class Slotted:
    image: Any
    mask: Any


Pair = namedtuple("Pair", "image mask")


def test_an_array_is_deformed_as_its_tensor_with_its_mask() -> None:
    found = deform({"image": RGB, "mask": MASK, "label": 3})
    assert type(found["image"]) is np.ndarray
    assert np.array_equal(found["image"], EXPECTED["image"].permute(1, 2, 0).numpy())
    assert torch.equal(found["mask"], EXPECTED["mask"])
    assert found["label"] == 3
    declared = deform({"image": RGB, "segments": MASK}, masks=("segments",))
    assert np.array_equal(declared["image"], found["image"])
    assert torch.equal(declared["segments"], EXPECTED["mask"])


def test_parts_by_keywords_form_a_dict() -> None:
    found = RandomDiffeo(generator=seeded())(image=RGB, mask=MASK)
    assert np.array_equal(found["image"], EXPECTED["image"].permute(1, 2, 0).numpy())
    assert torch.equal(found["mask"], EXPECTED["mask"])
    with pytest.raises(TypeError, match="got both"):
        RandomDiffeo()(RGB, mask=MASK)


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "int16", "int32", "float16", "float32", "float64", ">f4", ">u2"]
)
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_arrays_keep_shape_and_dtype(dtype: str, channels: int | None) -> None:
    image = (200 * np.concatenate([RGB, RGB], axis=2)).astype(dtype)
    image = image[..., 0] if channels is None else image[..., :channels]
    found, exact = deform(image), deform(image.astype(np.float64))
    assert found.dtype == np.dtype(dtype)
    assert found.shape == image.shape
    assert found.flags.c_contiguous
    assert np.abs(found.astype(float) - exact).max() <= (0.51 if "f" not in dtype else 0.2)
    assert not np.array_equal(found, image)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[:, ::-1][:, ::-1],
        lambda x: x[..., ::-1].copy()[..., ::-1],  # BGR as RGB
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=0)[::2],
        lambda x: np.array(x, order="C").view(np.memmap),
    ],
)
def test_arrays_of_any_strides_and_read_only_ones(change: Callable[[np.ndarray], np.ndarray]) -> None:
    image = change(BYTES)
    image.flags.writeable = False
    before = image.copy()
    assert np.array_equal(deform(image), deform(BYTES))
    assert np.array_equal(image, before)


def test_arrays_of_masks_boxes_and_key_points() -> None:
    tensors = {
        "image": IMAGE,
        "mask": MASK,
        "boxes": torch.tensor([[3.0, 4.0, 20.0, 15.0]]),
        "keypoints": torch.tensor([[15.0, 10.0, 2.0]]),
    }
    arrays = {key: value.numpy() for key, value in tensors.items()} | {"image": RGB}
    found, expected = deform(arrays), deform(tensors)
    for key in ("mask", "boxes", "keypoints"):
        assert type(found[key]) is np.ndarray
        assert np.array_equal(found[key], expected[key].numpy())
        assert found[key].dtype == arrays[key].dtype
    assert np.array_equal(found["image"], expected["image"].permute(1, 2, 0).numpy())
    mixed = deform(
        {"image": PILImage.fromarray(BYTES), "masks": [MASK.numpy()[..., None], MASK, MASK.numpy()[None]]}
    )
    assert [part.shape for part in mixed["masks"]] == [(20, 30, 1), (20, 30), (1, 20, 30)]
    expected = EXPECTED["mask"]
    assert np.array_equal(mixed["masks"][0][..., 0], expected.numpy())
    assert torch.equal(mixed["masks"][1], expected)
    assert np.array_equal(mixed["masks"][2][0], expected.numpy())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "uint32", "int64", "uint64", "float16", ">u2"])
def test_masks_of_any_dtype_keep_their_values(dtype: str) -> None:
    values = MASK.numpy().astype(dtype)
    values[values == 4] = np.iinfo(dtype).max if "f" not in dtype else 60000
    found = deform({"image": RGB, "mask": values})["mask"]
    assert found.dtype == np.dtype(dtype)
    expected = EXPECTED["mask"].numpy().astype(dtype)
    assert np.array_equal(found[expected < 4], expected[expected < 4])
    assert set(np.unique(found)) == set(np.unique(values))


def test_boolean_arrays_are_masks_only() -> None:
    assert deform({"image": RGB, "mask": MASK.numpy() > 2})["mask"].dtype == np.bool_
    with pytest.raises(ValueError, match=r"image: torch.bool cannot be interpolated"):
        deform({"image": RGB > 0.5})


def test_batches_and_videos_of_arrays() -> None:
    images = torch.rand(4, 3, 20, 30, generator=seeded(3), dtype=torch.float64)
    arrays = images.permute(0, 2, 3, 1).numpy()
    expected = deform(images).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(deform({"images": arrays})["images"], expected)
    assert np.array_equal(deform(arrays, volume=False), expected)
    frames = deform({"video": arrays[[0, 0]]})["video"]
    assert np.array_equal(frames[0], frames[1])  # one field for a clip
    clip = images[[0, 0]]
    assert np.array_equal(frames, deform({"video": clip})["video"].permute(0, 2, 3, 1).numpy())
    assert torch.equal(
        deform(clip.as_subclass(Video)).as_subclass(torch.Tensor), deform({"video": clip})["video"]
    )


@pytest.mark.parametrize(
    "sample",
    [
        (RGB, 3),
        (RGB, np.int64(3)),
        (RGB, np.array(3)),
        (RGB, np.eye(10)[3]),
        (RGB, "cat", None, Path("a.png"), b"x", 2.5, torch.tensor(3)),
        {"path": "a.png", "x": RGB},
        {"image": RGB, "points": np.zeros((5, 2)), "table": pd.DataFrame({"a": [1, 2], "b": [3, 4]})},
        {"image": RGB, "embedding": torch.rand(77, 768)},
        {"points": np.zeros((5, 2)), "x": IMAGE},
        {"pixels": RGB, "image": "a.png"},  # the name of the file
        {"image": None, "x": RGB},
    ],
)
def test_labels_names_and_numbers_are_unchanged(sample: Any) -> None:
    found = deform(sample)
    pairs = (
        zip(sample.items(), found.items(), strict=True)
        if isinstance(sample, dict)
        else [((str(k), a), (str(k), b)) for k, (a, b) in enumerate(zip(sample, found, strict=True))]
    )
    for (key, old), (_, new) in pairs:
        is_image = isinstance(old, np.ndarray | torch.Tensor) and old.ndim == 3
        assert (new is not old) == is_image, key


@pytest.mark.parametrize(
    "wrap",
    [
        lambda image, mask: Sample(image, mask),
        lambda image, mask: Pair(image, mask),
        lambda image, mask: UserDict(image=image, mask=mask),
        lambda image, mask: {"inner": [Sample(image), {"mask": mask}], "k": Pair(None, None)},
        lambda image, mask: (Sample(image, mask), 3),
        lambda image, mask: Slotted(image, mask),
    ],
)
@pytest.mark.parametrize("image", [IMAGE, RGB, PILImage.fromarray(BYTES)])
def test_dataclasses_named_tuples_and_mappings(wrap: Callable[..., Any], image: Any) -> None:
    sample = wrap(image, MASK)
    found = deform(sample)
    assert type(found) is type(sample)

    def leaves(value: Any) -> list[Any]:
        if dataclasses.is_dataclass(value):
            return [
                leaf for field in dataclasses.fields(value) for leaf in leaves(getattr(value, field.name))
            ]
        if isinstance(value, dict | UserDict):
            return [leaf for part in value.values() for leaf in leaves(part)]
        return (
            [leaf for part in value for leaf in leaves(part)] if isinstance(value, list | tuple) else [value]
        )

    masks = [leaf for leaf in leaves(found) if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.int64]
    assert torch.equal(masks[0], EXPECTED["mask"])
    images = [leaf for leaf in leaves(found) if type(leaf) is type(image) and leaf is not masks[0]]
    expected = deform(image)
    assert all(np.array_equal(np.asarray(leaf), np.asarray(expected)) for leaf in images[:1])
    assert leaves(sample)[0] is image  # the sample itself is unchanged


class Nifti1Image:
    """A class like those of nibabel, without an array interface or tensors as attributes."""


class Holder:
    def __init__(self) -> None:
        self.scan = IMAGE


class Slots:  # as of attrs
    __slots__ = ("scan",)

    def __init__(self) -> None:
        self.scan = IMAGE


class Lazy:
    shape = (20, 30, 3)  # as of h5py, zarr and dask


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"image": "a.png", "mask": MASK}, r"image: expected a tensor.*got str, .* while mask is deformed"),
        ({"image": Path("a.png"), "mask": MASK}, "image: .*got pathlib"),
        ({"image": 3, "mask": MASK}, "image: .*got int"),
        ({"image": Nifti1Image(), "mask": MASK}, "image: .*got .*Nifti1Image"),
        ({"scan": Nifti1Image(), "mask": MASK}, "scan: .*Nifti1Image"),
        ({"t": {"scan": Lazy()}, "image": IMAGE}, r"t\.scan: .*Lazy"),
        ((Lazy(), MASK.expand(1, 20, 30)), "0: .*Lazy"),
        ({"image": IMAGE, "other": Holder()}, "other: .*Holder"),
        ({"image": IMAGE, "other": Slots()}, "other: .*Slots"),
        ({"image": IMAGE, "other": SimpleNamespace(x=IMAGE)}, "other: .*SimpleNamespace"),
        ({"image": IMAGE, "other": {IMAGE}}, "other: .*set"),
        ({"image": np.ma.masked_array(RGB), "mask": MASK}, "image: .*MaskedArray"),
        ({"image": np.array([["a"]]), "mask": MASK}, "image: .*ndarray"),
        ({"image": IMAGE, "bboxes": [[1, 2, 3, 4]]}, "expected the key \"boxes\".*got 'bboxes'"),
        ({"image": RGB, "landmarks": np.zeros((4, 2))}, 'expected the key "keypoints"'),
        (MappingProxyType({"image": IMAGE}), "expected a mapping that can be changed"),
    ],
)
def test_unknown_objects_beside_a_deformed_part_are_refused(sample: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        deform(sample)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.rand(20, 30, 3), r"\(20, 30, 3\) with the channels last; use x.movedim\(-1, -3\)"),
        (torch.rand(20, 30, 1), "channels last"),
        (torch.rand(4, 20, 30, 3), "channels last"),
        (torch.rand(10, 20, 30, 1), "channels last"),
        (np.zeros((3, 20, 30)), r"\(3, 20, 30\) with the channels first; use torch.from_numpy"),
        (np.zeros((1, 20, 30)), "channels first"),
        (torch.rand(1, 12, 20, 30), r"may be a volume.*volume=True.*volume=False"),
        (torch.rand(2, 12, 20, 30), "may be a volume"),
        (torch.rand(12, 20, 30), "may be a volume, a batch of images, or an image of 12 channels"),
        (np.zeros((12, 20, 30)), "may be a volume"),
        (np.zeros((12, 20, 30, 1)), "may be a volume"),
        (torch.rand(1, 1, 12, 20, 30), r"RandomDiffeo\(volume=True\)"),
        (torch.rand(20, 30), r"expected a tensor \(channels, rows, columns\)"),
        (np.zeros(5), r"expected an array \(rows, columns\[, channels\]\)"),
    ],
)
@pytest.mark.parametrize("beside", [{}, {"mask": MASK}])
def test_layouts_that_have_several_meanings_are_refused(
    image: Any, message: str, beside: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=f"image: .*{message}"):
        deform({"image": image} | beside)
    if isinstance(image, torch.Tensor) and not beside:
        with pytest.raises(ValueError, match=message):
            deform(image)


@pytest.mark.parametrize(
    "image",
    [
        torch.rand(3, 20, 30),
        torch.rand(4, 20, 3),
        torch.rand(7, 3, 20, 30),
        torch.rand(64, 4, 4).expand(5, 64, 4, 4),
        torch.rand(13, 20, 30).as_subclass(Image),
    ],
)
def test_channels_first_is_understood(image: torch.Tensor) -> None:
    assert deform(image, delta=0.02).shape == image.shape


def test_images_of_many_channels() -> None:
    image = torch.rand(12, 20, 30, dtype=torch.float64)
    found = deform(image, volume=False)
    assert torch.equal(found[:3], deform(image[:3]))
    array = image.permute(1, 2, 0).numpy()
    assert np.array_equal(deform(array, volume=False), found.permute(1, 2, 0).numpy())


def test_volumes_are_deformed_by_fields_of_three_dimensions() -> None:
    volume = torch.rand(2, 10, 12, 14, generator=seeded(1), dtype=torch.float64)
    mask = (volume[0] > 0.5).long()
    found = deform({"image": volume, "mask": mask, "label": 3}, volume=True, delta=0.5)
    diffeo = SineField((10, 12, 14), cutoff=3).sample(1, delta=0.5, generator=seeded(), dtype=torch.float64)
    assert torch.equal(found["image"], diffeo.warp(volume[None])[0])
    assert torch.equal(found["mask"], diffeo.to(dtype=torch.float32).warp(mask[None, None], "nearest")[0, 0])
    array = volume.movedim(0, -1).numpy()
    other = deform({"image": array, "mask": mask.numpy()}, volume=True, delta=0.5)
    assert np.array_equal(other["image"], found["image"].movedim(0, -1).numpy())
    assert np.array_equal(other["mask"], found["mask"].numpy())
    assert np.array_equal(deform(array[..., 0], volume=True, delta=0.5), found["image"][0].numpy())
    batch = deform(volume.expand(3, -1, -1, -1, -1), volume=True, delta=0.5)
    assert not torch.equal(batch[0], batch[1])
    for sample, message in [
        (volume[0], r"expected a tensor \(channels, depth, rows, columns\)"),
        (torch.rand(10, 12, 14, 1), r"channels last; use x.movedim\(-1, -4\)"),
        ({"image": volume, "boxes": torch.rand(2, 4)}, "boxes of volumes are not deformed"),
        (PILImage.fromarray(BYTES), "expected a volume, got a PIL image"),
    ]:
        with pytest.raises(ValueError, match=message):
            deform(sample, volume=True)
    with pytest.raises(ValueError, match="bicubic"):
        RandomDiffeo(volume=True, interpolation="bicubic")


@pytest.mark.parametrize(
    ("sample", "options", "message"),
    [
        ({"image": RGB, "depth": RGB[..., 0]}, {}, r"depth, ndarray of shape \(20, 30\), returned unchanged"),
        ({"image": RGB, "mask": MASK, "depth": IMAGE[:1]}, {"masks": ("mask",)}, "depth, Tensor"),
        ({"a": IMAGE[:1], "b": torch.rand(3, 40, 60)}, {}, r"b, Tensor of shape \(3, 40, 60\)"),
        ((BYTES, BYTES), {}, "1, ndarray"),
    ],
)
def test_further_images_emit_a_warning(sample: Any, options: dict[str, Any], message: str) -> None:
    with pytest.warns(UserWarning, match=message):
        deform(sample, **options)


def test_a_mask_with_the_channels_last_is_refused() -> None:
    with pytest.raises(ValueError, match=r"with rows and columns last in tensors.*'mask': \(30, 1\)"):
        deform({"image": IMAGE, "mask": MASK[..., None]})
    assert type(deform({"image": RGB, "mask": MASK.as_subclass(Mask)})["mask"]) is Mask


def test_deformations_of_arrays_are_refused_by_name() -> None:
    diffeo = SineField((20, 30), cutoff=3).sample(1, delta=0.5, generator=seeded())
    array = np.zeros((4, 2))
    for function in (
        lambda: diffeo.warp(RGB),
        lambda: diffeo.push(array),
        lambda: diffeo.pull(array),
        lambda: push_key_points(array, diffeo),
        lambda: push_boxes(np.zeros((2, 4)), diffeo),
        lambda: deform_points(array, delta=0.1, generator=None),
        lambda: isotropic_noise(array, generator=None),
    ):
        with pytest.raises(TypeError, match=r"expected a tensor, got ndarray; use torch\.from_numpy"):
            function()
    with pytest.raises(ValueError, match=r"the channels come last; use images\.movedim\(-1, 1\)"):
        diffeo.warp(torch.rand(2, 20, 30, 3))
