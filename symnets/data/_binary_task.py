"""Binary classification tasks of the landscape experiments: points with labels +1 and -1."""

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.data._decision_rule import RuleName, decision_rule, nested_gaussian, stream
from symnets.data._gaussian_field import Covariance, gaussian_field
from symnets.data._images import IMAGE_DATASETS, Images, load_images
from symnets.data._labels import balanced_subset, check_binary_labels, class_pair, group_labels, parity_labels
from symnets.data._loader import Batch
from symnets.data._pca import Convention
from symnets.data._pca import pca as principal_components
from symnets.data._points import gaussian_cloud, random_labels, to_sphere
from symnets.names import did_you_mean

Task = Literal["parity", "groups", "pair"]
POINT_TASKS = {
    "random": "Gaussian points on the sphere |x| = √d with random labels",
    "stripe": "x ~ N(0, I), +1 between two planes x_1 = const",
    "interfaces": "x ~ N(0, I), signs alternate across several planes x_1 = const",
    "xor": "x ~ N(0, I), the sign of x_1 x_2",
    "cylinder": "x ~ N(0, I), +1 outside a cylinder around all but the first two directions",
    "sphere": "x ~ N(0, I), +1 outside a sphere",
    "teacher": "x ~ N(0, I), the sign of a random ReLU net minus its median",
    "gaussian_field": "x ~ N(0, I), the sign of a Gaussian random field",
}
"""Names of the tasks of random points for `binary_task`, with one line on each."""


@dataclass(frozen=True)
class BinaryTask:
    """Training and test patterns with labels +1 and -1.

    Attributes:
        relevant: orthonormal basis of the directions on which labels depend; None for images and random
            labels, which have no such directions.

    Raises:
        ValueError: a label that is neither +1 nor -1.
    """

    x_train: Float[Tensor, "train dim"]
    y_train: Float[Tensor, "train"]
    x_test: Float[Tensor, "test dim"]
    y_test: Float[Tensor, "test"]
    relevant: Float[Tensor, "dim relevant"] | None = None

    def __post_init__(self) -> None:
        check_binary_labels(self.y_train)
        check_binary_labels(self.y_test)

    @property
    def train(self) -> Batch:
        """The training patterns as a batch."""
        return Batch(self.x_train, self.y_train)

    @property
    def test(self) -> Batch:
        """The test patterns as a batch."""
        return Batch(self.x_test, self.y_test)


def random_task(
    n: int, dim: int, *, generator: torch.Generator, n_test: int = 0, dtype: torch.dtype = torch.float64
) -> BinaryTask:
    """Gaussian points, centred and projected onto |x| = √dim, with balanced random labels.

    These are the random data of Geiger et al. 2019 (arXiv:1809.09349). The mean of the n training points is
    subtracted. Test points are independent, are centred with the same mean, and have independent labels: no
    network predicts them better than chance.

    Args:
        n: number of training points.
        dim: number of components of a point.
        generator: random generator of points and labels.
        n_test: number of test points.
        dtype: dtype of points and labels.

    Raises:
        ValueError: fewer than two points, or a negative number of test points.
    """
    if n < 2 or n_test < 0:
        raise ValueError(f"n, n_test: expected n >= 2 and n_test >= 0 points, got {n} and {n_test}")
    x = gaussian_cloud(n, dim, generator=generator)
    y = random_labels(n, generator=generator, dtype=dtype)
    x_test = gaussian_cloud(n_test, dim, generator=generator)
    mean = x.mean(0)
    y_test = random_labels(n_test, generator=generator, dtype=dtype)
    return BinaryTask(to_sphere(x - mean).to(dtype), y, to_sphere(x_test - mean).to(dtype), y_test)


