"""What does fine-tuning gain over training from scratch in the same time, and what is forgotten?

    python benchmarks/finetune.py --minutes 10                      # all runs, about 100 minutes
    python benchmarks/finetune.py ge20 ge20_replay --minutes 10     # some; results of the others are kept
    python benchmarks/finetune.py --table-only                      # print what is there

Germanium (mlearn_Ge, errors on its test file of 25 structures) with 20, 100 and all 228 labelled structures,
and acetylacetone (acac, errors on its test sets at 300 K and 600 K) with 50; a tenth of them is for
validation. Each training has the same time. Training from scratch uses NequIP of `examples/germanium.yaml`
and Muon. With replay, there is one generated structure, labelled by the foundation model, for each structure
of the data. Forgetting is the change of forces on 50 generated structures of all elements, on which no run is
trained. The data are in the folder SYMNETS_DATA.
"""

import json
import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import torch
import tyro
from machine import machine

from symnets.data import Loader, build_graphs, find_data, read_structures
from symnets.models import ForceField, foundation_model, load
from symnets.observables import errors, predictions
from symnets.potentials import (
    DataConfig,
    FinetuneConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
    fit_epochs,
    train,
)

RESULTS = Path(__file__).parent / "results" / "finetune.json"
FOUNDATION = "nequix-oam-1"
GE = {"stress_key": "virial_stress_raw", "stress_convention": "vasp"}
SCRATCH = ModelConfig("NequIP", cutoff=5.0, lmax=2, channels=16, layers=3, parity=False)
TESTS = {
    "ge": {"test": "mlearn_Ge/test.xyz"},
    "acac": {"300 K": "acac/test_MD_300K.xyz", "600 K": "acac/test_MD_600K.xyz"},
}
SIZES = {"ge20": 20, "ge100": 100, "ge228": 228, "acac50": 50}
RUNS = (
    *("ge_foundation", "ge20", "ge20_replay", "ge100", "ge100_replay"),
    *("ge20_scratch", "ge100_scratch", "ge228_scratch"),
    *("acac_foundation", "acac50", "acac50_replay"),
)


def configuration(name: str, folder: str, threads: int) -> TrainConfig:
    """The training of a run."""
    data, _, kind = name.partition("_")
    germanium = data.startswith("ge")
    n = SIZES[data]
    n_validation = max(n // 10, 2)
    config = TrainConfig(
        data=DataConfig(
            train="mlearn_Ge/train.xyz" if germanium else "acac/train_300K.xyz",
            n_train=n - n_validation,
            n_validation=n_validation,
            **(GE if germanium else {}),
        ),
        output=folder,
        loss=LossConfig(energy=10.0, forces=1.0, stress=100.0 if germanium else 0.0),
        threads=threads,
    )
    if kind == "scratch":
        optimizer = OptimizerConfig(method="Muon", learning_rate=0.01, batch_size=2)
        return replace(config, model=SCRATCH, optimizer=optimizer)
    finetune = FinetuneConfig(FOUNDATION, replay="generated" if kind == "replay" else None)
    # Structures of germanium have 64 atoms, those of acetylacetone 15.
    batch_size = (1 if germanium else 4) * (2 if kind == "replay" else 1)
    # With replay, a step has one structure of other elements, whose gradient differs from step to step: the
    # learning rates that are best without replay then make both errors worse.
    rate = 1e-4 if kind == "replay" else 3e-4 if germanium else 5e-4
    optimizer = OptimizerConfig(
        learning_rate=rate,
        batch_size=batch_size,
        warmup=20,
        average=0.99,
        clip_norm=10.0,
    )
    return replace(config, finetune=finetune, optimizer=optimizer)


def measured(model: ForceField, system: str) -> dict[str, dict]:
    """Errors on the test sets of a system, in eV and Å."""
    dtype = next(model.parameters()).dtype
    found = {}
    for name, file in TESTS[system].items():
        structures = read_structures(find_data(file), **(GE if system == "ge" else {}))
        graphs = build_graphs(structures, model.cutoff, dtype=dtype)
        found[name] = asdict(errors(predictions(model, Loader(graphs, 4))))
    return found


def run(name: str, minutes: float, threads: int) -> dict:
    """One run: train for a given time, then measure."""
    system = "ge" if name.startswith("ge") else "acac"
    torch.set_num_threads(threads)
    if name.endswith("_foundation"):
        return {"errors": measured(foundation_model(FOUNDATION), system)}
    folder = tempfile.mkdtemp()
    try:
        config = fit_epochs(configuration(name, folder, threads), minutes)
        state = train(config, summary=True)
        report = Path(folder) / "finetune.json"
        forgotten = json.loads(report.read_text("utf-8")) if report.exists() else None
        return {
            "minutes": minutes,
            "threads": threads,
            "steps": state.step,
            "seconds": round(state.seconds, 1),
            "reason": state.history.reason,
            "config": json.loads(json.dumps(asdict(config))),
            "errors": measured(load(Path(folder) / "model.safetensors", ForceField), system),
            "report": forgotten,
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def table(runs: dict[str, dict]) -> str:
    """Force errors of the runs in meV/Å, and what was forgotten."""
    lines = [f"{'run':<16}{'steps':>7}  {'forces RMSE, meV/Å':<28}{'energy, meV/atom':<26}forgotten, meV/Å"]
    for name in (name for name in RUNS if name in runs):
        result = runs[name]
        forces = ", ".join(
            f"{test} {1000 * error['forces']['rmse']:.1f}" for test, error in result["errors"].items()
        )
        energies = ", ".join(
            f"{test} {1000 * error['energy_per_atom']['rmse']:.1f}"
            for test, error in result["errors"].items()
        )
        lost = ((result.get("report") or {}).get("replay_test") or {}).get("fine-tuned")
        forgotten = "" if lost is None else f"{1000 * lost['forces']['rmse']:.1f}"
        lines.append(f"{name:<16}{result.get('steps', ''):>7}  {forces:<28}{energies:<26}{forgotten}")
    return "\n".join(lines)


def main(
    runs: tyro.conf.Positional[tuple[str, ...]] = RUNS,
    *,
    minutes: float = 10.0,
    threads: int = 2,
    table_only: bool = False,
    note: str = "",
    output: Path = RESULTS,
) -> None:
    """Train and measure; results of other runs in the file are kept.

    Args:
        runs: names of runs.
        minutes: time of each training.
        threads: CPU threads.
        table_only: print the results that there are, and run nothing.
        note: remark to store, such as other load on the machine.
        output: JSON file, written after each run.
    """
    if unknown := sorted(set(runs) - set(RUNS)):
        raise SystemExit(f"runs: expected some of {', '.join(RUNS)}, got {', '.join(unknown)}")
    document = {"question": __doc__, "runs": {}}
    if output.exists():
        document |= {"runs": json.loads(output.read_text("utf-8"))["runs"]}
    for name in () if table_only else runs:
        print(f"--- {name}", flush=True)
        document["runs"][name] = {"machine": machine(), "note": note, **run(name, minutes, threads)}
        output.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(table(document["runs"]))


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
