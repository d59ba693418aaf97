"""Attributes of modules that an ensemble compares: equal only if their whole state is."""

import random
from collections import defaultdict, deque
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from symnets.models import Ensemble


class Holder(nn.Linear):
    """A layer with an attribute."""

    def __init__(self, value=None):
        super().__init__(3, 2)
        self.value = value


def with_default(factor):
    return lambda x, factor=factor: factor * x


def with_keyword_default(factor):
    return lambda x, *, factor=factor: factor * x


def with_closure(factor):
    return lambda x: factor * x


def with_attribute(factor):
    def scaled(x):
        return scaled.factor * x  # its closure contains itself

    scaled.factor = factor
    return scaled


class Slots:
    __slots__ = ("factor",)

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x


class SlotsAndAttributes(Slots):
    pass


class NamedDict(dict):
    def __init__(self, name):
        super().__init__(one=1)
        self.name = name


@dataclass
class Record:
    weights: torch.Tensor
    factor: float = field(default=1.0, compare=False)


VALUES = {
    "default of a function": with_default,
    "keyword-only default of a function": with_keyword_default,
    "closure of a function": with_closure,
    "closure of a closure": lambda factor: with_closure(with_keyword_default(factor)),
    "attribute of a function": with_attribute,
    "keyword of a partial": lambda factor: partial(max, key=factor),
    "function of a partial": lambda factor: partial(with_keyword_default(factor)),
    "object of a bound method": lambda factor: Slots(factor).__call__,
    "slots": Slots,
    "slots of an object with attributes": SlotsAndAttributes,
    "dataclass": lambda factor: Record(torch.ones(2), factor),
    "tensor of a dataclass": lambda factor: Record(torch.full((2,), float(factor))),
    "tensor of a namespace": lambda factor: SimpleNamespace(weights=torch.full((2,), float(factor))),
    "attribute of a dict": NamedDict,
    "last of several dicts": lambda factor: [*({"a": 0} for _ in range(9)), {"a": factor}],
    "factory of a defaultdict": lambda factor: defaultdict(partial(int, factor)),
    "length of a deque": lambda factor: deque([1], maxlen=factor),
    "state of a generator": random.Random,
}


@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES.keys())
def test_values_are_equal_if_their_whole_state_is(make):
    assert Ensemble([Holder(make(2)), Holder(make(2))]).members == 2
    with pytest.raises(ValueError, match="attribute value of it differs from that of number 0"):
        Ensemble([Holder(make(2)), Holder(make(3))])


def test_functions_of_the_same_code_with_other_globals_differ():
    with pytest.raises(ValueError, match="attribute value of it differs from that of number 0"):
        Ensemble([Holder(eval("lambda x: factor * x", {"factor": factor})) for factor in (2, 3)])


def test_a_variable_of_a_closure_may_have_no_value_yet():
    def function():
        if False:
            factor = 2
        return lambda x: factor * x

    assert Ensemble([Holder(function()), Holder(function())]).members == 2
    with pytest.raises(ValueError, match="attribute value of it differs"):
        Ensemble([Holder(function()), Holder(with_closure(2))])


def test_classes_of_the_same_code_with_other_bases_differ():
    def subclass(base):
        class Subclass(base):
            pass

        return Subclass

    assert Ensemble([Holder(nn.ReLU), Holder(nn.ReLU)]).members == 2
    with pytest.raises(ValueError, match="attribute value of it differs from that of number 0"):
        Ensemble([Holder(subclass(nn.ReLU)), Holder(subclass(nn.Tanh))])


@pytest.mark.parametrize(
    "hidden",
    [
        with_closure,
        with_keyword_default,
        with_attribute,
        lambda part: with_closure(with_keyword_default(part)),
        lambda part: with_closure({0: part}),
        lambda part: with_closure(Slots(part).__call__),
        lambda part: with_closure(SimpleNamespace(part=part)),
        lambda part: with_closure(deque([part])),
    ],
)
def test_functions_that_refer_to_a_part_of_a_module_are_refused(hidden):
    """A copy of the module would go on using the part of the original."""
    model = Holder()
    model.value = hidden(model.weight)
    with pytest.raises(ValueError, match=r"attribute value of it .* refers to parts of a module"):
        Ensemble([model])
