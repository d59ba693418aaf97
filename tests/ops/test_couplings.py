"""Clebsch-Gordan coefficients: those of e3nn 0.6, under every release of e3nn."""

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from e3nn import o3

import symnets
from symnets.ops import release_sign, wigner_3j

TRIPLES = [(a, b, c) for a in range(5) for b in range(5) for c in range(abs(a - b), min(a + b, 4) + 1)]
NEGATIVE = {(1, 2, 2), (1, 3, 3), (1, 4, 4)}
"""Sorted triples of odd sum with a negative first entry (in memory's order) in e3nn 0.6."""


@pytest.mark.parametrize("degrees", TRIPLES)
def test_coefficients_are_those_of_e3nn_up_to_its_sign(degrees: tuple[int, int, int]) -> None:
    theirs = o3.wigner_3j(*degrees, dtype=torch.float64)
    torch.testing.assert_close(wigner_3j(*degrees), theirs * release_sign(*degrees), rtol=0, atol=0)
    if not version("e3nn").startswith("0.4"):
        assert release_sign(*degrees) == 1


def test_signs_do_not_depend_on_the_release() -> None:
    """The sign of even sums is the one with a positive entry of m = 0; those of odd sums are listed."""
    for degrees in TRIPLES:
        values = wigner_3j(*degrees)
        if sum(degrees) % 2 == 0:
            assert values[degrees] > 0
        elif list(degrees) == sorted(degrees):
            first = values.flatten()[values.flatten().abs() > 1e-10][0]
            assert (first < 0) == (degrees in NEGATIVE), degrees
        torch.testing.assert_close(values, wigner_3j(*degrees[1:], degrees[0]).permute(2, 0, 1))


def test_all_layers_use_these_coefficients() -> None:
    """With those of `o3` the energies of a model file would depend on the release of e3nn."""
    package = Path(symnets.__file__).parent
    sources = {path.relative_to(package).as_posix(): path.read_text() for path in package.rglob("*.py")}
    users = [
        name
        for name, source in sources.items()
        if "wigner_3j" in source  # few files are parsed
        and any(isinstance(n, ast.Attribute) and n.attr == "wigner_3j" for n in ast.walk(ast.parse(source)))
    ]
    assert users == ["ops/_couplings.py"]


def test_constants_of_old_releases_may_be_read_when_e3nn_is_imported() -> None:
    """e3nn 0.4.4 reads them by `torch.load`; symnets alone does not import torch for it."""
    script = (
        "import sys, symnets; assert 'torch' not in sys.modules; import e3nn, torch;"
        "assert slice in torch.serialization.get_safe_globals()"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)
