"""The pages of the experiments, their navigation and the index of findings, made when the docs are built.

Each module of `symnets.experiments` gets a page: its docstring, its figure, and the published beside the
measured numbers. Nothing else has to be edited when an experiment is added. An optional file
docs/experiments/NAME.md has notes on settings and deviations, which end the page. Modules are read, not
imported.
"""

import ast
import importlib.util
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from symnets.sweeps import experiments, read_talks

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "benchmarks" / "results"
INDEX = "experiments/index.md"
TALKS = read_talks()
OTHER = "Beyond the talks"
SUBJECTS = [*TALKS.subjects.values(), OTHER]
"""Subjects of `symnets/experiments/talks.yaml`, then that of experiments which measure no claim of a talk."""
_DIGITS = "--set data=digits --set n_test=400"
OFFLINE = {
    "attractors": "--set data=stripe",
    "double_descent": _DIGITS,
    "double_descent_by_regime": _DIGITS,
    "ensemble_average": _DIGITS,
    "jamming_plane": "--set data=random",
    "kernel_after_training": _DIGITS,
    "kernel_eigenvectors": _DIGITS,
    "last_layer_pca": _DIGITS,
    "lazy_vs_feature": _DIGITS,
    "loss_comparison": _DIGITS,
    "regime_phase_diagram": _DIGITS,
    "stability_by_layer": _DIGITS,
    "stability_during_training": _DIGITS,
    "stability_in_temperature": _DIGITS,
    "stability_vs_trainset_size": f"{_DIGITS} --set n_train=100,300,1000",
}
"""Experiments whose quick preset reads MNIST, and options with which they need no files."""


@dataclass(frozen=True)
class Experiment:
    """The parts of an experiment that its page shows.

    Attributes:
        name: name of the module.
        title: first line of its docstring, up to the colon.
        statement: the rest of that line.
        sections: paragraphs of the docstring by their bold heading, such as "Question".
        sweeps: what was measured, one entry for each preset that was run.
    """

    name: str
    title: str
    statement: str
    sections: dict[str, str]
    sweeps: tuple[dict[str, Any], ...]

    @property
    def subject(self) -> str:
        """The subject it belongs to."""
        return TALKS.subject(self.name) or OTHER

    @property
    def findings(self) -> list[dict[str, Any]]:
        """Findings of the largest preset that was run."""
        return self.largest["findings"]

    @property
    def largest(self) -> dict[str, Any]:
        """The sweep with the most runs."""
        return max(self.sweeps, key=lambda sweep: sweep["runs"], default={"runs": 0, "findings": []})


@cache
def names() -> tuple[str, ...]:
    """Names of all experiments."""
    return tuple(experiments())


@cache
def all_experiments() -> tuple[Experiment, ...]:
    """All experiments of symnets, by subject and name."""
    found = [read(name, sweeps_of(name)) for name in names()]
    return tuple(sorted(found, key=lambda experiment: (SUBJECTS.index(experiment.subject), experiment.name)))


def sweeps_of(name: str) -> tuple[dict[str, Any], ...]:
    """Committed findings of an experiment, one entry for each preset that was run."""
    path = RESULTS / "findings" / f"{name}.json"
    return tuple(json.loads(path.read_text("utf-8"))["sweeps"]) if path.exists() else ()


def read(name: str, sweeps: tuple[dict[str, Any], ...]) -> Experiment:
    """An experiment from the docstring of its module.

    Raises:
        ValueError: the first line has no title before a colon, or a section is missing.
    """
    spec = importlib.util.find_spec(f"symnets.experiments.{name}")
    assert spec is not None
    assert spec.origin is not None
    doc = ast.get_docstring(ast.parse(Path(spec.origin).read_text("utf-8"))) or ""
    first, _, body = doc.partition("\n")
    title, colon, statement = first.partition(": ")
    sections = dict(
        re.findall(r"^\*\*(\w+)\.\*\* (.+?)(?=\n\n\*\*\w+\.\*\* |\Z)", body, re.DOTALL | re.MULTILINE)
    )
    if not colon or not {"Question", "Law", "Figure"} <= set(sections):
        raise ValueError(
            f"{spec.origin}: expected a docstring 'Title: statement.' with the paragraphs **Question.**, "
            f"**Law.** and **Figure.**, got {first!r} with {sorted(sections)}"
        )
    return Experiment(name, title, statement, sections, sweeps)


