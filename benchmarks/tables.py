"""The tables of docs/benchmarks_force_fields.md and docs/benchmarks_gpu.md, from results/*.json.

    python benchmarks/tables.py            # prints those of the first page
    python benchmarks/tables.py --write    # puts them into the page, between its marks
    python benchmarks/tables.py --write --page docs/benchmarks_gpu.md

A mark is a line `<!-- table: NAME -->`; the table ends with `<!-- end -->`.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import tyro
from gpu.page import TABLES as GPU_TABLES

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks_force_fields.md"
ORDERS = {"forward": "forward", "backward": "with gradient", "double": "with second gradient"}
NAMES = {"given": "given", "mlp": "8-64-64-704"}


def main(*, results: Path = HERE / "results", page: Path = PAGE, write: bool = False) -> None:
    """Prints or writes the tables that the page has marks for.

    Args:
        results: where the JSON files are.
        page: the page with the marks.
        write: put the tables into the page.
    """
    text = page.read_text("utf-8")
    mark = re.compile(r"(<!-- table: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

    def fill(found: re.Match[str]) -> str:
        head, name, before, end = found.groups()
        kind, _, argument = name.partition(":")
        path = results / f"{FILES[kind]}.json"
        if not path.exists():
            return head + before + end
        document = json.loads(path.read_text("utf-8"))
        if kind in GPU_TABLES:
            filled = table(*GPU_TABLES[kind](document, argument))
        else:
            filled = TABLES[kind](document, argument, results)
        return f"{head}\n{filled}\n\n{end}"

    filled = mark.sub(fill, text)
    if write:
        page.write_text(filled, "utf-8")
    else:
        print("\n\n".join(found[0] + found[2] for found in mark.findall(filled)))


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int = 3) -> str:
    """So many digits, without an exponent."""
    if value is None:
        return "-"
    if isinstance(value, int) or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{float(f'{value:.{digits}g}'):,}"


def force_field(document: dict, case: str, _: Path) -> str:
    """Everybody of a case, a row each."""
    rows = []
    for row in [r for r in document["rows"] if r.get("case") == case]:
        for name, found in contestants(row).items():
            if "failed" in found:
                rows.append([row["system"], f"`{name}`", f"failed: {found['failed'][:80]}", *["-"] * 7])
                continue
            ratios = [row["ratios"].get(f"{name} / {ours}") for ours in ("symnets", "symnets:compiled")]
            if case == "threads":
                one = name.partition("@")[0] + "@1"
                ratios = [row["ratios"].get(f"{one} / {name}")] if name != one else [None]
            rows.append(
                [
                    row["system"],
                    f"`{name}`",
                    number(found["ms"]),
                    *(f"**{number(ratio)}**" if ratio else "-" for ratio in ratios),
                    number(found.get("build_s")),
                    f"{number(found['first_call_s'])} / {number(found.get('first_call_cached_s'))}",
                    number(found.get("above_start_mb")),
                    number(found["peak_mb"]),
                    number(found.get("parameters"), 9),
                ]
            )
    compared = ["one thread / two"] if case == "threads" else ["/ symnets", "/ compiled symnets"]
    memory = ["memory above start, MB", "peak, MB"]
    head = [
        "system",
        "who",
        "ms",
        *compared,
        "build, s",
        "first call, s (new / cached)",
        *memory,
        "parameters",
    ]
    return table(head, rows)


def contestants(row: dict) -> dict[str, dict]:
    """Entries of a row that are of contestants."""
    return {k: v for k, v in row.items() if isinstance(v, dict) and k != "ratios"}


def scaling(document: dict, sweep: str, _: Path) -> str:
    """Time and memory along a sweep."""
    rows = [r for r in document["rows"] if r["sweep"] == sweep]
    who = ("symnets", "symnets:compiled", "nequip")
    per_atom = sweep == "atoms"
    time, memory = ("us_per_atom", "kb_per_atom") if per_atom else ("ms", "above_start_mb")
    units = ("µs an atom", "kB an atom") if per_atom else ("ms", "MB")
    head = [sweep, *(f"{name}, {unit}" for unit in units for name in who), "nequip / symnets"]
    return table(
        head,
        (
            [
                number(row[sweep], 9),
                *(number(row.get(name, {}).get(key)) for key in (time, memory) for name in who),
                number(row["ratios"].get("nequip / symnets")),
            ]
            for row in rows
        ),
    )


def convolution(document: dict, _: str, __: Path) -> str:
    """symnets and e3nn in one process."""
    head = ["weights", "", "threads", "symnets, ms", "e3nn, ms", "e3nn / symnets", "quartiles"]
    return table(
        head,
        (
            [
                NAMES[r["weights"]],
                ORDERS[r["order"]],
                r["threads"],
                number(r["symnets_ms"]),
                number(r["e3nn_ms"]),
                f"**{number(r['ratio'])}**",
                " to ".join(number(q) for q in r["ratio_quartiles"]),
            ]
            for r in document["rows"]
            if r["part"] == "convolution"
        ),
    )


def memory(document: dict, _: str, __: Path) -> str:
    """Each in processes of its own."""
    who = ("symnets", "e3nn", "cuequivariance")
    head = ["weights", "", *(f"{name}, MB" for name in who), "e3nn / symnets"]
    return table(
        head,
        (
            [
                NAMES[r["weights"]],
                ORDERS[r["order"]],
                *(number(r.get(name, {}).get("growth_mb")) for name in who),
                f"**{number(r['memory_ratio'])}**",
            ]
            for r in document["rows"]
            if r["part"] == "memory"
        ),
    )


def turns(document: dict, _: str, __: Path) -> str:
    """Times and first calls of those who ran in processes of their own."""
    head = ["weights", "", "who", "ms", "/ symnets", "first call, s (new / cached)"]
    return table(
        head,
        (
            [
                NAMES[r["weights"]],
                ORDERS[r["order"]],
                f"`{name}`",
                number(found["ms"]),
                number(r["ratios"].get(f"{name} / symnets")),
                f"{number(found['first_call_s'])} / {number(found.get('first_call_cached_s'))}",
            ]
            for r in document["rows"]
            if r["part"] == "memory"
            for name, found in contestants(r).items()
            if "ms" in found
        ),
    )


def harmonics(document: dict, _: str, __: Path) -> str:
    """Spherical harmonics."""
    return table(
        ["l up to", "", "threads", "symnets, ms", "e3nn, ms", "e3nn / symnets"],
        (
            [
                r["lmax"],
                ORDERS[r["order"]],
                r["threads"],
                *(number(r[key]) for key in ("symnets_ms", "e3nn_ms", "ratio")),
            ]
            for r in document["rows"]
            if r["part"] == "harmonics"
        ),
    )


def contraction(document: dict, _: str, __: Path) -> str:
    """MACE's symmetric contraction."""
    return table(
        ["", "who", "ms", "/ symnets", "memory, growth, MB"],
        (
            [
                ORDERS[r["order"]],
                f"`{name}`",
                number(found["ms"]),
                number(r["ratios"].get(f"{name} / symnets")),
                number(found["growth_mb"]),
            ]
            for r in document["rows"]
            if r["part"] == "contraction"
            for name, found in contestants(r).items()
            if "ms" in found
        ),
    )


