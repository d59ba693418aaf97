"""ModelContents: a check whether the modules or weights of a model have changed."""

import operator
from itertools import chain

import torch.nn.modules.module as registry
from torch import Tensor, nn

from symnets.nn import HOOKS

_VERSION = operator.attrgetter("_version")


class ModelContents:
    """Snapshot of the modules, weights and hooks of a model; checks in microseconds whether they changed."""

    def __init__(self, model: nn.Module) -> None:
        modules = list(model.modules())
        self._attributes = [vars(module) for module in modules]
        self._hooks = [attributes[kind] for attributes in self._attributes for kind in HOOKS]
        self._hooks += [getattr(registry, f"_global{kind}") for kind in HOOKS]
        self._parts = [
            attributes[kind]
            for attributes in self._attributes
            for kind in ("_modules", "_parameters", "_buffers")
            if attributes[kind]
        ]
        self._values = [value for part in self._parts for value in part.values()]
        self._tensors = [v for v in self._values if isinstance(v, Tensor) and not v.is_inference()]
        self._states, self._was_plain = self._now(), self._is_plain()

    def same(self) -> bool:
        """Whether the model has the same modules and unchanged weights, and no hooks or replaced methods."""
        values = [*chain.from_iterable(map(dict.values, self._parts))]
        return (
            self._was_plain
            and self._is_plain()
            and len(values) == len(self._values)
            and all(map(operator.is_, values, self._values))
            and self._now() == self._states
        )

    def _is_plain(self) -> bool:
        return not any(self._hooks) and not [True for part in self._attributes if "forward" in part]

    def _now(self) -> list[int]:
        """Memory address and number of in-place changes of each tensor."""
        return [*map(Tensor.data_ptr, self._tensors), *map(_VERSION, self._tensors)]
