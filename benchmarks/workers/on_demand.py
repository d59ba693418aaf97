"""One training pass over a file of structures, in memory or on demand: rate and memory, as JSON on a line.

    python on_demand.py FILE IN_MEMORY(0|1) WORKERS FRAMES CUTOFF

A row of memory is [samples seen, MB resident in this process, MB of this process and its workers], the last
with pages that they share counted once (PSS of Linux).
"""

import json
import resource
import sys
import tempfile
import time

import psutil

from symnets.potentials import DataConfig, ModelConfig, OptimizerConfig, TrainConfig, training_loss
from symnets.potentials._training import prepare
from symnets.training import Processes, descend

BATCH, ROWS = 50, 20


def memory() -> list[int]:
    """MB resident in this process, and MB of this process and its workers."""
    me = psutil.Process()
    shared = sum(p.memory_full_info().pss for p in (me, *me.children(recursive=True)))
    return [me.memory_info().rss // 10**6, shared // 10**6]


def main() -> None:
    """Load, go through the batches once, then train for one pass."""
    file, in_memory, workers, frames, cutoff = sys.argv[1:]
    n = int(frames)
    config = TrainConfig(
        data=DataConfig(
            train=file, n_train=n - 50, n_validation=50, in_memory=in_memory == "1", workers=int(workers)
        ),
        output=tempfile.mkdtemp(),
        model=ModelConfig(
            "Invariant", cutoff=float(cutoff), channels=8, layers=1, lmax=1, radial_hidden=(8,)
        ),
        optimizer=OptimizerConfig(epochs=1, batch_size=BATCH),
        threads=1,
    )
    clock = time.perf_counter()
    prepared = prepare(config, None, Processes(), resume=False)
    opened = time.perf_counter() - clock
    rows, loader = [[0, *memory()]], prepared.loader

    clock = time.perf_counter()
    for index, _ in enumerate(loader.epoch(0), start=1):
        if index % max(len(loader) // ROWS, 1) == 0:
            rows.append([index * BATCH, *memory()])
    batches = (n - 50) / (time.perf_counter() - clock)

    clock = time.perf_counter()
    loss = training_loss(config, prepared.stats, prepared.tensors)
    for state in descend(prepared.state, loss, loader):
        if state.step % max(len(loader) // ROWS, 1) == 0:
            rows.append([n - 50 + state.step * BATCH, *memory()])
        if state.step == len(loader):
            break
    trained = (n - 50) / (time.perf_counter() - clock)
    result = {
        "opened_seconds": opened,
        "batches_samples_a_second": batches,
        "training_samples_a_second": trained,
        "peak_mb_of_main": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
        "largest_mb_of_all": max(row[2] for row in rows),
        "memory": rows,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
