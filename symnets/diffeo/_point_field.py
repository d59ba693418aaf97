"""PointField: random deformations of point clouds, for measurements on clouds in place of images."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from symnets.diffeo._deform_points import deform_points
from symnets.diffeo._temperature import CutoffRule


@dataclass(frozen=True)
class PointField:
    """Random deformations of clouds with equal numbers of points, by `deform_points`.

    In place of a `SineField` for images, it lets `symnets.observables.stability` measure networks that take
    tensors (clouds, points, dim), such as `symnets.models.OnClouds`.

    Attributes:
        dim: 2 or 3.
        cutoff: largest wave number of the maps.
        rule: see `SineField`.
        margin: distance from the largest of the clouds that are deformed together to the sides of the box,
            which the maps fix, in the unit of the points; None for a quarter of that cloud's longest side.
    """

    dim: int = 3
    cutoff: float = 3.0
    rule: CutoffRule = "disc"
    margin: float | None = None

    @property
    def shape(self) -> tuple[int]:
        """(dim,): clouds are (clouds, points, *shape), as images are (images, channels, *shape)."""
        return (self.dim,)

    def sample(
        self,
        n: int,
        *,
        temperature: float | None = None,
        delta: float | None = None,
        generator: Generator | None,
    ) -> "PointDeformations":
        """Sample n deformations.

        Args:
            n: number of clouds.
            temperature: temperature of the maps; give either this or `delta`.
            delta: root mean square displacement of the points, in their unit, see `deform_points`.
            generator: source of the maps; None is torch's default generator.
        """
        device = "cpu" if generator is None else generator.device
        seed = int(torch.randint(2**62, (), generator=generator, device=device))
        return PointDeformations(self, n, temperature, delta, seed)


@dataclass(frozen=True)
class PointDeformations:
    """Deformations of n clouds, as sampled by a `PointField`.

    Attributes:
        field: the field with the options of the maps.
        n: number of clouds.
        temperature: temperature of the maps, or None.
        delta: root mean square displacement of the points, in their unit, or None.
        seed: seed of the maps.
    """

    field: PointField
    n: int
    temperature: float | None
    delta: float | None
    seed: int

    def warp(self, clouds: Float[Tensor, "n points dim"]) -> Float[Tensor, "n points dim"]:
        """The clouds, each deformed by its own map; another call with the same clouds has the same result.

        Raises:
            ValueError: the number of clouds is not `n`.
        """
        if len(clouds) != self.n:
            raise ValueError(f"clouds: expected {self.n}, as many as maps, got {len(clouds)}")
        return deform_points(
            clouds,
            temperature=self.temperature,
            delta=self.delta,
            cutoff=self.field.cutoff,
            rule=self.field.rule,
            margin=self.field.margin,
            generator=Generator().manual_seed(self.seed),
        )
