"""Random deformations as data augmentation, for images with their masks, boxes and key points."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from jaxtyping import Int64, Shaped
from torch import Generator, Tensor, nn

from symnets.diffeo._boxes import BoxFormat, push_boxes, push_key_points
from symnets.diffeo._expansion import Expansion
from symnets.diffeo._field import warn_caller
from symnets.diffeo._field_range import FieldRange, Range, as_range, uniform
from symnets.diffeo._image_layout import INDEXED, as_tensor, is_pil, restored
from symnets.diffeo._resample import Mode
from symnets.diffeo._sample_parts import Part, sample_parts, size_and_number, undeclared, with_parts
from symnets.diffeo._temperature import CutoffRule


@dataclass(frozen=True)
class SampleDeformation:
    """The deformations of one training sample (a single image or a batch), applied to each of its parts.

    Attributes:
        diffeo: one deformation for each image that is deformed, on the CPU in float64; None if there is none.
        rows: indices in the batch of the images that are deformed.
        n: number of images in the batch; 1 if all images share one deformation.
    """

    diffeo: Expansion | None
    rows: Int64[Tensor, " rows"]
    n: int

    def warp(self, images: Shaped[Tensor, "*shape"], mode: Mode) -> Shaped[Tensor, "*shape"]:
        """Deformed images, videos or masks; channels and frames of one image or clip share a deformation."""

        def warp(rows: Tensor, diffeo: Expansion) -> Tensor:
            dtype = torch.float64 if rows.dtype == torch.float64 else torch.float32
            half = rows.dtype in (torch.float16, torch.bfloat16) and mode != "nearest"
            stack = rows.reshape(diffeo.n, -1, *rows.shape[-diffeo.dim :])
            diffeo = diffeo.to(device=rows.device, dtype=dtype)
            return diffeo.warp(stack.to(dtype) if half else stack, mode).to(rows.dtype).reshape(rows.shape)

        return self._rows(images, warp)

    def push_boxes(
        self, boxes: Shaped[Tensor, "*shape 4"], format: BoxFormat, clamp: bool
    ) -> Shaped[Tensor, "*shape 4"]:
        """Deformed bounding boxes, see `symnets.diffeo.push_boxes`."""

        def push(rows: Tensor, diffeo: Expansion) -> Tensor:
            # Eight points in the shortest half wave: between two of them a wave of amplitude a bulges by
            # less than a (π / 8)² / 8 = a / 50.
            points = 8 * max(diffeo.basis.sizes) + 1
            return push_boxes(rows, diffeo, format=format, points_per_edge=points, clamp=clamp)

        return self._rows(boxes, push)

    def push_key_points(self, points: Shaped[Tensor, "*shape columns"]) -> Shaped[Tensor, "*shape columns"]:
        """Deformed key points, see `symnets.diffeo.push_key_points`."""
        return self._rows(points, push_key_points)

    def _rows(self, value: Tensor, function: Callable[[Tensor, Expansion], Tensor]) -> Tensor:
        """Applies a function to the rows that are deformed; other rows are returned unchanged."""
        if self.diffeo is None:
            return value
        if self.n == 1:
            return function(value, self.diffeo)
        if value.ndim == 0 or len(value) != self.n:
            raise ValueError(
                f"expected {self.n} rows, one for each image, got shape {tuple(value.shape)}; deform samples "
                "before they are collated, or pass per_image=False for one deformation of the whole batch"
            )
        if len(self.rows) == self.n:
            return function(value, self.diffeo)
        rows = self.rows.to(value.device)
        return value.index_copy(0, rows, function(value[rows], self.diffeo))


class RandomDiffeo(nn.Module):
    """Data augmentation by random smooth deformations (`SineField`), used like a torchvision transform.

    Deforms images, videos (one deformation for each clip), masks (nearest pixel), boxes (`push_boxes`) and
    key points (`push_key_points`), alone or in nested tuples, lists, mappings and dataclasses; see
    `sample_parts`. Images are tensors (channels, rows, columns), numpy arrays (rows, columns[, channels]) or
    PIL images. All parts of one sample are deformed by the same map; labels, numbers, names of files and None
    are returned unchanged. Objects that may be images, but have an unknown class or layout, are an error.
    torchvision's tensors keep their class. Like torchvision's transforms, it acts in eval mode too.

    Fields are sampled on the CPU, or on the generator's device, and copied to the device of each part. This
    does not synchronise with a GPU, except for boxes and key points, which are computed on the CPU.

    Called with (images, generator), the generator replaces the transform's own, so that a RandomDiffeo can be
    the transform of `symnets.data.TensorPairs`.

    Args:
        delta: root mean square displacement in pixels; with a range (low, high), uniform for each image.
            1 if neither delta nor temperature is given.
        temperature: temperature in place of delta, a number or a range.
        cutoff: largest wave number; with a range (low, high), a uniform random integer for each image.
        rule: see `SineField`.
        p: probability that an image is deformed.
        interpolation: "bilinear", "bicubic" or "nearest", for images; masks always take the nearest pixel.
        bijective: whether to resample fields that fold. For samples with boxes or key points this is always
            done, because the image of a point under a fold is not unique.
        per_image: whether each image of a batch (n, channels, rows, columns) has its own field; masks, boxes
            and key points then have n rows. Otherwise all images share one field.
        masks: parts that are masks although neither their class nor the key "mask" says so: keys of dicts at
            any depth, and positions in the outermost tuple or list, such as 1 in (image, mask). With None, a
            warning is emitted for parts of the size of the image that may be masks or further images; ()
            declares that there are none.
        volume: whether images are volumes, (channels, depth, rows, columns) or arrays (depth, rows, columns[,
            channels]); samples of volumes cannot have boxes or key points. With None they are not, and shapes
            that may also be those of volumes or batches are an error: images of more than four channels need
            False.
        generator: source of random numbers; None is torch's default generator, which a `DataLoader` seeds
            differently in each of its workers. A generator passed here would be copied to all workers, which
            would then sample the same fields.

    Raises:
        ValueError: both delta and temperature, an invalid range, a cutoff or rule without modes, or a
            probability outside of [0, 1]. When called: a sample without image, images of several sizes, or
            parts that are not understood.

    Warns:
        FoldingWarning: where `SineField.sample` emits it, unless fields that fold are resampled.
        UserWarning: a part may be an undeclared mask (`masks`).

    Example:
        >>> deform = RandomDiffeo(delta=(0.0, 1.0), cutoff=3)
        >>> image, label = deform(torch.rand(3, 32, 32), 7)
        >>> image.shape, label
        (torch.Size([3, 32, 32]), 7)
    """

    def __init__(
        self,
        *,
        delta: Range | None = None,
        temperature: Range | None = None,
        cutoff: Range = 3,
        rule: CutoffRule = "disc",
        p: float = 1.0,
        interpolation: Mode = "bilinear",
        bijective: bool = False,
        per_image: bool = True,
        masks: Collection[str | int] | None = None,
        volume: bool | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        if delta is not None and temperature is not None:
            raise ValueError("delta, temperature: expected one of the two, got both")
        if not 0 <= p <= 1:
            raise ValueError(f"p: expected a probability from 0 to 1, got {p}")
        cutoffs = as_range("cutoff", cutoff)
        if temperature is not None:
            self.fields = FieldRange("temperature", as_range("temperature", temperature), cutoffs, rule)
        else:
            self.fields = FieldRange(
                "delta", as_range("delta", 1.0 if delta is None else delta), cutoffs, rule
            )
        if interpolation not in get_args(Mode):
            raise ValueError(f"interpolation: expected one of {get_args(Mode)}, got {interpolation!r}")
        if isinstance(masks, str) or not (masks is None or isinstance(masks, Collection)):
            raise ValueError(
                f'masks: expected positions or keys such as (1,) or ("segmentation",), got {masks!r}'
            )
        self.interpolation: Mode = interpolation
        if volume and interpolation == "bicubic":
            raise ValueError(
                'interpolation: "bicubic" is for images; use "bilinear" or "nearest" for volumes'
            )
        self.masks, self.volume = None if masks is None else tuple(masks), volume
        self.p, self.bijective, self.per_image, self.generator = p, bijective, per_image, generator

    def extra_repr(self) -> str:
        """The options, as shown by `print`."""
        fields = self.fields
        return (
            f"{fields.strength}={fields.values}, cutoff={fields.cutoffs}, rule={fields.rule!r}, "
            f"p={self.p:g}, interpolation={self.interpolation!r}, bijective={self.bijective}, "
            f"per_image={self.per_image}, masks={self.masks}, volume={self.volume}"
        )

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The deformed sample. Several arguments form a tuple; the last argument may be a generator.

        Keyword arguments form a dict, `deform(image=image, mask=mask)["mask"]`.
        """
        generator = self.generator
        if named and inputs:
            raise TypeError("RandomDiffeo: expected a sample, or its parts by keywords, got both")
        if len(inputs) > 1 and isinstance(inputs[-1], Generator):
            inputs, generator = inputs[:-1], inputs[-1]
        sample = named or (inputs[0] if len(inputs) == 1 else inputs)
        parts = sample_parts(sample, self.masks or ())
        if self.masks != ():
            size, _ = size_and_number(parts, volume=self.volume)
            if candidates := undeclared(parts, size):
                warn_caller(
                    f"may be a mask or an image: {'; '.join(candidates)}. Declare masks with "
                    "RandomDiffeo(masks=...), by position or key, so that they take the nearest pixel; name "
                    'images {"image": ...}; masks=() declares that there are no others'
                )
        deformation = self.make_params(parts, generator)
        return with_parts(sample, iter([self.transform(part, deformation) for part in parts]))

    def make_params(self, parts: Sequence[Part], generator: Generator | None) -> SampleDeformation:
        """Samples the deformations of one training sample.

        Raises:
            ValueError: no part has a size, the sizes of the parts differ, or a layout is not understood.
        """
        size, n = size_and_number(parts, volume=self.volume)
        n = n if self.per_image else 1
        rows = torch.arange(n, device="cpu")
        if self.p < 1:
            rows = rows[uniform(n, generator) < self.p]
        if len(rows) == 0 or self.fields.values[1] == 0:
            return SampleDeformation(None, rows, n)
        bijective = self.bijective or any(part.kind in ("boxes", "keypoints") for part in parts)
        if not bijective:
            self.fields.warn_of_folds(size)
        diffeo = self.fields.sample(len(rows), size, bijective=bijective, generator=generator)
        return SampleDeformation(diffeo, rows, n)

    def transform(self, part: Part, deformation: SampleDeformation) -> Any:
        """One part of a sample, deformed; the same object if there is nothing to deform."""
        value, diffeo = part.value, deformation.diffeo
        if part.kind == "other" or diffeo is None:
            return value
        size = diffeo.grid_shape
        tensor = as_tensor(value, part.kind, size)
        if part.kind == "boxes":
            format: Any = getattr(value, "format", "XYXY")
            clamp = getattr(value, "clamping_mode", "soft") is not None
            deformed = deformation.push_boxes(tensor, getattr(format, "value", format), clamp)
        elif part.kind == "keypoints":
            deformed = deformation.push_key_points(tensor)
        else:
            indexed = part.kind == "mask" or (is_pil(value) and value.mode in INDEXED)
            mode: Mode = "nearest" if indexed else self.interpolation
            if mode != "nearest" and (tensor.dtype == torch.bool or tensor.is_complex()):
                raise ValueError(
                    f"{part.where}: {tensor.dtype} cannot be interpolated; use RandomDiffeo(interpolation="
                    '"nearest"), or declare the mask with masks= and put it after the image'
                )
            deformed = deformation.warp(tensor, mode)
        return restored(deformed, value, part.kind, size)
