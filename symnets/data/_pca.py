"""Principal component analysis in the two conventions of the papers on loss landscapes."""

from dataclasses import dataclass
from typing import Literal, get_args

import scipy.linalg
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from symnets.data._points import to_sphere

Convention = Literal["whitened", "common_scale"]
CHUNK = 8192  # rows converted to float64 at a time, so that 70,000 images are never in memory as floats


@dataclass(frozen=True)
class PrincipalComponents:
    """Map from features to their leading principal components, fitted by `pca`."""

    center: Float[Tensor, "features"]
    """Mean of the points, subtracted first."""
    on_sphere: bool
    """Whether each centred point is then projected onto |x| = √features."""
    mean: Float[Tensor, "features"]
    """Mean of the projected points, subtracted next; zero if points are not projected."""
    components: Float[Tensor, "dim features"]
    """Orthonormal rows; the entry of each that is largest in absolute value is positive."""
    eigenvalues: Float[Tensor, "dim"]
    """Variances along the components, descending, with the number of points in the denominator."""
    scale: Float[Tensor, "dim"]
    """Divisor of each coordinate."""

    def transform(self, x: Shaped[Tensor, "points features"]) -> Float[Tensor, "points dim"]:
        """Coordinates of points in float64; points may have any dtype.

        Raises:
            ValueError: wrong number of features.
        """
        if x.shape[1] != len(self.center):
            raise ValueError(f"x: expected {len(self.center)} features a row, got shape {tuple(x.shape)}")
        prepared = (_prepared(chunk, self.center, self.on_sphere) for chunk in x.split(CHUNK))
        return torch.cat([(rows - self.mean) @ self.components.T for rows in prepared]) / self.scale


def pca(
    x: Shaped[Tensor, "points features"], n: int, *, convention: Convention = "whitened"
) -> PrincipalComponents:
    """The n leading principal components of points, computed in float64.

    With the covariance C = 1/P Σ (x - <x>)(x - <x>)ᵀ, its eigenvalues e_1 >= e_2 >= ... and
    eigenvectors v_i:

    - `"whitened"`: coordinate i is v_i·(x - <x>) / √e_i, of variance one. This is the convention of
      [nn_jamming](https://github.com/mariogeiger/nn_jamming), the code of Geiger et al. 2019
      (arXiv:1809.09349), which then projects the points onto |x| = √n.
    - `"common_scale"`: each x - <x> is projected onto |x| = √features; C is the covariance of the projected
      points, and all coordinates are divided by the same √((e_1 + ... + e_n)/n), which keeps their
      relative sizes. This is the convention of [feature_lazy](https://github.com/mariogeiger/feature_lazy),
      data sets `pca_mnist` and similar, the code of Geiger et al. 2020 (arXiv:1906.08034).

    In both, the variances of the coordinates of `x` add up to n. Points may be integers, such as pixels; a
    common factor of all features does not change the result.

    Args:
        x: points, one row each.
        n: number of components.
        convention: normalisation of the coordinates, see above.

    Raises:
        ValueError: fewer than two points, NaN, or n above the number of directions in which the points vary.
    """
    if convention not in get_args(Convention):
        raise ValueError(f"convention: expected one of {get_args(Convention)}, got {convention!r}")
    if len(x) < 2 or not 1 <= n <= x.shape[1]:
        raise ValueError(
            f"n, x: expected n from 1 to the number of features, and at least two points; "
            f"got n={n} and x of shape {tuple(x.shape)}"
        )
    on_sphere = convention == "common_scale"
    center = _mean(x, torch.zeros(x.shape[1], dtype=torch.float64, device=x.device), False)
    if not torch.isfinite(center).all():
        raise ValueError("x: expected finite numbers, got NaN or infinity")
    mean = _mean(x, center, True) if on_sphere else torch.zeros_like(center)
    components, eigenvalues = _leading(_covariance(x, center, on_sphere, mean), n)
    variance = eigenvalues if convention == "whitened" else eigenvalues.mean().expand(n)
    return PrincipalComponents(center, on_sphere, mean, components, eigenvalues, variance.sqrt())


def _prepared(
    x: Shaped[Tensor, "points features"], center: Float[Tensor, "features"], on_sphere: bool
) -> Float[Tensor, "points features"]:
    centred = x.to(center.dtype) - center
    return to_sphere(centred) if on_sphere else centred


def _mean(
    x: Shaped[Tensor, "points features"], center: Float[Tensor, "features"], on_sphere: bool
) -> Float[Tensor, "features"]:
    total = torch.zeros_like(center)
    for chunk in x.split(CHUNK):
        total += _prepared(chunk, center, on_sphere).sum(0)
    return total / len(x)


def _covariance(
    x: Shaped[Tensor, "points features"],
    center: Float[Tensor, "features"],
    on_sphere: bool,
    mean: Float[Tensor, "features"],
) -> Float[Tensor, "features features"]:
    covariance = center.new_zeros(len(center), len(center))
    for chunk in x.split(CHUNK):
        rows = _prepared(chunk, center, on_sphere) - mean
        covariance.addmm_(rows.T, rows)
    return covariance / len(x)


def _leading(
    covariance: Float[Tensor, "features features"], n: int
) -> tuple[Float[Tensor, "{n} features"], Float[Tensor, "{n}"]]:
    """The n leading eigenvectors as rows, with fixed signs, and their eigenvalues."""
    features = len(covariance)
    # scipy computes only the n leading ones; torch computes all, which takes several times as long.
    span = (features - n, features - 1)
    values, vectors = scipy.linalg.eigh(covariance.cpu().numpy(), subset_by_index=span)
    eigenvalues = torch.from_numpy(values[::-1].copy()).to(covariance)
    components = torch.from_numpy(vectors.T[::-1].copy()).to(covariance)
    varying = int((eigenvalues > features * torch.finfo(torch.float64).eps * eigenvalues[0]).sum())
    if varying < n:
        raise ValueError(f"n: the points vary in {varying} directions only, got n={n}")
    pivot = components.gather(1, components.abs().argmax(1, keepdim=True))
    return components * pivot.sign(), eigenvalues
