"""docs/models.md: a table and a drawing of all networks, from their docstrings and from measurements.

Made when the docs are built, from `benchmarks/results/models.json`, which `benchmarks/models.py` writes.
"""

import inspect
import json
import re

from hooks import RESULTS, cell
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

import symnets.models as models

PAGE = "models.md"


def docstring(name: str) -> str:
    """Docstring of a network."""
    return inspect.getdoc(getattr(models, name)) or ""


def paper(name: str) -> str:
    """The paper that the docstring gives as source, or nothing."""
    found = re.search(r"^Sources?(?: of [^:]*)?: (.*?)(?:\n\n|\Z)", docstring(name), re.DOTALL | re.MULTILINE)
    text = cell(" ".join(found[1].split())) if found else ""
    return re.sub(r"arXiv:(\d{4}\.\d{5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def time(row: dict) -> str:
    """Time of one unit of the input."""
    return f"{row['us_per_unit']:.3g} µs per {row['unit']}"


def section(row: dict) -> str:
    """Section of a network: the first paragraph of its docstring, and its drawing."""
    name = row["name"]
    first = docstring(name).split("\n\n")[0]
    link = f"api/models.md#symnets.models.{name}"
    return (
        f"### {name}\n\n[`{name}`]({link}): {first}\n\n![{name}: layers in order](images/models/{name}.svg)"
    )


def models_page(introduction: str) -> str:
    """The introduction, then tables and drawings of the networks, grouped by their inputs."""
    rows = json.loads((RESULTS / "models.json").read_text("utf-8"))["rows"]
    parts = [introduction.strip()]
    for inputs in dict.fromkeys(row["inputs"] for row in rows):
        mine = [row for row in rows if row["inputs"] == inputs]
        lines = ["| | output | invariant under | weights | time | paper |", "|---|---|---|---|---|---|"]
        lines += [
            f"| [{row['name']}](#{row['name'].lower()}) | {row['outputs']} | "
            f"{', '.join(row['symmetries']) or 'nothing'} | {row['n_params']:,} | {time(row)} | "
            f"{paper(row['name'])} |"
            for row in mine
        ]
        parts += [f"## From {inputs}", "\n".join(lines), *map(section, mine)]
    return "\n\n".join(parts) + "\n"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Complete the page of networks."""
    return models_page(markdown) if page.file.src_uri == PAGE else markdown
