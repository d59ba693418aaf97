"""Random vectors by which estimators ask an operator."""

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.sparse.linalg import LinearOperator


def signs(n: int, columns: int, generator: torch.Generator) -> Float[ndarray, "n columns"]:
    """Independent ±1, in float64; other ones from a generator of a GPU than from one of the CPU."""
    drawn = torch.randint(0, 2, (columns, n), generator=generator, device=generator.device)
    return (2.0 * drawn.cpu().numpy() - 1).T


def check_square(operator: LinearOperator) -> int:
    """N of an operator N × N.

    Raises:
        ValueError: it is not square, not an operator, or not real.
    """
    shape = getattr(operator, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != shape[1] or not hasattr(operator, "matvec"):
        raise ValueError(
            f"operator: expected a square LinearOperator, got {type(operator).__name__} of shape {shape}; "
            "wrap matrices with scipy.sparse.linalg.aslinearoperator"
        )
    if np.issubdtype(operator.dtype or np.float64, np.complexfloating):
        raise ValueError(f"operator: expected a real one, got {operator.dtype}")
    return shape[0]
