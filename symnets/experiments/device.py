"""The device a user asks for, tried before any work is done."""

import torch


def usable_device(name: str) -> torch.device:
    """A torch device by its name, on which numbers can be computed here.

    Raises:
        ValueError: no device has this name, or this machine or this build of torch cannot use it.
    """
    try:
        device = torch.device(name)
        # An addition: the meta device can hold a tensor, but not tell its value.
        (torch.ones(1, device=device) + 1).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        usable = ["cpu"]
        if torch.cuda.is_available():
            usable += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            usable.append("mps")
        raise ValueError(
            f"device: expected one that torch {torch.__version__} can use on this machine "
            f"({', '.join(usable)}), got {name!r}"
        ) from error
    return device