def binary_task(
    name: str,
    *,
    n_train: int,
    n_test: int = 0,
    dim: int = 10,
    seed: int,
    task: Task = "parity",
    classes: tuple[int, int] | None = None,
    pca: Convention = "whitened",
    relevant_dim: int | None = None,
    n_interfaces: int = 3,
    covariance: Covariance = "laplace",
    dtype: torch.dtype = torch.float64,
) -> BinaryTask:
    """Binary task by name: points ("random", "stripe", ...) or images ("digits", "mnist", ...), on the CPU.

    **Points** (`POINT_TASKS`), except "random", are Gaussian, x ~ N(0, I_d), and not projected. Labels follow
    a `decision_rule`, or the sign of a `gaussian_field` of the first `relevant_dim` coordinates (all by
    default) with correlation length √relevant_dim. Both labels have probability 1/2; their numbers in a
    sample fluctuate. Training patterns are nested: those of a smaller n_train are the first of those of a
    larger one. Test points have the same distribution and do not depend on the seed. Neither do their labels,
    except those of "teacher" and "gaussian_field", where each seed has its own net or field. A field is
    sampled jointly on test and training points, test points first, so that training labels are nested only
    for equal n_test.

    **Images** ("digits", "mnist", "fashion-mnist", "cifar10") are replaced by their `dim` leading principal
    components (`symnets.data.pca`), fitted to all images of the task, training and test parts together,
    without labels, as in the papers. "whitened" coordinates are then projected onto |x| = √dim; those of
    "common_scale" are not, as in the papers. The mean is that of all images, not of the n_train chosen ones,
    so that a pattern is the same for every n_train.

    Training images are `balanced_subset(labels, n_train, seed)` of the training part: equal numbers of +1 and
    -1, and nested. Test images are a balanced subset of the test part that does not depend on the seed:
    training and test sets never share an image, and runs with different seeds are tested on the same images.
    Coordinates are computed once per process and cached.

    Args:
        name: name of the data.
        n_train: number of training patterns P.
        n_test: number of test patterns.
        dim: input dimension d.
        seed: seed of the choice of training images, or of the training points.
        task: labels of images: "parity" (even classes +1), "groups" (the first half of the classes +1), or
            "pair" (the first of `classes` +1, the second -1, other classes not used).
        classes: numbers of the two classes of a "pair".
        pca: "whitened" or "common_scale" principal components of images.
        relevant_dim: number of relevant coordinates of "xor", "cylinder", "teacher" and "gaussian_field".
        n_interfaces: number of planes of "interfaces".
        covariance: covariance of "gaussian_field", see `covariance_matrix`.
        dtype: dtype of the result, which is computed in float64.

    Raises:
        ValueError: an unknown name or task; n_train or n_test above the number of examples; `dim` above the
            number of directions. See also `load_images`.
    """
    if task not in get_args(Task):
        raise ValueError(f"task: expected one of {get_args(Task)}, got {task!r}")
    if seed < 0:
        raise ValueError(f"seed: expected a number >= 0, got {seed}")
    if (classes is not None) != (task == "pair"):
        raise ValueError(f'classes: expected two classes with task="pair" only, got {classes} with {task!r}')
    if name not in (known := [*POINT_TASKS, *IMAGE_DATASETS]):
        raise ValueError(f"name: unknown data set {name!r}; {did_you_mean(name, known)}")
    if name == "random":
        # Not manual_seed(seed), with which initial weights of the same seed would equal the points.
        return random_task(n_train, dim, generator=stream(seed, 1), n_test=n_test, dtype=dtype)
    if name == "gaussian_field":
        return _field_task(n_train, n_test, dim, seed, relevant_dim or dim, covariance, dtype)
    if name in get_args(RuleName):
        rule_name = cast(RuleName, name)
        rule = decision_rule(rule_name, dim, relevant_dim=relevant_dim, n_interfaces=n_interfaces, seed=seed)
        x, x_test = _gaussian_points(n_train, n_test, dim, seed)
        return _point_task(x, rule.labels(x), x_test, rule.labels(x_test), rule.relevant, dtype)
    everything = _coordinates(name, dim, task, classes, pca, os.environ.get("SYMNETS_DATA"))
    train = _chosen("n_train", everything.y_train, n_train, seed)
    test = _chosen("n_test", everything.y_test, n_test, 0)
    return BinaryTask(
        everything.x_train[train].to(dtype),
        everything.y_train[train].to(dtype),
        everything.x_test[test].to(dtype),
        everything.y_test[test].to(dtype),
    )


def _gaussian_points(n_train: int, n_test: int, dim: int, seed: int) -> tuple[Tensor, Tensor]:
    """Training points of a seed, and test points that are the same for every seed."""
    if n_train < 1 or n_test < 0:
        raise ValueError(f"n_train, n_test: expected n_train >= 1, n_test >= 0, got {n_train} and {n_test}")
    return nested_gaussian(n_train, dim, stream(seed, 1)), nested_gaussian(n_test, dim, stream(0, 1, 1))


def _field_task(
    n_train: int,
    n_test: int,
    dim: int,
    seed: int,
    relevant_dim: int,
    covariance: Covariance,
    dtype: torch.dtype,
) -> BinaryTask:
    if not 1 <= relevant_dim <= dim:
        raise ValueError(f"relevant_dim: expected 1 to dim={dim}, got {relevant_dim}")
    x, x_test = _gaussian_points(n_train, n_test, dim, seed)
    points = torch.cat([x_test, x])[:, :relevant_dim]
    field = gaussian_field(
        points, generator=stream(seed, 1, 4), covariance=covariance, length=relevant_dim**0.5
    )
    y = 2.0 * (field > 0).double() - 1.0
    relevant = torch.eye(dim, dtype=torch.float64)[:, :relevant_dim]
    return _point_task(x, y[n_test:], x_test, y[:n_test], relevant, dtype)


def _point_task(
    x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor, relevant: Tensor, dtype: torch.dtype
) -> BinaryTask:
    return BinaryTask(x.to(dtype), y.to(dtype), x_test.to(dtype), y_test.to(dtype), relevant.to(dtype))


def _chosen(name: str, labels: Float[Tensor, "points"], n: int, seed: int) -> Tensor:
    try:
        return balanced_subset(labels, n, seed)
    except ValueError as error:
        raise ValueError(f"{name}: {str(error).removeprefix('n: ')}") from error


@lru_cache(maxsize=8)
def _coordinates(
    name: str,
    dim: int,
    task: Task,
    classes: tuple[int, int] | None,
    convention: Convention,
    _symnets_data: str | None,  # part of the cache key: other files give other coordinates
) -> BinaryTask:
    """Principal components of all images of a task, in float64."""
    train, test = (_labelled(load_images(name, part), task, classes) for part in ("train", "test"))
    pixels = torch.cat([train[0].flat(), test[0].flat()])
    x = principal_components(pixels, dim, convention=convention).transform(pixels)
    if convention == "whitened":
        x = to_sphere(x)
    n = len(train[0])
    return BinaryTask(x[:n], train[1], x[n:], test[1])


def _labelled(
    images: Images, task: Task, classes: tuple[int, int] | None
) -> tuple[Images, Float[Tensor, "images"]]:
    if classes is not None:
        return class_pair(images, *classes)
    if task == "groups":
        return images, group_labels(images.labels, range(len(images.classes) // 2))
    return images, parity_labels(images.labels)
