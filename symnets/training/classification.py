"""Cross-entropy of classes, one value an example."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def cross_entropy(
    outputs: Float[Tensor, "*members n classes"], labels: Int[Tensor, " n"]
) -> Float[Tensor, "*members n"]:
    """-log p_y with p = softmax of the outputs f: log Σ_k exp(f_k) - f_y, in nats.

    Equal outputs for k classes give log k. For two classes it is `CrossEntropy` of f = f_1 - f_0.

    Args:
        outputs: logits; of an ensemble with a leading axis of members.
        labels: number of the class of each example.

    Raises:
        ValueError: labels that are no whole numbers, not one an example, or no class. On a GPU, which would
            have to be waited for, labels that are no class are left to torch's own assertion.
    """
    n_classes = outputs.shape[-1]
    if outputs.ndim < 2 or tuple(labels.shape) != (outputs.shape[-2],):
        raise ValueError(
            f"cross_entropy: expected outputs (n, classes) and labels (n,), "
            f"got {tuple(outputs.shape)} and {tuple(labels.shape)}"
        )
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"labels: expected numbers of classes (torch.int64), got {labels.dtype}")
    at_hand = labels.device.type == "cpu" and labels.numel() > 0
    if at_hand and not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
        raise ValueError(
            f"labels: expected 0 to {n_classes - 1} for {n_classes} outputs, "
            f"got {int(labels.min())} to {int(labels.max())}"
        )
    chosen = labels.long().expand(outputs.shape[:-1])[..., None]
    return -outputs.log_softmax(-1).gather(-1, chosen)[..., 0]
