"""Batches: which runs of a grid share a call."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from symnets.experiments.config import fingerprint
from symnets.experiments.experiment import Experiment, Scalar
from symnets.experiments.find import name_of
from symnets.experiments.identity import run_hash, scalars

MAX_TOGETHER = 32
"""Runs in a call, of an experiment that says nothing of it."""


@dataclass(frozen=True)
class Batch:
    """Runs that share a call of `run`, in the order in which it gets them."""

    hashes: tuple[str, ...]
    configs: tuple[dict[str, Scalar], ...]
    """Fields by name."""

    @property
    def id(self) -> str:
        """A hash of the members."""
        return fingerprint({"runs": self.hashes})

    def alone(self) -> list["Batch"]:
        """A batch of each member."""
        members = zip(self.hashes, self.configs, strict=True)
        return [Batch((name,), (values,)) for name, values in members]


def batches(experiment: Experiment, configs: Iterable[Any]) -> list[Batch]:
    """The batches of a whole grid, whatever of it is done already.

    Configs of equal `together` share batches of up to `MAX_TOGETHER`, in the order of the grid. So the grid
    alone decides who runs with whom, and a sweep that was interrupted ends with the same bits as one that was
    not. A config that occurs twice is run once.

    Raises:
        ValueError: a config is not one of this experiment, or is no dataclass of scalars.
    """
    name, groups = name_of(experiment), {}
    for config in configs:
        if not isinstance(config, experiment.Config):
            raise ValueError(f"{name}: expected configs of {name}.Config, got {config!r}")
        members: dict[str, dict[str, Scalar]] = groups.setdefault(_key(experiment, config), {})
        values = scalars(config)
        members[run_hash(name, values)] = values
    size = getattr(experiment, "MAX_TOGETHER", MAX_TOGETHER)
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"{name}.MAX_TOGETHER: expected a whole number from 1, got {size!r}")
    found = []
    for members in groups.values():
        hashes, values = tuple(members), tuple(members.values())
        found += [Batch(hashes[i : i + size], values[i : i + size]) for i in range(0, len(hashes), size)]
    return found


def _key(experiment: Experiment, config: Any) -> Hashable:
    key = experiment.together(config)
    try:
        hash(key)
    except TypeError as error:
        raise ValueError(
            f"{name_of(experiment)}.together: expected something hashable, got {key!r}"
        ) from error
    return key
