"""RandomHierarchy: classification tasks in which classes are generated level by level, by random rules."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from symnets.config import SEED, at_least, check_ranges

_ENUMERATED = 2**22
"""Up to this number of inputs `sample` permutes their numbers; above it, it removes repeated inputs."""


@dataclass(frozen=True)
class HierarchySample:
    """Inputs of a hierarchy, represented by the random decisions that generate them.

    All tensors are on one device, that of the generator with which the inputs were sampled. Entry k of
    `choices` and of `positions` belongs to the rules of level L - k; the first is the top level L.
    """

    labels: Int[Tensor, " n"]
    """Class of each input, 0 to n_c - 1."""
    choices: tuple[Int[Tensor, "n _"], ...]
    """Number of the synonym, 0 to m - 1, that replaces each symbol: (n, 1), (n, s), ..., (n, s^(L-1))."""
    positions: tuple[Int[Tensor, "n _"], ...] = ()
    """Position of each new symbol in its block of a `SparseHierarchy`: (n, s), (n, s²), ..., (n, s^L)."""

    def __len__(self) -> int:
        """Number of inputs."""
        return len(self.labels)

    def __getitem__(self, rows: slice | Tensor) -> "HierarchySample":
        """Some of the inputs."""
        return HierarchySample(
            self.labels[rows], tuple(c[rows] for c in self.choices), tuple(p[rows] for p in self.positions)
        )


@dataclass(frozen=True)
class RandomHierarchy:
    """Random hierarchy model: on each of L levels, one of m synonymous tuples of symbols replaces a symbol.

    Model of Cagnetta, Petrini, Tomasini, Favero and Wyart (arXiv:2307.02129). Level L maps each of n_c
    classes to m tuples of s symbols; levels L - 1 to 1 map each of v symbols to m tuples. All tuples of a
    level are different, so that an input belongs to one class only. They are drawn uniformly without
    replacement from the v^s tuples, with `seed`. If all m tuples of a symbol are equally likely, there are

        P_max = n_c m^((s^L - 1)/(s - 1))

    equally likely inputs of d = s^L symbols, one-hot encoded in v channels. According to the paper, deep
    convolutional nets need P* ~ n_c m^L training inputs, and shallow nets a finite fraction of P_max.

    Two tuples are synonyms of level l if the rules of level l map one symbol to both. The tuples of level 1
    are parts of the input.

    Args:
        n_classes: n_c, number of classes.
        vocabulary: v, number of symbols of each level.
        n_synonyms: m, number of tuples for each symbol.
        tuple_size: s, number of symbols of a tuple.
        depth: L, number of levels.
        seed: seed of the rules.

    Raises:
        ValueError: numbers out of range, or too few different tuples: n_c m > v^s or v m > v^s.

    Example:
        >>> hierarchy = RandomHierarchy(n_classes=4, vocabulary=4, n_synonyms=4, depth=2)
        >>> hierarchy.n_inputs, hierarchy.n_positions, hierarchy.sample_complexity
        (256, 4, 64)
    """

    n_classes: int = 8
    vocabulary: int = 8
    n_synonyms: int = 4
    tuple_size: int = 2
    depth: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            n_classes=at_least(1),
            vocabulary=at_least(1),
            n_synonyms=at_least(1),
            tuple_size=at_least(2),
            depth=at_least(1),
            seed=SEED,
        )
        available = self.vocabulary**self.tuple_size
        above = self.n_classes if self.depth == 1 else max(self.n_classes, self.vocabulary)
        if above * self.n_synonyms > available:
            raise ValueError(
                f"n_synonyms: expected {above} symbols with {self.n_synonyms} tuples each to be at most "
                f"{available} = {self.vocabulary}^{self.tuple_size} tuples; use fewer synonyms or a larger "
                "vocabulary"
            )

    @cached_property
    def rules(self) -> tuple[Int[Tensor, "_ m s"], ...]:
        """Tuples that replace each symbol, the top level first: (n_c, m, s), then (v, m, s) L - 1 times.

        They are on the CPU.
        """
        v, m, s = self.vocabulary, self.n_synonyms, self.tuple_size
        generator = Generator("cpu").manual_seed(self.seed)
        place_values = v ** torch.arange(s - 1, -1, -1, device="cpu")
        rules = []
        for n_symbols in [self.n_classes] + [v] * (self.depth - 1):
            numbers = torch.randperm(v**s, generator=generator, device="cpu")[: n_symbols * m]
            rules.append((numbers[:, None] // place_values % v).reshape(n_symbols, m, s))
        return tuple(rules)

    @property
    def n_inputs(self) -> int:
        """P_max, number of different inputs."""
        return math.prod(self._sizes())

    @property
    def n_positions(self) -> int:
        """d, number of positions of an input."""
        return self.tuple_size**self.depth

    @property
    def sample_complexity(self) -> int:
        """n_c m^L; deep convolutional nets need a number of training inputs proportional to it."""
        return self.n_classes * self.n_synonyms**self.depth

    def sample(self, n: int, generator: Generator) -> HierarchySample:
        """Sample n different inputs uniformly at random, on the device of the generator.

        Raises:
            ValueError: n is negative or larger than the number of inputs, or, for more than 2^22 inputs,
                larger than half of it.
        """
        if not 0 <= n <= self.n_inputs:
            raise ValueError(f"n: expected 0 to {self.n_inputs} different inputs, got {n}")
        device = generator.device
        if self.n_inputs <= _ENUMERATED:
            numbers = torch.randperm(self.n_inputs, generator=generator, device=device)[:n]
            return self._of_digits(self._digits(numbers))
        if 2 * n > self.n_inputs:
            raise ValueError(f"n: expected at most half of {self.n_inputs} inputs, got {n}")
        # The first n different ones of independent inputs are a uniform choice without repetition.
        digits = self._draw(0, generator)
        while len(digits) < n:
            more = torch.cat([digits, self._draw(n - len(digits) + 16, generator)])
            _, group = torch.unique(more, dim=0, return_inverse=True)
            first = torch.full((int(group.max()) + 1,), len(more), device=device)
            first.scatter_reduce_(0, group, torch.arange(len(more), device=device), "amin")
            digits = more[first.sort().values]
        return self._of_digits(digits[:n])

    def split(
        self, n_train: int, n_test: int, generator: Generator
    ) -> tuple[HierarchySample, HierarchySample]:
        """Training inputs and test inputs, with none in common.

        Training inputs are nested: with the same n_train + n_test and a generator in the same state, a
        smaller n_train gives the first of the training inputs of a larger one.
        """
        sample = self.sample(n_train + n_test, generator)
        return sample[:n_train], sample[n_train:]

    def symbols(self, sample: HierarchySample) -> Int[Tensor, "n positions"]:
        """Symbols of the inputs, 0 to v - 1."""
        symbols = sample.labels[:, None]
        for rules, choices in zip(self.rules, sample.choices, strict=True):
            symbols = rules.to(symbols.device)[symbols, choices].flatten(1)
        return symbols

    def inputs(
        self, sample: HierarchySample, *, dtype: torch.dtype | None = None
    ) -> Float[Tensor, "n v positions"]:
        """One-hot encoding of the symbols: channel a is 1 where the symbol is a, else 0.

        For fully connected nets use `.flatten(1)`.
        """
        symbols = self.symbols(sample)
        channels = torch.arange(self.vocabulary, device=symbols.device)
        return (symbols[:, None] == channels[:, None]).to(dtype or torch.get_default_dtype())

    def classify(self, symbols: Int[Tensor, "n positions"]) -> Int[Tensor, " n"]:
        """Classes of inputs, by applying the rules from the lowest level to the top.

        Raises:
            ValueError: inputs of another shape, or that the rules do not generate.
        """
        if symbols.ndim != 2 or symbols.shape[1] != self.n_positions:
            raise ValueError(f"symbols: expected shape (n, {self.n_positions}), got {tuple(symbols.shape)}")
        return self._classes(symbols)

    def exchanged(self, sample: HierarchySample, level: int, generator: Generator) -> HierarchySample:
        """Inputs in which every tuple of a level is replaced by another of its m - 1 synonyms, at random.

        The label does not change. On the levels below, the same choices are applied to the new symbols.

        Args:
            sample: inputs.
            level: 1 for the tuples of the input, up to L.
            generator: source of the new choices, on any device.

        Raises:
            ValueError: `level` is out of range, or m = 1.
        """
        k = self._index(level)
        return replace(
            sample,
            choices=with_part(sample.choices, k, another(sample.choices[k], self.n_synonyms, generator)),
        )

    def _classes(self, symbols: Int[Tensor, "n symbols"]) -> Int[Tensor, " n"]:
        v, s, device = self.vocabulary, self.tuple_size, symbols.device
        if not bool(((symbols >= 0) & (symbols < v)).all()):
            raise ValueError(f"symbols: expected 0 to {v - 1}, got {symbols.min()} to {symbols.max()}")
        place_values = v ** torch.arange(s - 1, -1, -1, device=device)
        for rules in reversed(self.rules):
            table = torch.full((v**s,), -1, device=device)
            numbers = (rules.to(device) * place_values).sum(-1)
            table[numbers] = torch.arange(len(rules), device=device)[:, None].expand_as(numbers)
            symbols = table[(symbols.unflatten(1, (-1, s)) * place_values).sum(-1)]
            if bool((symbols < 0).any()):
                raise ValueError("symbols: expected inputs of this hierarchy, got a tuple that no rule makes")
        return symbols[:, 0]

    def _index(self, level: int) -> int:
        if not 1 <= level <= self.depth:
            raise ValueError(f"level: expected 1 (tuples of the input) to {self.depth}, got {level}")
        return self.depth - level

    def _sizes(self) -> list[int]:
        """Number of values of each decision: class, choices of the top level, ..., of level 1."""
        s = self.tuple_size
        return [self.n_classes] + [self.n_synonyms] * ((s**self.depth - 1) // (s - 1))

    def _digits(self, numbers: Int[Tensor, " n"]) -> Int[Tensor, "n decisions"]:
        """Decisions that generate the inputs with the given numbers, 0 to P_max - 1."""
        digits = []
        for size in reversed(self._sizes()):
            digits.append(numbers % size)
            numbers = numbers // size
        return torch.stack(digits[::-1], 1)

    def _draw(self, n: int, generator: Generator) -> Int[Tensor, "n decisions"]:
        device = generator.device
        columns = [torch.randint(size, (n,), generator=generator, device=device) for size in self._sizes()]
        return torch.stack(columns, 1)

    def _of_digits(self, digits: Int[Tensor, "n decisions"]) -> HierarchySample:
        s, depth = self.tuple_size, self.depth
        parts = digits.split([1, *[s**k for k in range(depth)]], dim=1)
        return HierarchySample(parts[0][:, 0], parts[1:])


def with_part(parts: tuple[Tensor, ...], k: int, new: Tensor) -> tuple[Tensor, ...]:
    """A tuple of tensors with tensor k replaced."""
    return (*parts[:k], new, *parts[k + 1 :])


def another(values: Tensor, size: int, generator: Generator) -> Tensor:
    """For each entry a random number from 0 to size - 1 that differs from it; all such are equally likely."""
    if size < 2:
        raise ValueError("expected at least two synonyms or positions to choose from, got one")
    steps = torch.randint(1, size, values.shape, generator=generator, device=generator.device)
    return (values + steps.to(values.device)) % size
