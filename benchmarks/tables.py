"""Tables of the pages docs/benchmarks*.md, from results/*.json.

    python benchmarks/tables.py            # print the tables of the first page
    python benchmarks/tables.py --write    # write them into the page, between its marks
    python benchmarks/tables.py --write --page docs/benchmarks_gpu.md
    python benchmarks/tables.py --write --page docs/benchmarks.md

A mark is a line `<!-- table: NAME -->`; the table ends with `<!-- end -->`.
"""

import json
import re
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

import tyro
from gpu.page import TABLES as GPU_TABLES
from layer_tables import LAYER_TABLES
from native_tables import NATIVE_TABLES

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks_force_fields.md"
ORDERS = {"forward": "forward", "backward": "with gradient", "double": "with second gradient"}
NAMES = {"given": "given", "mlp": "8-64-64-704"}


def main(*, results: Path = HERE / "results", page: Path = PAGE, write: bool = False) -> None:
    """Print or write the tables for which the page has marks.

    Args:
        results: folder of the JSON files.
        page: page with the marks.
        write: write the tables into the page.
    """
    text = page.read_text("utf-8")
    mark = re.compile(r"(<!-- table: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

    def fill(match: re.Match[str]) -> str:
        head, name, before, end = match.groups()
        kind, _, argument = name.partition(":")
        path = results / f"{FILES[kind]}.json"
        if not path.exists():
            return head + before + end
        document = json.loads(path.read_text("utf-8"))
        if kind in HEADS_AND_ROWS:
            filled = table(*HEADS_AND_ROWS[kind](document, argument))
        else:
            filled = TABLES[kind](document, argument, results)
        return f"{head}\n{filled}\n\n{end}"

    filled = mark.sub(fill, text)
    if write:
        page.write_text(filled, "utf-8")
    else:
        print("\n\n".join(groups[0] + groups[2] for groups in mark.findall(filled)))


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Table in Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int = 3) -> str:
    """Number with a given number of digits, without exponent; "-" for None."""
    if value is None:
        return "-"
    if isinstance(value, int) or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{float(f'{value:.{digits}g}'):,}"


def force_field(document: dict, case: str, _: Path) -> str:
    """Times and memory of a case, one row for each program."""
    rows = []
    for row in [r for r in document["rows"] if r.get("case") == case]:
        for name, entry in contestants(row).items():
            if "failed" in entry:
                rows.append([row["system"], f"`{name}`", f"failed: {entry['failed'][:80]}", *["-"] * 7])
                continue
            ratios = [row["ratios"].get(f"{name} / {ours}") for ours in ("symnets", "symnets:compiled")]
            if case == "threads":
                one = name.partition("@")[0] + "@1"
                ratios = [row["ratios"].get(f"{one} / {name}")] if name != one else [None]
            rows.append(
                [
                    row["system"],
                    f"`{name}`",
                    number(entry["ms"]),
                    *(f"**{number(ratio)}**" if ratio else "-" for ratio in ratios),
                    number(entry.get("build_s")),
                    f"{number(entry['first_call_s'])} / {number(entry.get('first_call_cached_s'))}",
                    number(entry.get("above_start_mb")),
                    number(entry["peak_mb"]),
                    number(entry.get("parameters"), 9),
                ]
            )
    compared = ["one thread / two"] if case == "threads" else ["/ symnets", "/ compiled symnets"]
    memory = ["memory above start, MB", "peak, MB"]
    head = [
        "system",
        "program",
        "ms",
        *compared,
        "build, s",
        "first call, s (new / cached)",
        *memory,
        "parameters",
    ]
    return table(head, rows)


def contestants(row: dict) -> dict[str, dict]:
    """Entries of a row by program."""
    return {k: v for k, v in row.items() if isinstance(v, dict) and k != "ratios"}


def scaling(document: dict, sweep: str, _: Path) -> str:
    """Time and memory along a sweep."""
    rows = [r for r in document["rows"] if r["sweep"] == sweep]
    programs = ("symnets", "symnets:compiled", "nequip")
    per_atom = sweep == "atoms"
    time, memory = ("us_per_atom", "kb_per_atom") if per_atom else ("ms", "above_start_mb")
    units = ("µs per atom", "kB per atom") if per_atom else ("ms", "MB")
    head = [sweep, *(f"{name}, {unit}" for unit in units for name in programs), "nequip / symnets"]
    return table(
        head,
        (
            [
                number(row[sweep], 9),
                *(number(row.get(name, {}).get(key)) for key in (time, memory) for name in programs),
                number(row["ratios"].get("nequip / symnets")),
            ]
            for row in rows
        ),
    )


def convolution(document: dict, _: str, __: Path) -> str:
    """Times of the tensor product by symnets and e3nn in one process."""
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
    """Memory of the tensor product, each in separate processes."""
    programs = ("symnets", "e3nn", "cuequivariance")
    head = ["weights", "", *(f"{name}, MB" for name in programs), "e3nn / symnets"]
    return table(
        head,
        (
            [
                NAMES[r["weights"]],
                ORDERS[r["order"]],
                *(number(r.get(name, {}).get("growth_mb")) for name in programs),
                f"**{number(r['memory_ratio'])}**",
            ]
            for r in document["rows"]
            if r["part"] == "memory"
        ),
    )


