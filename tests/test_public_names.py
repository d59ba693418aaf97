"""Public names of symnets: one import path, a docstring that makes sense alone, one page of the reference."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "symnets"
SUBPACKAGES = {
    ".".join(stub.parent.relative_to(ROOT).parts): stub
    for stub in sorted(PACKAGE.rglob("__init__.pyi"))
    if stub.parent != PACKAGE
}
MODULES = [f"symnets.{path.stem}" for path in sorted(PACKAGE.glob("[a-z]*.py"))]
STATEMENT = re.compile(r"(?!Of |Those |Whatever |What |That )\S.*[.:]")
WITHOUT_STUB = {"symnets.experiments"}  # its modules are its public names


def public_names(module: str) -> list[str]:
    """Names that a subpackage lists, or functions and classes that a module at the top defines."""
    imported = importlib.import_module(module)
    if module in SUBPACKAGES:
        return list(imported.__all__)
    members = vars(imported).items()
    return [n for n, m in members if n[0] != "_" and getattr(m, "__module__", None) == module and callable(m)]


def directives() -> list[str]:
    """Modules that pages of the reference show."""
    pages = sorted((ROOT / "docs" / "api").glob("*.md"))
    return [
        name for page in pages for name in re.findall(r"^::: (\S+)", page.read_text("utf-8"), re.MULTILINE)
    ]


def test_every_subpackage_has_a_stub() -> None:
    subpackages = {f"symnets.{path.parent.name}" for path in PACKAGE.glob("*/__init__.py")}
    assert subpackages - WITHOUT_STUB <= set(SUBPACKAGES)


@pytest.mark.parametrize("subpackage", SUBPACKAGES)
def test_stub_lists_what_it_imports(subpackage: str) -> None:
    tree = ast.parse(SUBPACKAGES[subpackage].read_text("utf-8"))
    imported = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(imported) == sorted(public_names(subpackage))
    assert len(set(imported)) == len(imported)


@pytest.mark.parametrize("module", [*SUBPACKAGES, *MODULES])
def test_docstrings_of_public_names_make_sense_alone(module: str) -> None:
    """The first line of a docstring is a statement: it ends with a period and does not start with "Of"."""
    wrong = []
    for name in public_names(module):
        member = getattr(importlib.import_module(module), name)
        if inspect.isclass(member) or inspect.isfunction(member):
            first = (inspect.getdoc(member) or "").partition("\n")[0]
            if not STATEMENT.fullmatch(first) or first.startswith(f"{name}("):
                wrong.append(f"{name}: {first!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("subpackage", SUBPACKAGES)
def test_no_module_is_shadowed_by_a_public_name(subpackage: str) -> None:
    folder = SUBPACKAGES[subpackage].parent
    inside = {Path(*name.split(".")).name for name in SUBPACKAGES if name.startswith(f"{subpackage}.")}
    for name in set(public_names(subpackage)) - inside:
        assert not (folder / f"{name}.py").exists()
        assert not (folder / name).is_dir()


def test_every_module_is_on_one_page_of_the_reference() -> None:
    assert sorted(directives()) == sorted([*SUBPACKAGES, *MODULES])


def test_navigation_has_every_page_of_the_reference() -> None:
    nav = (ROOT / "mkdocs.yml").read_text("utf-8")
    index = (ROOT / "docs" / "api" / "index.md").read_text("utf-8")
    for page in sorted((ROOT / "docs" / "api").glob("*.md")):
        assert f" api/{page.name}\n" in nav
        assert page.name == "index.md" or f"({page.name})" in index


def test_documentation_uses_public_paths_only() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    pages += [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.*")]
    private = re.compile(r"\bsymnets(?:\.[A-Za-z]\w*)*\._[a-z]\w*")
    found = {
        str(page.relative_to(ROOT)): paths
        for page in pages
        if page.suffix in (".md", ".py", ".yaml") and (paths := private.findall(page.read_text("utf-8")))
    }
    assert not found


def test_subpackages_import_public_names_of_each_other() -> None:
    """Underscore modules are imported within their own subpackage only."""
    for path in sorted(PACKAGE.rglob("*.py")):
        own, source = path.relative_to(PACKAGE).parts[0], path.read_text("utf-8")
        if not re.search(r"from symnets\.[\w.]*\._", source):  # few files are parsed
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("symnets."):
                _, subpackage, *inner = str(node.module).split(".")
                assert subpackage == own or not any(part.startswith("_") for part in inner), (
                    f"{path}: {node.module}"
                )
