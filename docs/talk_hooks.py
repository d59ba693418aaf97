"""docs/talks.md and a page for each talk: its claims, the experiments that measure them, and the findings.

Made when the docs are built, from `symnets/experiments/talks.yaml`, `CLAIMS` of the experiments, and their
committed findings. An optional file docs/talks/NAME.md has an introduction.
"""

import re
from collections.abc import Iterator
from typing import Any

from hooks import DOCS, Experiment, all_experiments, band, cell, linked, names, number
from hooks import figure as figure_of
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from symnets.sweeps import Claim, read_talks

TALKS = read_talks()
INDEX = "talks.md"


def measured(claim: Claim) -> list[Experiment]:
    """The experiments that measure a claim."""
    mine = TALKS.measured_by.get(claim.name, [])
    return [experiment for experiment in all_experiments() if experiment.name in mine]


def findings_of(claim: Claim) -> list[dict[str, Any]]:
    """The findings that concern a claim, among those of the experiments that measure it."""
    everything = [finding for experiment in measured(claim) for finding in experiment.findings]
    return [finding for finding in everything if re.search(claim.findings, finding["quantity"])]


def status(claim: Claim) -> str:
    """Whether the findings that concern a claim reproduce it, and if not, why."""
    if findings := findings_of(claim):
        agreeing, total = sum(finding["agrees"] for finding in findings), len(findings)
        verdict = "reproduced" if agreeing == total else "in part" if agreeing else "**not**"
        return f"{verdict}: {agreeing} of {total} findings agree. {cell(claim.why)}".rstrip()
    return "shown." if claim.shown else f"not measured: {claim.not_measured or 'no experiment yet'}."


def where(claim: Claim, folder: str) -> str:
    """Links to the experiments, or the place where a claim is shown."""
    links = [f"[{e.name}]({folder}experiments/{e.name}.md)" for e in measured(claim)]
    return ", ".join(links) or claim.shown


def table(claims: list[Claim], folder: str) -> str:
    """Table with a row for each claim."""
    lines = ["| | claim | published | where | measured |", "|---|---|---|---|---|"]
    lines += [
        f"| {c.name} | {cell(c.text)} | {linked(cell(c.published))} | {where(c, folder)} | {status(c)} |"
        for c in claims
    ]
    return "\n".join(lines)


def overview(introduction: str) -> str:
    """The table of all claims, by subject."""
    parts = [introduction.strip()]
    for letter, subject in TALKS.subjects.items():
        claims = [claim for name, claim in TALKS.claims.items() if name.startswith(letter)]
        parts += [f"## {subject}", table(claims, "")]
    return "\n\n".join(parts) + "\n"


def talk_page(talk: str, introduction: str) -> str:
    """A talk's claims, each with the command that measures it, its figure and its findings."""
    introduction = re.sub(r"\A# .*\n", "", introduction.lstrip()).strip()
    parts = [f"# {TALKS.titles[talk]}", introduction]
    shown: set[str] = set()
    for letter, subject in TALKS.subjects.items():
        claims = [c for name, c in TALKS.claims.items() if name.startswith(letter) and talk in c.talks]
        if not claims:
            continue
        parts.append(f"## {subject}")
        for claim in claims:
            parts += section(claim, shown)
    return "\n\n".join(filter(None, parts)) + "\n"


def section(claim: Claim, shown: set[str]) -> Iterator[str]:
    """One claim, with commands and figures of its experiments if they are not on the page yet."""
    source = f" ({linked(claim.published)})" if claim.published else ""
    yield f"**{claim.name}. {claim.text}**{source}"
    place = where(claim, "../")
    yield f"{status(claim)[:1].upper()}{status(claim)[1:]}" + (f" See {place}." if place else "")
    if outside := [f for f in findings_of(claim) if not f["agrees"]]:
        lines = [f"- {cell(f['quantity'])}: {number(f)}, expected {band(f)}" for f in outside]
        yield "Outside the band:\n\n" + "\n".join(lines)
    for experiment in measured(claim):
        if experiment.name in shown:
            continue
        shown.add(experiment.name)
        yield f"```bash\nsymnets sweep {experiment.name}\n```"
        if (DOCS / "experiments" / f"{experiment.name}.png").exists():
            yield re.sub(r"\]\((\w+\.(png|md))", r"](../experiments/\1", figure_of(experiment))


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the page of all claims, and an empty page for each talk that has no introduction."""
    for uri in (INDEX, *(f"talks/{talk}.md" for talk in TALKS.titles)):
        if files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, content=""))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Complete the page of all claims or of a talk, after its introduction."""
    if page.file.src_uri == INDEX:
        return overview(markdown)
    folder, _, name = page.file.src_uri.removesuffix(".md").partition("/")
    return talk_page(name, markdown) if folder == "talks" else markdown


def on_config(config: MkDocsConfig) -> None:
    """Clear the caches: findings may have changed since the last build of `mkdocs serve`."""
    names.cache_clear()
    all_experiments.cache_clear()
