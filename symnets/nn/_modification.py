"""Check that a module computes what its class does, before a closed form is used in place of calling it."""

from functools import lru_cache

import torch.nn.modules.module as registry
from torch import nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""Attributes of a module that hold hooks which may change its outputs or gradients."""


def modification(
    module: nn.Module, cls: type[nn.Module], *, hooks: bool = True, parts: bool = True
) -> str | None:
    """Reason why calling a module may not give what the code of `cls` computes; None if there is no reason.

    A closed form of a class (the tangent kernel of a `Dense`, its Hessian, a table in place of a
    `Convolution`) holds for unmodified modules of exactly this class. It may fail for subclasses, and if a
    method is replaced (on the instance or in the class), if a hook is registered (on a module or for all
    modules), or if a parameter is parametrised, pruned or used twice. In these cases the module itself must
    be called.

    Args:
        module: the module.
        cls: the class with the closed form.
        hooks: whether hooks on the module itself or for all modules are a reason.
        parts: whether to check the submodules too.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> handle = net.register_forward_hook(lambda module, inputs, output: 2 * output)
        >>> modification(net, nn.Linear)
        'it has hooks'
        >>> handle.remove()
        >>> modification(net, nn.Linear) is None
        True
    """
    if type(module) is not cls:
        return f"its class is {type(module).__name__}"
    if hooks and any(getattr(registry, f"_global{kind}") for kind in HOOKS):
        return "hooks are registered for all modules"
    owner = next(base for base in cls.__mro__ if "forward" in vars(base))
    method = owner.forward
    if (method.__module__, method.__qualname__) != (owner.__module__, f"{owner.__qualname__}.forward"):
        return f"{owner.__name__}.forward was replaced"
    parameter_ids: list[int] = []
    for name, part in module.named_modules() if parts else [("", module)]:
        attributes, subject = vars(part), name or "it"
        if (hooks or name) and any(attributes[kind] for kind in HOOKS):
            return f"{subject} has hooks"
        if "parametrizations" in attributes["_modules"]:
            return f"{subject} has parametrised weights"
        if replaced := _methods(type(part)) & attributes.keys():
            return f"{min(replaced)} of {name or 'the instance'} was replaced"
        parameter_ids += map(id, attributes["_parameters"].values())
    return "a parameter is used twice" if len(set(parameter_ids)) < len(parameter_ids) else None


@lru_cache
def _methods(cls: type[nn.Module]) -> frozenset[str]:
    """Names of the methods of a class."""
    return frozenset(name for name in dir(cls) if callable(getattr(cls, name)))
