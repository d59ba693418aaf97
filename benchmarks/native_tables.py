"""Tables of docs/benchmarks.md on potentials as native functions, and on foundation models."""

from collections.abc import Callable

Table = tuple[list[str], list[list[str]]]
"""Head and rows."""


def steps(document: dict, kind: str) -> Table:
    """Calls ("call") or steps of molecular dynamics ("step"), as a native function and by torch."""
    head = ["model", "system", "atoms, edges", "native, ms", "torch, ms", "torch / native"]
    head += ["native, 2 threads, ms", "1 thread / 2, native", "torch, 2 threads, ms"]
    rows = []
    for row in document["rows"]:
        if row["part"] != "steps" or kind not in row:
            continue
        times, ratios = row[kind], row[f"{kind}_ratios"]
        rows.append(
            [
                f"`{row['model']}`",
                row["system"],
                f"{row['atoms']}, {row['edges']:,}",
                digits(times["native@1"]),
                digits(times["torch@1"]),
                f"**{digits(ratios['torch@1 / native@1'])}**",
                digits(times.get("native@2")),
                digits(ratios.get("native@1 / native@2")),
                digits(times.get("torch@2")),
            ]
        )
    return head, rows


def peers(document: dict, _: str) -> Table:
    """Calls next to those of other packages, and memory."""
    head = ["model", "system", "threads", "program", "ms", "/ native", "memory above start, MB", "peak, MB"]
    rows = []
    for row in document["rows"]:
        if row["part"] != "peers":
            continue
        native = next(name for name in row if name.startswith("symnets:native"))
        for name, entry in row.items():
            if not isinstance(entry, dict) or name == "ratios":
                continue
            case = [f"`{row['model']}`", row["system"], str(row["threads"]), f"`{name.partition('@')[0]}`"]
            if "failed" in entry:
                rows.append([*case, f"failed: {entry['failed'][:80]}", "-", "-", "-"])
                continue
            ratio = row["ratios"].get(f"{name} / {native}")
            shown = "-" if ratio is None else f"**{digits(ratio)}**"
            memory = [f"{entry[key]:,}" for key in ("above_start_mb", "peak_mb")]
            rows.append([*case, digits(entry["ms"]), shown, *memory])
    return head, rows


def exports(document: dict, _: str) -> Table:
    """Export of each kind of model."""
    head = ["model", "export, s", "library, MB", "first call in Python, s"]
    rows = [
        [f"`{row['model']}`", *(digits(row[key]) for key in ("export_s", "library_mb", "first_call_s"))]
        for row in document["rows"]
        if row["part"] == "export"
    ]
    return head, rows


def foundation(document: dict, _: str) -> Table:
    """Published models, and models converted from mace-torch, next to their own programs."""
    head = ["model", "system", "atoms, edges", "program", "ms", "/ compiled", "first call, s", "peak, MB"]
    rows = []
    for row in document["rows"]:
        for name, entry in row.items():
            if not isinstance(entry, dict) or "ms" not in entry:
                continue
            ratio = row["ratios"].get(f"{name} / symnets:compiled")
            rows.append(
                [
                    row.get("model", document.get("model", "")),
                    row["system"],
                    f"{row['atoms']}, {row['edges']:,}",
                    f"`{name}`",
                    digits(entry["ms"]),
                    "-" if ratio is None else f"**{digits(ratio)}**",
                    digits(entry["first_call_s"]),
                    f"{entry['peak_mb']:,}",
                ]
            )
    return head, rows


def finetuning(document: dict, _: str) -> Table:
    """Errors after fine-tuning and after training from scratch for the same time."""
    head = ["run", "steps", "test set", "forces, meV/Å", "energy, meV/atom", "forgotten forces, meV/Å"]
    rows = []
    for name, run in document["runs"].items():
        lost = ((run.get("report") or {}).get("replay_test") or {}).get("fine-tuned")
        for test, errors in run["errors"].items():
            forces, energy = (1000 * errors[kind]["rmse"] for kind in ("forces", "energy_per_atom"))
            forgotten = "-" if lost is None else digits(1000 * lost["forces"]["rmse"])
            rows.append(
                [f"`{name}`", str(run.get("steps", "-")), test, digits(forces), digits(energy), forgotten]
            )
    return head, rows


def roofline(document: dict, model: str) -> Table:
    """Time and work of the operations of a model's native function."""
    row = next(r for r in document["rows"] if r["model"] == model)
    head = ["operation", "number", "ms", "GFLOP", "MB", "GFLOP/s", "share of the GEMM's rate", "limit, ms"]
    rows = [
        [
            f"`{name}`" if name != "all" else name,
            str(entry["operations"]),
            digits(entry["ms"]),
            digits(entry["gflop"]),
            digits(entry["mb"]),
            digits(entry["gflop_s"]),
            f"{100 * entry['share']:.0f} %",
            digits(entry["limit_ms"]),
        ]
        for name, entry in ({"all": row["all"]} | row["kinds"]).items()
        if entry["ms"] >= 0.005 * row["all"]["ms"]
    ]
    return head, rows


def digits(value: float | None) -> str:
    """Number with three digits, "-" for None."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{float(f'{value:.3g}'):,}"


NATIVE_TABLES: dict[str, Callable[[dict, str], Table]] = {
    "native_steps": steps,
    "native_peers": peers,
    "native_export": exports,
    "native_roofline": roofline,
    "foundation_nequix": foundation,
    "foundation_mace": foundation,
    "finetune": finetuning,
}
