"""RegimeConfig: a net of scale α̃, its patterns and its gradient flow."""

from dataclasses import dataclass
from typing import Literal

from symnets.config import SEED, at_least, between, check_ranges, more_than
from symnets.models import find_activation

RegimeLoss = Literal["quadratic_hinge", "hinge", "soft_hinge", "cross_entropy", "exponential", "mse"]


@dataclass(frozen=True)
class RegimeConfig:
    """Configuration of a net of scale α̃, its patterns and its gradient flow.

    The predictor is F = α̃ (f(w) - f(w0)), with a net f in the mean-field parametrisation, and follows

        w' = -∇L,   L = (h / α̃²) (1/P) Σ_μ ℓ(F_μ, y_μ),

    until all patterns are satisfied. α̃ is α √h for the predictor α (f(w) - f(w0)) of a net in the NTK
    parametrisation: α̃ = √h is this net with α = 1. Training is lazy for α̃ >> 1, where weights hardly move,
    and learns features for α̃ << 1; the crossover is at α̃ = O(1) for every width (Geiger et al. 2020,
    arXiv:1906.08034).

    **Time.** With the prefactor h/α̃² the predictor of a lazy net obeys F' = -(1/P) Σ_μ Θ ℓ'_μ with the
    tangent kernel Θ = O(1) of the NTK parametrisation, so that times can be compared over α̃ and h. The
    published code has 1/α̃ in place of h/α̃²: its times are longer by a factor h/α̃.
    """

    n_train: int = 256
    """P, number of training patterns."""
    n_test: int = 4096
    """Number of test patterns."""
    data: str = "stripe"
    """Name of a task of `symnets.data.binary_task`: points or images."""
    dim: int = 5
    """d, input dimension: of the points, or the principal components of images."""
    pixels: int | None = None
    """Rows and columns of images that are learned as they are, not as principal components (`dim` is not
    used then): averages over squares of pixels, minus the mean image, normalised to |x|² = number of pixels.
    """
    net: Literal["dense", "convolutional"] = "dense"
    """`Dense`, or `Convolutional` with kernels of 3 x 3 and stride 2, which needs `pixels`."""
    width: int = 100
    """h, units or channels of each hidden layer."""
    depth: int = 1
    """L, number of hidden layers."""
    activation: str = "relu"
    """Activation function of the hidden layers."""
    bias: bool = True
    """Whether hidden layers have biases. The output has none: the part of the kernel from its bias would be h
    times that from the weights."""
    bias_deviation: float = 1.0
    """Standard deviation of the initial biases."""
    alpha_tilde: float = 1.0
    """α̃, the scale of the predictor."""
    loss: RegimeLoss = "quadratic_hinge"
    """Loss ℓ of one pattern."""
    tolerance: float = 1e-2
    """A pattern is satisfied if its gap 1 - y F (for "mse" |F - y|) is at most this; the flow ends when all
    are."""
    budget: int = 20_000
    """Largest number of trial steps of the flow."""
    max_time: float | None = None
    """Time t at which the flow ends."""
    output_tolerance: float = 5e-2
    """Largest error of the predictor on the training patterns in one step of the flow."""
    slope_tolerance: float = 0.5
    """Largest relative error of the mean slope in one step, where the error of the weights exceeds
    `weight_tolerance`."""
    weight_tolerance: float = 1e-2
    """Error of the weights in one step, relative to their norm, up to which that of the slope does not count.
    """
    stride: int = 10
    """Number of trial steps between two checks, after each of which callbacks are called."""
    dtype: Literal["float32", "float64"] = "float64"
    """Precision of weights and patterns."""
    seed: int = 0
    """Seed of patterns and initial weights."""
    data_seed: int | None = None
    """Seed of the patterns, to give all values of `seed` the same patterns."""
    device: str = "cpu"
    """Device on which nets are trained: cpu, cuda, cuda:1, ..., or auto."""

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            n_train=at_least(2),
            n_test=at_least(0),
            dim=at_least(1),
            pixels=at_least(1),
            width=at_least(1),
            depth=at_least(1),
            bias_deviation=at_least(0),
            alpha_tilde=more_than(0),
            tolerance=between(0, 1),
            budget=at_least(1),
            max_time=more_than(0),
            output_tolerance=more_than(0),
            slope_tolerance=more_than(0),
            stride=at_least(1),
            seed=SEED,
            data_seed=SEED,
        )
        find_activation(self.activation)
        if self.net == "convolutional" and self.pixels is None:
            raise ValueError(
                "pixels: expected the number of rows of the images, such as 14, for a convolutional net, "
                "got None"
            )

    @property
    def loss_scale(self) -> float:
        """Prefactor h/α̃² of the loss."""
        return self.width / self.alpha_tilde**2