def page(experiment: Experiment, notes: str) -> str:
    """The Markdown of a page; the title of the notes, which readers see in the repository, is left out."""
    notes = re.sub(r"\A# .*\n", "", notes.lstrip())
    parts = [
        f"# {experiment.title}",
        linked(experiment.statement[:1].upper() + experiment.statement[1:], experiment.name),
        f"```bash\nsymnets sweep {experiment.name}\n```",
        needs(experiment),
        *(
            linked(f"**{heading}.** {text}", experiment.name)
            for heading, text in experiment.sections.items()
            if heading != "Figure"
        ),
        figure(experiment),
        "## Published and measured",
        *(results(sweep) for sweep in experiment.sweeps),
        notes.strip(),
    ]
    return "\n\n".join(parts) + "\n"


def needs(experiment: Experiment) -> str:
    """How long the quick preset takes, and which files it reads."""
    quick = [sweep for sweep in experiment.sweeps if sweep["preset"] == "quick" and "set" not in sweep]
    runs = f"{quick[0]['runs']} runs{duration_on_two_cores(quick[0])}" if quick else "Some runs"
    if experiment.name not in OFFLINE:
        return f"{runs}; no files are needed."
    return (
        f"{runs}. They read MNIST: from the folder "
        "`$SYMNETS_DATA/mnist`, or by a download of 12 MB at the first use "
        "([where images are read from](../how-to/images.md#location-of-the-files)). Without a network, "
        f"`{OFFLINE[experiment.name]}` uses data that need no files; published numbers do not apply to them."
    )


def duration_on_two_cores(sweep: dict[str, Any]) -> str:
    """How long a sweep takes; an upper bound if the machine had other work when it was measured."""
    if (seconds := sweep["core_seconds"]) is not None:
        return f", about {duration_text(seconds / 2)} on two cores"
    if (bound := sweep.get("core_seconds_at_most")) is not None:
        return f", at most {math.ceil(bound / 120)} min on two cores"
    return ""


def duration_text(seconds: float) -> str:
    """A duration in words, such as "20 s" or "4 min"."""
    return f"{max(round(seconds / 10), 1) * 10} s" if seconds < 90 else f"{round(seconds / 60)} min"


def figure(experiment: Experiment) -> str:
    """The committed figure with its caption, or the command that draws it."""
    caption = linked(experiment.sections["Figure"], experiment.name)
    if not (DOCS / "experiments" / f"{experiment.name}.png").exists():
        return f"**Figure**, drawn by the command above: {caption}"
    rows = RESULTS / "experiments" / f"{experiment.name}.csv"
    n_runs = len(rows.read_text("utf-8").splitlines()) - 1 if rows.exists() else experiment.largest["runs"]
    preset = next((f" {described(sweep)}." for sweep in experiment.sweeps if sweep["runs"] == n_runs), "")
    return f"![{experiment.title}]({experiment.name}.png)\n\n**Figure.** {caption}{preset}"


def described(sweep: dict[str, Any]) -> str:
    """The grid that was run."""
    changed = f" with `--set {sweep['set']}`" if "set" in sweep else ""
    return f"Preset `{sweep['preset']}`{changed}"


def results(sweep: dict[str, Any]) -> str:
    """The findings of one preset."""
    runs = f"{sweep['runs']} runs{duration_on_two_cores(sweep)}"
    head = f"{described(sweep)}: {runs}. Errors are standard errors; a number agrees if it lies in the band."
    lines = ["| quantity | published | measured | band | agrees |", "|---|---|---|---|---|"]
    lines += [
        f"| {cell(f['quantity'])} | {linked(cell(f['published']))} "
        f"| {number(f)} | {band(f)} | {agreement(f)} |"
        for f in sweep["findings"]
    ]
    return head + "\n\n" + "\n".join(lines)