def turns(document: dict, _: str, __: Path) -> str:
    """Times and first calls of the tensor product, each in separate processes."""
    head = ["weights", "", "program", "ms", "/ symnets", "first call, s (new / cached)"]
    return table(
        head,
        (
            [
                NAMES[r["weights"]],
                ORDERS[r["order"]],
                f"`{name}`",
                number(entry["ms"]),
                number(r["ratios"].get(f"{name} / symnets")),
                f"{number(entry['first_call_s'])} / {number(entry.get('first_call_cached_s'))}",
            ]
            for r in document["rows"]
            if r["part"] == "memory"
            for name, entry in contestants(r).items()
            if "ms" in entry
        ),
    )


def contraction(document: dict, _: str, __: Path) -> str:
    """Times and memory of MACE's symmetric contraction."""
    return table(
        ["", "program", "ms", "/ symnets", "memory, growth, MB"],
        (
            [
                ORDERS[r["order"]],
                f"`{name}`",
                number(entry["ms"]),
                number(r["ratios"].get(f"{name} / symnets")),
                number(entry["growth_mb"]),
            ]
            for r in document["rows"]
            if r["part"] == "contraction"
            for name, entry in contestants(r).items()
            if "ms" in entry
        ),
    )


def limits(document: dict, _: str, __: Path) -> str:
    """Limits of the machine."""
    names = {
        "gemm_float32_gflops": "matrix product 2,048³, float32, GFLOP/s",
        "gemm_float64_gflops": "the same, float64, GFLOP/s",
        "skinny_gemm_float32_gflops": "matrix product 20,000 x 64 x 704, float32, GFLOP/s",
        "copy_gb_s": "copy, read and written, GB/s",
        "gather_ms": "gather of 20,000 rows of 576, ms",
        "index_add_ms": "sum of 20,000 rows of 2,240 into 500, ms",
    }
    columns = document["limits"]
    head = ["", *(f"{limit['threads']} thread{'s' * (limit['threads'] > 1)}" for limit in columns)]
    return table(head, ([name, *(number(limit[key]) for limit in columns)] for key, name in names.items()))


def fraction(document: dict, _: str, results: Path) -> str:
    """Fraction of the limit that the product with given weights reaches."""
    measured = json.loads((results / "ops.json").read_text("utf-8"))["rows"]
    limit = next(entry for entry in document["limits"] if entry["threads"] == 1)
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
    """Parts of the time of inference and training."""
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


def tangent(document: dict, _: str, __: Path) -> str:
    """Times of tangent kernels, beside those of other programs."""
    peers = ["torch.func", "neural-tangents", "nngeometry"]
    rows = []
    for row in document["rows"]:
        seconds = row["seconds"]
        own = statistics.median(seconds["symnets"] if isinstance(seconds, dict) else seconds)
        ratios = [number(row.get(f"{peer}_over_symnets")) for peer in peers]
        size = f"{row['points']:,} points, {row['case']}"
        threads = row["machine"]["threads"]
        rows.append([size, row["dtype"], threads, number(1000 * own), *ratios, number(row.get("growth_mb"))])
    head = ["case", "dtype", "threads", "symnets, ms", *(f"{peer} / symnets" for peer in peers), "growth, MB"]
    return table(head, rows)


def architectures(document: dict, _: str, __: Path) -> str:
    """Errors, size and time of potentials that were trained for the same time."""
    names = list(document["models"])
    models = document["models"].values()

    def errors(test: str, kind: str) -> list[str]:
        pairs = [model["errors_eV"][test][kind] for model in models]
        return [" / ".join(f"{1e3 * pair[key]:.2f}" for key in ("rmse", "mae")) for pair in pairs]

    last = [list(model["validation_forces_rmse_meV"].values())[-1] for model in models]
    rows = [
        ["300 K, forces, meV/Å", *errors("test_MD_300K", "forces")],
        ["300 K, energy, meV", *errors("test_MD_300K", "energy")],
        ["600 K, forces, meV/Å", *errors("test_MD_600K", "forces")],
        ["600 K, energy, meV", *errors("test_MD_600K", "energy")],
        ["validation, forces, meV/Å", *(f"{value:.2f}" for value in last)],
        ["parameters", *(number(model["parameters"], 9) for model in models)],
        ["ms per step", *(number(model["ms_per_step"]) for model in models)],
        ["steps", *(number(model["steps"], 9) for model in models)],
        ["minutes", *(f"{model['seconds'] / 60:.1f}" for model in models)],
    ]
    return table(["RMSE / MAE", *(f"`{name}`" for name in names)], rows)


TABLES: dict[str, Callable[[dict, str, Path], str]] = {
    "force_field": force_field,
    "scaling": scaling,
    "convolution": convolution,
    "memory": memory,
    "turns": turns,
    "contraction": contraction,
    "limits": limits,
    "fraction": fraction,
    "where": where,
    "tangent": tangent,
    "architectures": architectures,
}
FILES = dict.fromkeys(("convolution", "memory", "turns", "contraction"), "ops")
FILES |= {"force_field": "force_field", "scaling": "scaling", "limits": "roofline", "fraction": "roofline"}
FILES |= {"where": "where_time_goes", "tangent": "tangent", "architectures": "acac_models"}
FILES |= dict.fromkeys(GPU_TABLES, "gpu") | {name: name for name in LAYER_TABLES}
FILES |= {
    name: "native" if name in ("native_steps", "native_peers", "native_export") else name
    for name in NATIVE_TABLES
}
HEADS_AND_ROWS = GPU_TABLES | LAYER_TABLES | NATIVE_TABLES


if __name__ == "__main__":
    tyro.cli(main)
