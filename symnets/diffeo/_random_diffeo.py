"""Drawn: the deformations of one sample, applied to a part of it.

RandomDiffeo: random deformations as augmentation, of images with their masks, boxes and key points.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from jaxtyping import Int64, Shaped
from torch import Generator, Tensor, nn

from symnets.diffeo._boxes import BoxFormat, push_boxes, push_key_points
from symnets.diffeo._expansion import Expansion
from symnets.diffeo._field_range import FieldRange, Range, as_range, uniform
from symnets.diffeo._folding import warn_caller
from symnets.diffeo._resample import Mode
from symnets.diffeo._sample_parts import (
    INDEXED,
    Part,
    from_pil,
    is_pil,
    sample_parts,
    size_and_number,
    to_pil,
    undeclared,
    with_parts,
)
from symnets.diffeo._temperature import CutoffRule


@dataclass(frozen=True)
class Drawn:
    """The deformations of one sample: a single image, or a batch.

    Attributes:
        diffeo: of the images that are deformed, on the CPU in float64; None if none is.
        rows: which images of the batch these are.
        n: images of the batch with a deformation of their own; 1 if all share one.
    """

    diffeo: Expansion | None
    rows: Int64[Tensor, " rows"]
    n: int

    def warp(self, images: Shaped[Tensor, "*shape"], mode: Mode) -> Shaped[Tensor, "*shape"]:
        """Images, videos or masks: axes between that of the batch and the last two share a deformation."""

        def warp(some: Tensor, diffeo: Expansion) -> Tensor:
            dtype = torch.float64 if some.dtype == torch.float64 else torch.float32
            half = some.dtype in (torch.float16, torch.bfloat16) and mode != "nearest"
            stack = some.reshape(diffeo.n, -1, *some.shape[-2:])
            there = diffeo.to(device=some.device, dtype=dtype)
            return there.warp(stack.to(dtype) if half else stack, mode).to(some.dtype).reshape(some.shape)

        return self._rows(images, warp)

    def push_boxes(
        self, boxes: Shaped[Tensor, "*shape 4"], format: BoxFormat, clamp: bool
    ) -> Shaped[Tensor, "*shape 4"]:
        """As `symnets.diffeo._boxes.push_boxes`."""

        def push(some: Tensor, diffeo: Expansion) -> Tensor:
            # Eight points to the shortest half wave: between two of them a wave of amplitude a bulges by
            # less than a (π / 8)² / 8 = a / 50.
            points = 8 * max(diffeo.basis.sizes) + 1
            return push_boxes(some, diffeo, format=format, points_per_edge=points, clamp=clamp)

        return self._rows(boxes, push)

    def push_key_points(self, points: Shaped[Tensor, "*shape columns"]) -> Shaped[Tensor, "*shape columns"]:
        """As `symnets.diffeo._boxes.push_key_points`."""
        return self._rows(points, push_key_points)

    def _rows(self, value: Tensor, function: Callable[[Tensor, Expansion], Tensor]) -> Tensor:
        """A function of the rows that are deformed; the others as they are."""
        if self.diffeo is None:
            return value
        if self.n == 1:
            return function(value, self.diffeo)
        if value.ndim == 0 or len(value) != self.n:
            raise ValueError(
                f"expected a row for each of {self.n} images, got shape {tuple(value.shape)}; deform samples "
                "before they are collated, or all images alike with per_image=False"
            )
        if len(self.rows) == self.n:
            return function(value, self.diffeo)
        rows = self.rows.to(value.device)
        return value.index_copy(0, rows, function(value[rows], self.diffeo))


class RandomDiffeo(nn.Module):
    """Random smooth deformations (`SineField`) of whatever torchvision's transforms take.

    Images, videos (one deformation a clip), PIL images, masks (nearest pixel), boxes (`push_boxes`) and key
    points (`push_key_points`), alone or in tuples, lists and dicts; `sample_parts` tells them apart. All of
    one sample are deformed alike, all else is left as it is. torchvision's tensors keep their class. In
    eval mode it deforms too, as torchvision's transforms do.

    Fields are drawn on the CPU, or where the generator is, and brought to the device of each part of the
    sample. Nothing waits for a GPU, except for boxes and key points, which are moved on the CPU.

    Called with (images, generator), the generator takes the place of the transform's own: a
    `symnets.data.TensorPairs` takes a RandomDiffeo as its transform.

    Args:
        delta: typical displacement in pixels, the root of its mean square; of a range (low, high) every
            image draws its own, uniformly. 1 if neither delta nor temperature is given.
        temperature: in place of delta, likewise.
        cutoff: largest wave number; of a range (low, high) every image draws a whole number.
        rule: see `SineField`.
        p: probability that an image is deformed.
        interpolation: of images: "bilinear", "bicubic" or "nearest".
        bijective: draw anew fields that fold. Where a sample has boxes or key points this is always
            done, for a fold leaves them no one place to go.
        per_image: every image of a batch (n, channels, rows, columns) has a field of its own, and masks,
            boxes and key points have as many rows; otherwise all share one field.
        masks: what is a mask though neither its class nor the key "mask" says so: keys of dicts in any
            depth, and places in the outermost tuple or list, such as 1 in (image, mask). None declares
            nothing, and warns where something of the size of the image may be a mask; () says there is none.
        generator: source of random numbers; None is torch's own, which a `DataLoader` seeds in each of
            its workers. A generator given here would be copied, and all workers would draw the same.

    Raises:
        ValueError: both delta and temperature, a range that is none, a cutoff or rule that keeps no wave, or
            a probability that is none.

    Warns:
        FoldingWarning: as `SineField.sample`, unless fields that fold are drawn anew.
        UserWarning: something may be an undeclared mask (`masks`).

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
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        if delta is not None and temperature is not None:
            raise ValueError("expected either delta (pixels) or temperature, got both")
        if not 0 <= p <= 1:
            raise ValueError(f"p: expected a probability, got {p}")
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
                f'masks: expected places or keys such as (1,) or ("segmentation",), got {masks!r}'
            )
        self.interpolation: Mode = interpolation
        self.masks = None if masks is None else tuple(masks)
        self.p, self.bijective, self.per_image, self.generator = p, bijective, per_image, generator

    def extra_repr(self) -> str:
        """Options, for print."""
        fields = self.fields
        return (
            f"{fields.strength}={fields.values}, cutoff={fields.cutoffs}, rule={fields.rule!r}, "
            f"p={self.p:g}, interpolation={self.interpolation!r}, bijective={self.bijective}, "
            f"per_image={self.per_image}, masks={self.masks}"
        )

    def forward(self, *inputs: Any) -> Any:
        """The sample, deformed. Several arguments are a tuple; a generator may be the last of them."""
        generator = self.generator
        if len(inputs) > 1 and isinstance(inputs[-1], Generator):
            inputs, generator = inputs[:-1], inputs[-1]
        sample = inputs[0] if len(inputs) == 1 else inputs
        parts = sample_parts(sample, self.masks or ())
        if self.masks is None and (found := undeclared(parts)):
            warn_caller(
                f"may be a mask: {'; '.join(found)}. RandomDiffeo(masks=...) takes the places or keys of "
                "masks, which take the nearest pixel; masks=() if there is none"
            )
        drawn = self.make_params(parts, generator)
        return with_parts(sample, iter([self.transform(part, drawn) for part in parts]))

    def make_params(self, parts: Sequence[Part], generator: Generator | None) -> Drawn:
        """Draws the deformations of a sample.

        Raises:
            ValueError: nothing in it has a size, or its parts differ in size.
        """
        shape, n = size_and_number(parts)
        n = n if self.per_image else 1
        rows = torch.arange(n, device="cpu")
        if self.p < 1:
            rows = rows[uniform(n, generator) < self.p]
        if len(rows) == 0 or self.fields.values[1] == 0:
            return Drawn(None, rows, n)
        bijective = self.bijective or any(part.kind in ("boxes", "keypoints") for part in parts)
        if not bijective:
            self.fields.warn_of_folds(shape)
        return Drawn(self.fields.sample(len(rows), shape, bijective=bijective, generator=generator), rows, n)

    def transform(self, part: Part, drawn: Drawn) -> Any:
        """One part of a sample, deformed; the same object if there is nothing to do."""
        given = part.value
        if part.kind == "other" or drawn.diffeo is None:
            return given
        mode: Mode = "nearest" if part.kind == "mask" else self.interpolation
        if is_pil(given):
            mode = "nearest" if given.mode in INDEXED else mode
            return to_pil(drawn.warp(from_pil(given), mode), given)
        # A plain tensor, so that its class has no say in what follows.
        plain = given.as_subclass(Tensor)
        if part.kind == "boxes":
            format: Any = getattr(given, "format", "XYXY")
            clamp = getattr(given, "clamping_mode", "soft") is not None
            found = drawn.push_boxes(plain, getattr(format, "value", format), clamp)
        elif part.kind == "keypoints":
            found = drawn.push_key_points(plain)
        else:
            if mode != "nearest" and (plain.dtype == torch.bool or plain.is_complex()):
                raise ValueError(
                    f"{part.kind}: {plain.dtype} cannot be interpolated; take RandomDiffeo(interpolation="
                    '"nearest"), or declare a mask that comes after an image'
                )
            found = drawn.warp(plain, mode)
        return found if type(given) in (Tensor, nn.Parameter) else _like(found, given)


def _like(plain: Tensor, given: Tensor) -> Tensor:
    """A tensor of the class of another, with its attributes, such as format and canvas."""
    found = plain.as_subclass(type(given))
    vars(found).update(vars(given))
    return found