def limits(document: dict, _: str, __: Path) -> str:
    """The machine's."""
    names = {
        "gemm_float32_gflops": "matrix product 2,048³, float32, GFLOP/s",
        "gemm_float64_gflops": "the same, float64, GFLOP/s",
        "skinny_gemm_float32_gflops": "matrix product 20,000 x 64 x 704, float32, GFLOP/s",
        "copy_gb_s": "copy, read and written, GB/s",
        "gather_ms": "gather of 20,000 rows of 576, ms",
        "index_add_ms": "sum of 20,000 rows of 2,240 into 500, ms",
    }
    found = document["limits"]
    head = ["", *(f"{limit['threads']} thread{'s' * (limit['threads'] > 1)}" for limit in found)]
    return table(head, ([name, *(number(limit[key]) for limit in found)] for key, name in names.items()))


def fraction(document: dict, _: str, results: Path) -> str:
    """What part of the limit the product with given weights reaches."""
    measured = json.loads((results / "ops.json").read_text("utf-8"))["rows"]
    limit = next(found for found in document["limits"] if found["threads"] == 1)
    rows = []
    for order in ("forward", "backward"):
        least = document["product"][order]
        compute = 1000 * least["gflop"] / limit["gemm_float32_gflops"]
        transfer = least["mb"] / limit["copy_gb_s"]
        time = next(
            r
            for r in measured
            if r["part"] == "convolution" and (r["weights"], r["order"], r["threads"]) == ("given", order, 1)
        )
        bound = max(compute, transfer)
        share = [f"{100 * bound / time[key]:.1f} %" for key in ("symnets_ms", "e3nn_ms")]
        needed = [number(least["gflop"]), number(least["mb"])]
        rows.append([ORDERS[order], *needed, number(compute), number(transfer), *share])
    at = ["at the GEMM's rate, ms", "at the copy's rate, ms"]
    return table(["", "GFLOP", "MB", *at, "symnets reaches", "e3nn reaches"], rows)


def where(document: dict, _: str, __: Path) -> str:
    """Parts of the time."""
    parts = list(document["rows"][0]["parts_ms"])
    head = ["", "ms", "ms, profiled", *parts]
    return table(
        head,
        (
            [
                row["case"],
                number(row["ms"]),
                number(row["profiled_ms"]),
                *(f"{100 * row['parts_ms'][part] / row['profiled_ms']:.0f} %" for part in parts),
            ]
            for row in document["rows"]
        ),
    )


TABLES: dict[str, Callable[[dict, str, Path], str]] = {
    "force_field": force_field,
    "scaling": scaling,
    "convolution": convolution,
    "memory": memory,
    "turns": turns,
    "harmonics": harmonics,
    "contraction": contraction,
    "limits": limits,
    "fraction": fraction,
    "where": where,
}
FILES = dict.fromkeys(("convolution", "memory", "turns", "harmonics", "contraction"), "ops")
FILES |= {"force_field": "force_field", "scaling": "scaling", "limits": "roofline", "fraction": "roofline"}
FILES |= {"where": "where_time_goes"}
FILES |= dict.fromkeys(GPU_TABLES, "gpu")


if __name__ == "__main__":
    tyro.cli(main)
