"""Scaled: a model minus its initial function, times a factor that sets the regime of training."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.models._from_start import FromStart, LastValue, _checked


class Scaled(FromStart):
    """Predictor α (f(w, x) - f(w0, x)) of a model f with weights w that starts at w0.

    It vanishes before training, and α sets the regime: for α → ∞ weights hardly move and the model is trained
    as if it were `Linearized` (lazy training), for small α they have to move far (feature learning). The
    crossover is at α̃ = O(1) for a net in the mean-field parametrisation, α̃ = `alpha_tilde(alpha, width)`.
    Chizat, Oyallon, Bach 2019 (arXiv:1812.07956); Geiger et al. 2020 (arXiv:1906.08034).

    In the limit of large α at fixed time t, the function follows that of `Linearized` with an error that
    falls as 1/α, if the loss is divided by α²: then w' = -α⁻² ∇L moves the weights by O(1/α) and the
    predictor by O(1).

    The subtraction matters at α = 1, too. Without it, part of the random function of order one with which a
    wide net starts would remain on held-out patterns, at any width, and hide quantities that fall with the
    width. `Scaled(model, 1.0)` is this difference alone.

    w0 and the model's first buffers, such as running averages, are buffers of this module.

    Args:
        model: any module that returns one tensor, with members or without; energy models as well,
            `ForceField(Scaled(energy_model, alpha))`.
        alpha: α; one number, or one for each member.
        start: a module of the same structure with weights w0; by default `model` in its present state.
        keep_start: whether f(w0, x) of the last inputs is kept, so that steps on the same tensor do not
            compute it again. Only for models without randomness, and for inputs that are not changed through
            memory that they share with other arrays.

    Raises:
        ValueError: `alpha` is neither one number nor one for each member, or `start` has another structure.

    Example:
        >>> from symnets.models import Dense
        >>> predictor = Scaled(Dense(10, 20, 3, members=2), alpha=[0.1, 10.0])
        >>> bool((predictor(torch.randn(5, 10)) == 0).all())
        True
    """

    alpha: Tensor

    def __init__(
        self,
        model: nn.Module,
        alpha: float | Sequence[float] | Tensor,
        start: nn.Module | None = None,
        *,
        keep_start: bool = False,
    ) -> None:
        super().__init__(model, start)
        device = next((t.device for t in (*model.parameters(), *model.buffers())), None)
        factor = torch.as_tensor(alpha, dtype=torch.float64).detach().clone().to(device)
        members = getattr(model, "members", None)
        if factor.ndim and tuple(factor.shape) != (members,):
            expected = "one number" + ("" if members is None else f" or one for each of {members} members")
            raise ValueError(f"alpha: expected {expected}, got shape {tuple(factor.shape)}")
        self.register_buffer("alpha", factor)
        self.config = {"model": model, "alpha": factor.tolist()}  # the model file has w0 among the weights
        self.keep_start = keep_start
        self._initial = LastValue()

    def forward(self, *inputs: Any) -> Float[Tensor, "..."]:
        """α (f(w, x) - f(w0, x)), of the shape of the model's outputs."""
        outputs = _checked(self.model(*inputs), self.model)
        if self.keep_start:
            kept = list(self._start_tensors().values())
            initial = self._initial.get(inputs, kept, lambda: self._at_start(inputs))
        else:
            initial = self._at_start(inputs)
        alpha = self.alpha.to(outputs.dtype)
        return alpha.view(*alpha.shape, *[1] * (outputs.ndim - alpha.ndim)) * (outputs - initial)

    def extra_repr(self) -> str:
        """The factor α, as printed with the module."""
        return f"alpha={self.alpha.tolist()}"

    def _copy(self, model: nn.Module, start: nn.Module, indices: Tensor) -> "Scaled":
        alpha = self.alpha[indices.to(self.alpha.device)] if self.alpha.ndim else self.alpha
        return Scaled(model, alpha, start, keep_start=self.keep_start)
