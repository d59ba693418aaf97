"""Claims of talks: each counts the findings that concern it, and says why some do not agree."""

import re
import sys
from types import ModuleType

import pytest

from tests.experiments.test_conformance import ROOT, module_at


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    pytest.importorskip("mkdocs")
    sys.modules["hooks"] = module_at(ROOT / "docs" / "hooks.py")
    return module_at(ROOT / "docs" / "talk_hooks.py")


def test_every_finding_of_an_experiment_concerns_one_of_its_claims(pages: ModuleType) -> None:
    talks = pages.TALKS
    for experiment in pages.all_experiments():
        claims = [talks.claims[name] for name, mine in talks.measured_by.items() if experiment.name in mine]
        for finding in experiment.findings if claims else []:
            quantity = finding["quantity"]
            assert any(re.search(claim.findings, quantity) for claim in claims), (experiment.name, quantity)


def test_a_claim_has_findings_in_every_experiment_that_measures_it(pages: ModuleType) -> None:
    for claim in pages.TALKS.claims.values():
        for experiment in pages.measured(claim):
            own = [f for f in experiment.findings if re.search(claim.findings, f["quantity"])]
            assert own, (claim.name, experiment.name)


def test_claims_say_why_findings_do_not_agree_and_only_then(pages: ModuleType) -> None:
    for claim in pages.TALKS.claims.values():
        differs = not all(finding["agrees"] for finding in pages.findings_of(claim))
        assert bool(claim.why) == differs, claim.name
        assert not claim.why or claim.why.endswith(".")


def test_the_table_has_every_claim_once_with_its_status(pages: ModuleType) -> None:
    overview = pages.overview("# Claims\n")
    for claim in pages.TALKS.claims.values():
        (line,) = [line for line in overview.splitlines() if line.startswith(f"| {claim.name} |")]
        assert line.endswith(f"| {pages.status(claim)} |")
        assert claim.talks
        assert bool(claim.shown) + bool(claim.not_measured) + bool(pages.measured(claim)) == 1
        for experiment in pages.measured(claim):
            assert f"[{experiment.name}](experiments/{experiment.name}.md)" in line


def test_the_page_of_a_talk_has_commands_and_what_does_not_agree(pages: ModuleType) -> None:
    for talk, title in pages.TALKS.titles.items():
        page = pages.talk_page(talk, "# Notes\n\nIntroduction.\n")
        assert page.startswith(f"# {title}\n")
        assert all(f"symnets sweep {name}" in page for name in pages.TALKS.of(talk))
        for claim in pages.TALKS.claims.values():
            outside = [f for f in pages.findings_of(claim) if not f["agrees"]]
            lines = [f"- {pages.cell(f['quantity'])}: {pages.number(f)}, " for f in outside]
            assert talk not in claim.talks or all(line in page for line in lines)


@pytest.mark.parametrize(("agreeing", "expected"), [(0, "**not**"), (1, "in part"), (2, "reproduced")])
def test_a_claim_is_reproduced_if_all_findings_agree(
    pages: ModuleType, monkeypatch: pytest.MonkeyPatch, agreeing: int, expected: str
) -> None:
    claim = pages.TALKS.claims["A5"]
    monkeypatch.setattr(pages, "findings_of", lambda claim: [{"agrees": k < agreeing} for k in range(2)])
    assert pages.status(claim) == f"{expected}: {agreeing} of 2 findings agree."


def test_times_that_were_measured_beside_other_work_are_bounds(pages: ModuleType) -> None:
    text = sys.modules["hooks"].duration_on_two_cores
    assert text({"core_seconds": 130.0}) == ", about 60 s on two cores"
    assert text({"core_seconds": None, "core_seconds_at_most": 130.0}) == ", at most 2 min on two cores"
    assert text({"core_seconds": None}) == ""