def index(everything: Sequence[Experiment], introduction: str) -> str:
    """The index: an introduction, counts, and all findings by subject."""
    parts = [introduction.strip()]
    for subject in SUBJECTS:
        mine = [experiment for experiment in everything if experiment.subject == subject]
        if not mine:
            continue
        agreeing, total = count(mine)
        lines = ["| experiment | quantity | measured | band | agrees |", "|---|---|---|---|---|"]
        lines += [
            f"| [{e.name}]({e.name}.md) | {cell(f['quantity'])} | {number(f)} | {band(f)} | {agreement(f)} |"
            for e in mine
            for f in e.findings
        ]
        parts += [f"## {subject}", f"{agreeing} of {total} findings agree.", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def count(some: Sequence[Experiment]) -> tuple[int, int]:
    """How many findings agree with what was published, and how many there are."""
    findings = [finding for experiment in some for finding in experiment.findings]
    return sum(finding["agrees"] for finding in findings), len(findings)


def cell(text: str) -> str:
    """Text in a cell of a table: characters that Markdown would take for markup are escaped."""
    return re.sub(r"([|*_\\<])", r"\\\1", text)


def number(finding: dict[str, Any]) -> str:
    """A measured value with its standard error."""
    error = "" if finding["error"] is None else f" ± {finding['error']:.2g}"
    value = finding["measured"]
    return f"{value:.3g}{error}" if value == value else "not defined"


def band(finding: dict[str, Any]) -> str:
    """Where a value must lie to agree."""
    low, high = finding["low"], finding["high"]
    if high == float("inf"):
        return f"{low:g} or more"
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def agreement(finding: dict[str, Any]) -> str:
    """Whether a value agrees."""
    return "yes" if finding["agrees"] else "**no**"


def linked(text: str, own: str = "") -> str:
    """Text with links at the names of other experiments and at arXiv numbers."""
    for name in names():
        if name != own:
            text = text.replace(f"`{name}`", f"[{name}]({name}.md)")
    return re.sub(r"arXiv:(\d{4}\.\d{5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def navigation(items: list[Any], pages: list[Any]) -> bool:
    """Insert pages after the index of findings, at any depth; False if the index is not there."""
    for item in items:
        inner = next(iter(item.values())) if isinstance(item, dict) else None
        if isinstance(inner, list) and navigation(inner, pages):
            return True
        if INDEX in (item, inner):
            place = items.index(item) + 1
            items[place:place] = pages
            return True
    return False


def on_config(config: MkDocsConfig) -> None:
    """Add a section for each subject to the navigation, after the index of findings."""
    names.cache_clear()
    all_experiments.cache_clear()
    everything = all_experiments()
    pages = [
        {subject: [{e.title: f"experiments/{e.name}.md"} for e in everything if e.subject == subject]}
        for subject in SUBJECTS
        if any(e.subject == subject for e in everything)
    ]
    if not navigation(config.nav or [], pages):
        raise ValueError(f"mkdocs.yml: expected {INDEX} in nav")


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add an empty page for each experiment that has no notes."""
    for name in names():
        uri = f"experiments/{name}.md"
        if files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, content=""))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Complete the page of an experiment, whose notes come last, or the index after its introduction."""
    folder, _, name = page.file.src_uri.partition("/")
    if folder != "experiments":
        return markdown
    everything = all_experiments()
    if page.file.src_uri == INDEX:
        return index(everything, markdown)
    return next(generated(everything, name.removesuffix(".md"), markdown), markdown)


def generated(everything: Sequence[Experiment], name: str, notes: str) -> Iterator[str]:
    """The page of a name, if there is an experiment of that name."""
    for experiment in everything:
        if experiment.name == name:
            yield page(experiment, notes)
