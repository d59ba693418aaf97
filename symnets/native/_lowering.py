"""Lowering: a program is made by running the forward methods of a model on matrices in place of tensors."""

import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from symnets.device import on_device
from symnets.native._operation import CannotLower, Matrix
from symnets.native._program import Program


class Lowered:
    """Stand-in for a module while a program is made, whose submodules and weights are stand-ins too.

    Calling it calls the module's `lower(program, *arguments)` if its class has this method, and otherwise its
    `forward` with this object in place of the module. Submodules are `Lowered`, parameters and buffers are
    `Table`s; all else, such as irreps and numbers, is the module's own.
    """

    def __init__(self, program: Program, module: nn.Module) -> None:
        self._program, self._module = program, module

    @property
    def __class__(self) -> type:  # so that isinstance tests in forward methods find the module's class
        return type(self._module)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if isinstance(value, nn.Module):
            return Lowered(self._program, value)
        if isinstance(value, torch.Tensor):
            return Table(self._program, value)
        if isinstance(value, types.MethodType) and value.__self__ is self._module:
            return types.MethodType(_unchecked(value.__func__), self)
        return value

    def __iter__(self) -> Iterator[Any]:
        for child in self._module.children():
            yield Lowered(self._program, child)

    def __len__(self) -> int:
        return len(list(self._module.children()))

    def __getitem__(self, index: int) -> Any:
        return list(self)[index]

    def __call__(self, *arguments: Any) -> Any:
        module = self._module
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            raise CannotLower(
                f"{type(module).__name__} is modified: it has hooks, or a forward method of its own"
            )
        # The nearest class that defines either method: a subclass may define another forward and no lower.
        cls = next(cls for cls in type(module).__mro__ if {"lower", "forward"} & vars(cls).keys())
        if "lower" in vars(cls):
            return module.lower(self._program, *arguments)  # pyright: ignore[reportCallIssue]
        if type(module).__module__.startswith("torch.") and not isinstance(module, nn.Sequential):
            raise CannotLower(f"{type(module).__name__} has no native code")
        return _unchecked(type(module).forward)(self, *arguments)


def _unchecked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function without decorators, such as checks of annotations, which matrices would not pass."""
    return inspect.unwrap(function)


class Table:
    """Stand-in for a parameter or buffer; indexed by the species of atoms, it gives a lookup."""

    def __init__(self, program: Program, tensor: torch.Tensor) -> None:
        self._program, self.tensor, self.shape = program, tensor, tensor.shape

    def __getitem__(self, index: Any) -> Matrix:
        if index is not self._program.species:
            raise CannotLower("a parameter or buffer is indexed by something other than the species of atoms")
        return self._program.lookup(self.tensor)

    def __mul__(self, factor: float) -> "Table":
        return Table(self._program, self.tensor * factor)


class LoweredGraph:
    """Stand-in for an `AtomGraph` while a program is made, with the fields that forward methods read."""

    def __init__(self, program: Program) -> None:
        self.z, self.edge_index = program.species, (program.sender, program.receiver)


def lower(program: Program, module: nn.Module, *arguments: Any) -> Any:
    """Run the forward method of a module on matrices of a program, which appends its operations.

    Raises:
        CannotLower: a layer has no native code.
    """
    return Lowered(program, module)(*arguments)


def energy_program(model: nn.Module) -> Program:
    """The program of a model of atomic energies, such as the `energy_model` of a `Compiled` force field.

    Args:
        model: a module with `species` and `cutoff` (Å), whose forward method takes an `AtomGraph` and returns
            one energy in eV for each atom.

    Raises:
        CannotLower: a layer has no native code.
    """
    program = Program(len(model.species), float(model.cutoff))  # pyright: ignore
    try:
        with torch.inference_mode(False), torch.no_grad(), on_device("cpu"):
            energy = lower(program, model, LoweredGraph(program))
    except (AttributeError, TypeError) as error:  # the forward method needs more than matrices support
        raise CannotLower(f"{type(model).__name__}: {error}") from error
    if not isinstance(energy, Matrix) or energy.kind != "d" or energy.columns != 1:
        raise CannotLower(f"{type(model).__name__} does not give one energy for each atom")
    program.finish(energy)
    return program
