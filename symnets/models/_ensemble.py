"""Ensemble: several modules of the same architecture, evaluated in one call."""

import copy
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_batchedtensor  # pyright: ignore
from torch.backends import mha
from torch.func import functional_call, vmap
from torch.jit import ScriptModule
from torch.nn.parameter import is_lazy

from symnets.models._module_difference import difference
from symnets.nn import HOOKS


class Ensemble(nn.Module):
    """S modules of equal structure, called at once: outputs have a leading axis S.

        Ensemble(models)(x)[s] = models[s](x)

    It works for any module that `torch.func.vmap` can go through; for fully connected nets `Dense` with
    members is faster. `module` is a copy of the first module in which every parameter and buffer has the
    values of all members along a first axis: training the ensemble does not change the modules it was made
    of; `member(s)` returns a copy of one member. Weights that are tied in the modules are tied here, and
    buffers that the modules change, such as running averages, change for each member.

    Args:
        models: at least one, equal in everything but the values of parameters and buffers: classes, shapes,
            dtypes, devices, tied weights, frozen parameters, train or eval mode, and all other attributes.

    Raises:
        ValueError: the modules differ in one of these, or have hooks, uninitialised parameters or compiled
            code.

    Note:
        Layers that draw random numbers draw different ones for each member. Tensors that several of the
        modules share become separate copies.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        models = list(models)
        if not models:
            raise ValueError("models: expected at least one, got none")
        for number, model in enumerate(models):
            if problem := _unfit(model) or difference(models[0], model):
                raise ValueError(
                    f"models: expected modules that differ in the values of parameters and buffers only, but "
                    f"in number {number} ({type(model).__name__}) {problem}"
                )
        self.members = len(models)
        memo = {}
        for copies in zip(*map(_tensors, models), strict=True):
            stacked = torch.stack([tensor.detach() for tensor in copies])
            memo[id(copies[0])] = _like(stacked, copies[0])
        self.module = copy.deepcopy(models[0], memo)
        self.training = models[0].training

    def forward(self, *inputs: Any) -> Any:
        """Outputs of all members for the same inputs, (S, ...).

        Raises:
            ValueError: the module keeps a tensor of its forward pass in an attribute that is not a buffer.
            RuntimeError: vmap cannot go through the module.
        """
        module, parts = self.module, dict(self.module.named_modules())
        # One entry for each module and attribute: a tied tensor has several, a module used twice only one.
        before = {
            f"{name}.{key}".lstrip("."): tensor
            for name, part in parts.items()
            for key, tensor in (*part._parameters.items(), *part._buffers.items())
            if tensor is not None
        }

        def call(tensors: dict[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
            after = dict(tensors)  # functional_call writes buffers into it that the module replaces
            outputs = functional_call(module, after, inputs, tie_weights=False)
            return outputs, {name: after[name] for name in after if after[name] is not tensors[name]}

        attributes = {name: dict(vars(part)) for name, part in parts.items()}
        fast = mha.get_fastpath_enabled()
        mha.set_fastpath_enabled(False)  # torch's fused attention layer does not notice gradients inside vmap
        try:
            outputs, replaced = vmap(call, randomness="different")(before)
        except RuntimeError as error:
            if not re.search("vmap|batching rule|functorch|BatchedTensor", str(error), re.IGNORECASE):
                raise
            reason = str(error).splitlines()[0]
            raise RuntimeError(
                f"Ensemble: torch.vmap cannot go through {type(module).__name__} ({reason}); evaluate the "
                "members one by one, ensemble.member(s)(x)"
            ) from error
        finally:
            mha.set_fastpath_enabled(fast)
            kept = _restore(parts, attributes)
        if kept:
            raise ValueError(
                f"Ensemble: {kept} keeps a tensor of the forward pass, but an attribute cannot hold those of "
                "all members; register it as a buffer, or return it"
            )
        for name, buffer in replaced.items():
            owner, _, leaf = name.rpartition(".")
            parts[owner]._buffers[leaf] = buffer.detach()
        return outputs

    def member(self, index: int) -> nn.Module:
        """Copy of one member as a module, with its present weights."""
        return copy.deepcopy(
            self.module, {id(t): _like(t.detach()[index].clone(), t) for t in _tensors(self)}
        )

    def select(self, indices: Sequence[int] | Tensor) -> "Ensemble":
        """Copy of the ensemble with the members at these indices."""
        device = _tensors(self)[0].device
        chosen = torch.arange(self.members, device=device)[torch.as_tensor(indices, device=device)]
        twin = copy.deepcopy(self, {id(t): _like(t.detach()[chosen], t) for t in _tensors(self)})
        twin.members = len(chosen)
        return twin


def _tensors(module: nn.Module) -> list[Tensor]:
    """Parameters and buffers, each once."""
    return [*module.parameters(), *module.buffers()]


def _like(value: Tensor, tensor: Tensor) -> Tensor:
    """A value with the role of another tensor: a trained parameter, a frozen parameter, or a buffer."""
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(value, requires_grad=tensor.requires_grad)
    return value


def _restore(parts: dict[str, nn.Module], attributes: dict[str, dict[str, Any]]) -> str:
    """Undo attributes that a forward pass set to tensors inside vmap; returns the name of one or ""."""
    kept = ""
    for name, part in parts.items():
        before = attributes[name]
        for key, value in list(vars(part).items()):
            if isinstance(value, Tensor) and value is not before.get(key) and is_batchedtensor(value):
                kept = f"{name}.{key}".lstrip(".")
                vars(part).pop(key)
                if key in before:
                    vars(part)[key] = before[key]
    return kept


def _unfit(model: nn.Module) -> str | None:
    """Why a module cannot be a member, or None."""
    for name, part in model.named_modules():
        it = name or "it"
        if isinstance(part, ScriptModule) or hasattr(part, "_orig_mod") or part._compiled_call_impl:
            return f"{it} is compiled; give the module before torch.compile or torch.jit"
        tensors: tuple[Any, ...] = (*part._parameters.values(), *part._buffers.values())
        if any(map(is_lazy, tensors)):
            return f"{it} has uninitialised parameters; call it once on an example"
        if any(getattr(part, kind) for kind in HOOKS):
            return (
                f"{it} has hooks; remove them (for weight_norm and spectral_norm use "
                "torch.nn.utils.parametrizations, for pruning torch.nn.utils.prune.remove)"
            )
    return None
