"""Claims of talks (`symnets/experiments/talks.yaml`), and the experiments that name them in `CLAIMS`."""

import ast
from dataclasses import dataclass
from pathlib import Path

from symnets.sweeps._find import experiment_files
from symnets.yaml_files import read_yaml


@dataclass(frozen=True)
class Claim:
    """One statement of a talk.

    Attributes:
        name: such as "C3"; the letter stands for the subject.
        talks: short names of the talks that make the claim.
        text: the statement.
        published: its source.
        shown: where the claim is shown, if no experiment measures it.
        not_measured: why the claim is not shown at all.
        findings: regular expression that selects the quantities that concern the claim, among the findings
            of the experiments that measure it; all by default.
        why: why some of these findings do not agree.
    """

    name: str
    talks: tuple[str, ...]
    text: str
    published: str = ""
    shown: str = ""
    not_measured: str = ""
    findings: str = ""
    why: str = ""


@dataclass(frozen=True)
class Talks:
    """The talks, their claims, and the experiments that measure them.

    Attributes:
        titles: speaker, title and place of each talk, by its short name.
        subjects: name of each subject, by its letter.
        claims: by name, in the order of the file.
        measured_by: experiments of a claim, by its name; claims without one are left out.
    """

    titles: dict[str, str]
    subjects: dict[str, str]
    claims: dict[str, Claim]
    measured_by: dict[str, list[str]]

    def subject(self, experiment: str) -> str | None:
        """Subject of the first claim that an experiment measures; None if it measures none."""
        return next(
            (self.subjects[name[0]] for name in self.claims if experiment in self.measured_by.get(name, [])),
            None,
        )

    def of(self, talk: str) -> list[str]:
        """Names of the experiments that measure claims of a talk, in the order of the claims."""
        claims = [name for name, claim in self.claims.items() if talk in claim.talks]
        return list(dict.fromkeys(each for name in claims for each in self.measured_by.get(name, [])))


def read_talks() -> Talks:
    """The talks and claims that come with symnets, with the experiments that name them.

    Raises:
        ValueError: an experiment names a claim that is not in the file.
    """
    files = experiment_files()
    (folder,) = {path.parent for path in files.values()}
    content = read_yaml(folder / "talks.yaml")
    claims = {
        name: Claim(
            name, tuple(entry.pop("talks")), entry.pop("claim"), **{k: str(v) for k, v in entry.items()}
        )
        for name, entry in content["claims"].items()
    }
    measured_by: dict[str, list[str]] = {}
    for experiment, path in files.items():
        for claim in claims_of(path):
            if claim not in claims:
                raise ValueError(f"{path}: CLAIMS has {claim!r}, which is not a claim of talks.yaml")
            measured_by.setdefault(claim, []).append(experiment)
    titles = {
        name: f"{talk['speaker']}, {talk['title']} ({talk['place']})"
        for name, talk in content["talks"].items()
    }
    return Talks(titles, content["subjects"], claims, measured_by)


def claims_of(path: Path) -> tuple[str, ...]:
    """`CLAIMS` in the source of a module, which is not imported; empty if there are none."""
    for node in ast.parse(path.read_text("utf-8")).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "CLAIMS" and getattr(node, "value", None):
            return tuple(ast.literal_eval(node.value))  # pyright: ignore
    return ()
