"""SparseHierarchy: random hierarchies whose symbols may move among empty positions."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from symnets.config import at_least, check_ranges
from symnets.data._random_hierarchy import HierarchySample, RandomHierarchy, another, with_part


@dataclass(frozen=True)
class SparseHierarchy(RandomHierarchy):
    """Sparse random hierarchy model: each new symbol is at a random place in a block of s0 + 1 positions.

    Model of Tomasini and Wyart (arXiv:2404.10727), in its variant with one block of s0 + 1 positions for
    each symbol (in the other variant, the s symbols of a tuple are anywhere among s (s0 + 1) positions, in
    order). The other positions are empty. Rules are those of `RandomHierarchy`. A tuple of s symbols occupies
    s (s0 + 1) positions of the level below. An empty position becomes s (s0 + 1) empty positions. An input
    has d = (s (s0 + 1))^L positions, s^L of them with a symbol. Positions are uniform and independent, so
    that there are

        P_max = n_c m^((s^L - 1)/(s - 1)) (s0 + 1)^(s + s² + ... + s^L)

    equally likely inputs. Moving a symbol within its block is a discrete deformation, which keeps the label.
    A deformation of level l moves symbols that rules of level l make, together with all symbols that are made
    from them. According to the paper, locally connected nets need P* ~ (s0 + 1)^L n_c m^L training inputs,
    and convolutional nets (s0 + 1)² n_c m^L.

    Empty positions are encoded by zeros in all channels. This is our choice; we could not verify the paper's.

    Args:
        n_empty: s0, number of empty positions of each block.

    Example:
        >>> hierarchy = SparseHierarchy(4, 4, 4, depth=2, n_empty=1)
        >>> hierarchy.n_positions, hierarchy.n_inputs == 256 * 2**6
        (16, True)
    """

    n_empty: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges("", self, n_empty=at_least(0))

    @property
    def n_positions(self) -> int:
        """d = (s (s0 + 1))^L, number of positions of an input."""
        return (self.tuple_size * (self.n_empty + 1)) ** self.depth

    @property
    def sample_complexity(self) -> int:
        """(s0 + 1)² n_c m^L; convolutional nets need a number of training inputs proportional to it."""
        return (self.n_empty + 1) ** 2 * super().sample_complexity

    def symbols(self, sample: HierarchySample) -> Int[Tensor, "n positions"]:
        """Symbols of the inputs, 0 to v - 1; -1 at empty positions."""
        dense, at = sample.labels[:, None], torch.zeros_like(sample.labels)[:, None]
        in_tuple = torch.arange(self.tuple_size, device=at.device)
        for rules, choices, positions in zip(self.rules, sample.choices, sample.positions, strict=True):
            dense = rules.to(at.device)[dense, choices].flatten(1)
            blocks = self.tuple_size * at[:, :, None] + in_tuple
            at = (self.n_empty + 1) * blocks.flatten(1) + positions
        empty = torch.full((len(sample), self.n_positions), -1, device=at.device)
        return empty.scatter(1, at, dense)

    def classify(self, symbols: Int[Tensor, "n positions"]) -> Int[Tensor, " n"]:
        """Classes of inputs, by applying the rules from the lowest level to the top.

        Raises:
            ValueError: inputs of another shape, or that the hierarchy does not generate.
        """
        if symbols.ndim != 2 or symbols.shape[1] != self.n_positions:
            raise ValueError(f"symbols: expected shape (n, {self.n_positions}), got {tuple(symbols.shape)}")
        occupied = symbols >= 0
        for _ in range(self.depth):
            n_in_block = occupied.unflatten(1, (-1, self.n_empty + 1)).sum(-1)
            n_in_tuple = n_in_block.unflatten(1, (-1, self.tuple_size)).sum(-1)
            if bool((n_in_block > 1).any() | ((n_in_tuple != 0) & (n_in_tuple != self.tuple_size)).any()):
                raise ValueError("symbols: expected one symbol in each block of a tuple, and none elsewhere")
            occupied = n_in_tuple > 0
        if not bool(occupied.all()):
            raise ValueError("symbols: expected inputs of this hierarchy, got one without symbols")
        return self._classes(symbols[symbols >= 0].reshape(len(symbols), -1))

    def deformed(self, sample: HierarchySample, level: int, generator: Generator) -> HierarchySample:
        """Inputs in which every symbol of a level is moved to another position of its block, at random.

        The label does not change.

        Args:
            sample: inputs.
            level: 1 for the symbols of the input, up to L for the symbols made from the class. A symbol moves
                together with all symbols that are made from it.
            generator: source of the new positions, on any device.

        Raises:
            ValueError: `level` is out of range, or s0 = 0.
        """
        k = self._index(level)
        moved = another(sample.positions[k], self.n_empty + 1, generator)
        return replace(sample, positions=with_part(sample.positions, k, moved))

    def _sizes(self) -> list[int]:
        s = self.tuple_size
        n_symbols = sum(s**k for k in range(1, self.depth + 1))
        return [*super()._sizes(), *[self.n_empty + 1] * n_symbols]

    def _of_digits(self, digits: Int[Tensor, "n decisions"]) -> HierarchySample:
        n_dense, s = len(super()._sizes()), self.tuple_size
        sample = super()._of_digits(digits[:, :n_dense])
        positions = digits[:, n_dense:].split([s**k for k in range(1, self.depth + 1)], dim=1)
        return replace(sample, positions=positions)
