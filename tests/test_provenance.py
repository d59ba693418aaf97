"""Results know with what they were made."""

import re

import torch

from symnets import __version__, provenance


def test_versions_and_commit_are_those_in_use():
    found = provenance.provenance()
    assert found["symnets"] == __version__
    assert found["torch"] == torch.__version__.partition("+")[0] or found["torch"] == torch.__version__
    assert found["commit"] is None or re.fullmatch(r"[0-9a-f]{40}\+?", found["commit"])


def test_an_installed_package_has_no_commit(tmp_path, monkeypatch):
    inside = tmp_path / "site-packages" / "symnets" / "experiments"
    inside.mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(inside / "provenance.py"))
    assert provenance._commit() is None


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package-anywhere"))
    provenance.provenance.cache_clear()
    try:
        assert provenance.provenance()["no-such-package-anywhere"] is None
    finally:
        provenance.provenance.cache_clear()
