"""Tables of docs/benchmarks_gpu.md from the gpu.json of run.sh; `benchmarks/tables.py` writes them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Cells = tuple[Sequence[str], Iterable[Sequence[object]]]
"""Head and rows of a table."""
CONTESTANTS = ("plain", "e3nn", "cuequivariance", "compiled")


def digits(value: float | None, n: int = 3) -> str:
    """Number with a given number of significant digits; "-" for None."""
    if value is None:
        return "-"
    if abs(value) >= 10**n:
        return f"{value:,.0f}"
    return f"{value:.{n}g}"


def rows_of(document: dict, stage: str) -> list[dict[str, Any]]:
    """Rows of a stage."""
    return document["stages"].get(stage, {}).get("rows", [])


def environment(document: dict, _: str) -> Cells:
    """Machine and versions of packages."""
    found = document["environment"] or {}
    rates = next((row for row in rows_of(document, "device_tests") if row.get("part") == "rates"), {})
    rehearsal = {"rehearsal": "these are not results"} if document["rehearsal"] else {}
    cells = rehearsal | found | {name: value for name, value in rates.items() if name != "part"}
    return ("", ""), [(name, f"{value}") for name, value in cells.items()]


def stages(document: dict, _: str) -> Cells:
    """How each stage ended."""
    head = ("stage", "ended", "seconds", "rows", "failed", "refused", "skipped for time")
    rows = []
    for name, found in document["stages"].items():
        measured = found.get("rows", [])
        counts = [sum(key in row for row in measured) for key in ("failed", "refused", "skipped")]
        rows.append((name, found["ended"], digits(found["wall_s"]), len(measured), *counts))
    return head, rows


def tests(document: dict, _: str) -> Cells:
    """Outcomes of `pytest -m cuda`, and failed tests with the end of their messages."""
    counts = document["stages"].get("device_tests", {}).get("tests", {})
    rows: list[Sequence[object]] = [(outcome, n) for outcome, n in counts.items()]
    for row in rows_of(document, "device_tests"):
        if row.get("outcome") in ("failed", "error"):
            lines = [line for line in row["message"].splitlines() if line.startswith("E ")]
            message = (lines or row["message"].splitlines() or [""])[0].removeprefix("E").strip()
            rows.append((f"`{row['test']}`", message[:160].replace("|", "\\|")))
    return ("outcome", ""), rows


def force_field(document: dict, architecture: str) -> Cells:
    """Milliseconds of all implementations and memory of two, for each size, dtype and mode."""
    found: dict[tuple[str, int, str], dict[str, dict]] = {}
    for row in rows_of(document, "force_field"):
        if row.get("architecture") == architecture and "atoms" in row:
            found.setdefault((row["dtype"], row["atoms"], row["mode"]), {})[row["contestant"]] = row
    times = [f"{name}, ms" for name in CONTESTANTS]
    head = ["dtype", "atoms", "", *times, "e3nn / plain", "plain, GB", "e3nn, GB", "energies differ by"]
    rows = []
    for key in sorted(found, key=lambda key: (key[0], key[2], key[1])):
        by = found[key]
        plain, e3nn = by.get("plain", {}), by.get("e3nn", {})
        ratio = e3nn["ms"] / plain["ms"] if "ms" in plain and "ms" in e3nn else None
        memory = [row.get("peak_mb") and row["peak_mb"] / 1000 for row in (plain, e3nn)]
        worst = max(
            (row["energy_difference"] for row in by.values() if "energy_difference" in row), default=None
        )
        dtype, atoms, mode = key
        cells = [time_or_reason(by.get(name, {})) for name in CONTESTANTS]
        rows.append((dtype, f"{atoms:,}", mode, *cells, *map(digits, (ratio, *memory, worst))))
    return head, rows


def time_or_reason(row: dict) -> str:
    """Median time, or the reason why there is none."""
    if "ms" in row:
        return digits(row["ms"])
    reasons = {
        "out_of_memory": "out of memory",
        "refused": "refused",
        "failed": "failed",
        "skipped": "no time",
    }
    return next((words for key, words in reasons.items() if key in row), "-")


def stability(document: dict, data: str) -> Cells:
    """Nets of a data set in the order of R, compared with the published law."""
    rows = [row for row in rows_of(document, "stability") if row.get("data") == data and "R" in row]
    rows.sort(key=lambda row: row["R"] or 0.0)
    head = ("net", "parameters", "epochs", "training error", "test error", "R", "0.2 √R", "R at the start")
    return head, [
        (
            row["net"] + ("" if row["verdict"] == "DONE" else f" ({row['verdict']})"),
            f"{row['n_params']:,}",
            digits(row["epochs"]),
            digits(row["train_error"]),
            digits(row["test_error"]),
            digits(row["R"]),
            digits(row["R"] and 0.2 * row["R"] ** 0.5),
            digits(row.get("R_init")),
        )
        for row in rows
    ]


def law(document: dict, _: str) -> Cells:
    """Fit of ε = A R^a for each data set."""
    head = (
        "images",
        "nets",
        "A (published 0.2)",
        "a (published 0.5)",
        "correlation of log R and log ε",
        "ε / 0.2 √R",
    )
    rows = []
    for found in document["stages"].get("stability", {}).get("law", []):
        for chosen in [name for name in ("all", "R_below_1") if name in found]:
            fit = found[chosen]
            rows.append(
                (
                    found["data"] + ("" if chosen == "all" else ", R < 1"),
                    fit["nets"],
                    f"{digits(fit['prefactor'])} ± {digits(fit['prefactor_error'], 2)}",
                    f"{digits(fit['exponent'])} ± {digits(fit['exponent_error'], 2)}",
                    digits(fit["correlation_of_logs"]),
                    digits(fit["error_over_published_law"]),
                )
            )
    return head, rows


def jamming_speed(document: dict, _: str) -> Cells:
    """Steps a second against the number of members."""
    head = ("members", "dtype", "steps per second", "members' steps per second", "hours for 10⁶ steps")
    return head, [
        (
            row["members"],
            row["dtype"],
            digits(row["steps_per_second"]),
            digits(row["member_steps_per_second"]),
            digits(row["hours_for_1e6_steps"]),
        )
        for row in rows_of(document, "jamming")
        if row.get("measured") == "speed" and "steps_per_second" in row
    ]


def jamming(document: dict, _: str) -> Cells:
    """Verdicts and unsatisfied patterns against P/N."""
    by_ratio = document["stages"].get("jamming", {}).get("summary", {}).get("by_ratio", {})
    return ("P/N", "verdicts", "N_Δ/N", "steps"), [
        (
            ratio,
            ", ".join(found["verdicts"]),
            ", ".join(map(digits, found["unsatisfied_per_weight"])),
            ", ".join(map(digits, found["steps"])),
        )
        for ratio, found in by_ratio.items()
    ]


def findings(document: dict, stage: str) -> Cells:
    """Published and measured findings."""
    return ("quantity", "published", "measured", "agree"), [
        (
            found["quantity"].replace("|", "\\|"),
            found["published"],
            digits(found["measured"]) + (f" ± {digits(found['error'], 2)}" if found["error"] else ""),
            ("yes" if found["agrees"] else "no") + f", {found['band'][0]} to {found['band'][1]}",
        )
        for found in document["stages"].get(stage, {}).get("findings", [])
    ]


TABLES: dict[str, Callable[[dict, str], Cells]] = {
    "gpu_environment": environment,
    "gpu_stages": stages,
    "gpu_tests": tests,
    "gpu_force_field": force_field,
    "gpu_stability": stability,
    "gpu_law": law,
    "gpu_jamming_speed": jamming_speed,
    "gpu_jamming": jamming,
    "gpu_findings": findings,
}
