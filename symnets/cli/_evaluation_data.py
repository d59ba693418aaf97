"""Labelled structures on which `symnets evaluate` measures errors: their files, names and labels."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from symnets.data import count_labels, counts_in_words, is_isolated_atom, keys_in_words, keys_present


@dataclass(frozen=True)
class EvaluationData:
    """Structures of some files, without those marked as isolated atoms."""

    files: Sequence[Path]
    names: Sequence[str]
    """Name of each structure, such as "data.xyz, frame 3"."""
    structures: Sequence[Atoms]
    n_isolated: int
    """Number of structures that are left out."""

    @classmethod
    def of(cls, files: Sequence[Path], read: Sequence[tuple[str, Atoms]]) -> "EvaluationData":
        """The structures of files, as `read_files` returns them.

        Raises:
            ValueError: all are isolated atoms.
        """
        kept = [(name, atoms) for name, atoms in read if not is_isolated_atom(atoms)]
        data = cls(files, [name for name, _ in kept], [atoms for _, atoms in kept], len(read) - len(kept))
        if not kept:
            raise ValueError(f"{data.title}: expected structures, got isolated atoms only (config_type)")
        return data

    @property
    def title(self) -> str:
        """Name of the file; for several files, the name of the first and the number of the others."""
        others = f" and {len(self.files) - 1} more" if len(self.files) > 1 else ""
        return f"{self.files[0].name}{others}"

    @property
    def paths(self) -> str | list[str]:
        """Absolute path of the file, or of each of several."""
        paths = [os.path.abspath(file) for file in self.files]
        return paths[0] if len(paths) == 1 else paths

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of structures with energy, forces and stress."""
        return count_labels(() if atoms.calc is None else atoms.calc.results for atoms in self.structures)

    def sentence(self, counts: dict[str, int]) -> str:
        """Sentence for the user: counts of labels, and isolated atoms that are left out."""
        text = f"labels: {counts_in_words(counts, len(self.structures))}"
        if self.n_isolated:
            plural = "" if self.n_isolated == 1 else "s"
            text += f"; {self.n_isolated:,} isolated atom{plural} (config_type=IsolatedAtom) left out"
        return text

    def check_labels(self) -> None:
        """Check that some structure has energy, forces or stress.

        Raises:
            ValueError: none has; the message lists the keys of the files.
        """
        if any(self.counts.values()):
            return
        raise ValueError(
            f"{self.title}: expected labels of energy, forces or stress, found none in "
            f"{len(self.structures)} structures; if they have other keys, pass --energy-key, --forces-key, "
            f"--stress-key or --virial-key. {keys_in_words(keys_present(self.structures))}"
        )
