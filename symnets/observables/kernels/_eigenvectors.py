"""Eigenvectors of a kernel: how labels project on them, what they tell about labels, and how many matter."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.observables.kernels._checks import columns, finite, square


@dataclass(frozen=True)
class LabelProjections:
    """Projections of labels on the eigenvectors of a kernel, the largest eigenvalue first.

    Attributes:
        eigenvalues: λ_r, descending.
        projections: ω_r = φ_r · y; a row for each eigenvector if labels have several columns.
        eigenvectors: φ_r in columns, of unit length; their signs are arbitrary.
    """

    eigenvalues: Float[Tensor, "*members n"]
    projections: Float[Tensor, "..."]
    eigenvectors: Float[Tensor, "*members n n"]

    @property
    def fractions(self) -> Float[Tensor, "*members n"]:
        """Fraction ω_r² / |y|² of the squared labels on each eigenvector; they sum to 1."""
        squares = self.projections.square()
        if squares.ndim > self.eigenvalues.ndim:
            squares = squares.sum(-1)
        return squares / squares.sum(-1, keepdim=True)


def label_projections(
    kernel: Float[Tensor, "*members n n"], labels: Float[Tensor, "n *outputs"]
) -> LabelProjections:
    """Projections ω_r = φ_r · y of labels on the eigenvectors of a kernel.

    A kernel learns a task fast if the labels project mainly on its first eigenvectors: with the squared error
    the part of the output on φ_r is learnt at the rate λ_r. The largest fractions move to the first
    eigenvectors when a net learns features (Geiger et al. 2020, arXiv:1906.08034; Paccolat et al. 2020,
    arXiv:2007.11471). The projections within a degenerate eigenspace depend on the basis that the
    eigensolver chose.

    Args:
        kernel: symmetric.
        labels: y, (n,) or (n, outputs).

    Raises:
        ValueError: the kernel is not square, or there are not n labels.
    """
    kernel = square(kernel)
    y = columns(labels, kernel.shape[-1])
    values, vectors = torch.linalg.eigh(kernel)
    values, vectors = values.flip(-1), vectors.flip(-1)
    projections = vectors.mT @ y
    return LabelProjections(values, projections[..., 0] if labels.ndim == 1 else projections, vectors)


def effective_rank(
    kernel: Float[Tensor, "*members n n"], *, kind: Literal["entropy", "participation"] = "entropy"
) -> Float[Tensor, "*members"]:
    """Effective rank of a kernel: how many eigenvectors have a substantial share of its trace.

    With the shares p_r = λ_r / Σ λ,

        "entropy"         exp(-Σ p_r log p_r)        (Roy and Vetterli 2007)
        "participation"   1 / Σ p_r² = (tr K)² / |K|_F²

    Both are k for k equal eigenvalues, and the participation ratio is the smaller one.

    Args:
        kernel: symmetric, positive semidefinite; negative eigenvalues, as from rounding, count as zero.
        kind: definition.

    Raises:
        ValueError: the kernel is not square, or the kind is unknown.
    """
    kernel = square(kernel)
    if kind not in ("entropy", "participation"):
        raise ValueError(f"kind: expected 'entropy' or 'participation', got {kind!r}")
    values = torch.linalg.eigvalsh(kernel).clamp_min(0)
    shares = values / values.sum(-1, keepdim=True)
    if kind == "participation":
        return 1 / shares.square().sum(-1)
    return torch.special.entr(shares).sum(-1).exp()


def mutual_information(
    values: Float[Tensor, "n *variables"], labels: Tensor, *, n_bins: int | None = None
) -> Float[Tensor, "*variables"]:
    """Mutual information of real variables and discrete labels, in nats, by equal-count bins.

    Each variable is replaced by the number of its bin; bins have equal numbers of patterns, so the result
    does not change under monotonic maps of a variable. The plug-in estimate from counts,

        I = H(bin) + H(label) - H(bin, label),

    is too large by about (k_bin - 1)(k_label - 1) / 2n for independent variables. The Miller-Madow correction
    H + (k - 1)/2n of each entropy, with k the number of occupied cells, removes this bias to first order
    (Miller 1955). The estimate for a variable that is independent of the labels is therefore near zero, of
    either sign.

    For the eigenvectors of a kernel (`label_projections(...).eigenvectors`) it measures what a coordinate of
    kernel PCA tells about the labels, also where the relation is not linear.

    Args:
        values: (n,), or (n, variables) with one variable in each column, such as eigenvectors.
        labels: n numbers, as many different ones as there are classes.
        n_bins: number of bins; by default the cube root of n, at least 2.

    Raises:
        ValueError: not n labels, or fewer than two bins or more than n.

    Example:
        For a variable that determines which of two equally frequent labels a pattern has, I = log 2 = 0.693.
    """
    if values.ndim not in (1, 2) or labels.shape != values.shape[:1]:
        raise ValueError(
            f"values, labels: expected shapes (n,) or (n, variables) and (n,), got {tuple(values.shape)} and "
            f"{tuple(labels.shape)}"
        )
    n = len(values)
    n_bins = max(2, round(n ** (1 / 3))) if n_bins is None else n_bins
    if not 2 <= n_bins <= n:
        raise ValueError(f"n_bins: expected 2 to n={n}, got {n_bins}")
    x = finite(values, "values").reshape(n, -1)
    classes, label = torch.unique(labels, return_inverse=True)
    ranks = torch.empty_like(x, dtype=torch.int64)
    order = x.argsort(dim=0, stable=True)
    ranks.scatter_(0, order, torch.arange(n, device=x.device)[:, None].expand_as(order))
    bins = ranks * n_bins // n
    joint = x.new_zeros(x.shape[1], n_bins * len(classes))
    joint.scatter_add_(1, (bins * len(classes) + label[:, None]).T, joint.new_ones(1, 1).expand_as(bins.T))
    joint = joint.reshape(-1, n_bins, len(classes))
    found = _entropy(joint.sum(2)) + _entropy(joint.sum(1)) - _entropy(joint.flatten(1))
    return found[0] if values.ndim == 1 else found


def _entropy(counts: Float[Tensor, "variables cells"]) -> Float[Tensor, " variables"]:
    """Entropy of a discrete variable from counts, with the correction of Miller and Madow."""
    n = counts.sum(1, keepdim=True)
    plug_in = torch.special.entr(counts / n).sum(1)
    return plug_in + ((counts > 0).sum(1) - 1) / (2 * n[:, 0])
