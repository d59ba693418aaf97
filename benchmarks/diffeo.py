"""How long does it take to deform a batch of images, each by a random field of its own; next to who?

    python benchmarks/diffeo.py --venv PATH/TO/venv

A field of typical displacement 1 pixel is drawn for each image, and all are deformed, float32, bilinear:

- symnets: `SineField.sample(n, delta=1).warp(images)`;
- loop: the algorithm of Petrini et al. 2021 as written there, image by image (sum over all modes on all
  pixels, gather, interpolate);
- torchvision, albumentations, monai: their elastic transforms, image by image, for a batch would share one
  field; kornia's in one call for the batch. Their Gaussian has the width that leaves waves up to the cutoff;
- symnets by grid_sample: the same without the compiled kernel; grid_sample alone: with the grid ready.

They take turns in one process, that of the peers' environment; a ratio is the median over the rounds of the
other's time divided by symnets' in the same round. Run it alone on the machine. Needs the extra `bench` here,
and there (--no-deps for torchvision of another build, monai, kornia):
`pip install 'torch>=2.9,<2.14' numba jaxtyping e3nn kornia torchvision monai albumentations`.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from machine import machine

HERE = Path(__file__).parent
CASES = (
    ((256, 1, 28, 28), 3),
    ((256, 3, 32, 32), 3),
    ((16, 3, 224, 224), 3),
    ((16, 3, 224, 224), 15),
    ((4, 1, 64, 64, 64), 3),
)
FIRST_CALL = """
import time, torch
from symnets.diffeo import SineField
x = torch.rand(8, 1, 28, 28)
torch.set_num_threads(1)
field = SineField((28, 28), cutoff=3).sample(8, delta=1.0, generator=None)
start = time.perf_counter()
field.warp(x)
first = time.perf_counter() - start
start = time.perf_counter()
field.warp(x)
print(first, time.perf_counter() - start)
"""


@dataclass
class Benchmark:
    """Time of deformations."""

    venv: Path | None = None
    """Environment with the peers; without it symnets runs here, next to the loop."""
    threads: tuple[int, ...] = (1, 2)
    rounds: int = 9
    seconds: float = 0.2
    """Time spent on each contestant, a round."""
    cases: tuple[int, ...] = tuple(range(len(CASES)))
    """Which of the cases."""
    output: Path = HERE / "results" / "diffeo.json"
    rows: list[dict] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Time everything; print and save after each case."""
        document = {
            "question": __doc__,
            "machine": machine(),
            "versions": json.loads(self.worker("versions")),
            "compile_seconds": self.first_calls(),
            "rows": self.rows,
        }
        for number, threads in itertools.product(self.cases, self.threads):
            images, cutoff = CASES[number]
            case = {"images": images, "cutoff": cutoff, "threads": threads}
            options = {"rounds": self.rounds, "seconds": self.seconds}
            self.rows.append(json.loads(self.worker(json.dumps(case | options))))
            print(json.dumps({key: self.rows[-1][key] for key in (*case, "ms", "over_symnets")}), flush=True)
            self.output.parent.mkdir(exist_ok=True)
            self.output.write_text(json.dumps(document, indent=1) + "\n")

    def worker(self, argument: str) -> str:
        """What `workers/deformations.py` prints."""
        return self.python(str(HERE / "workers" / "deformations.py"), argument)

    def first_calls(self) -> dict[str, float]:
        """Seconds of the first warp of a process, with nothing compiled and with all, and of the next."""
        with tempfile.TemporaryDirectory() as cache:
            found = [
                [float(number) for number in self.python("-c", FIRST_CALL, NUMBA_CACHE_DIR=cache).split()]
                for _ in range(4)
            ]
        return {
            "nothing compiled": found[0][0],
            "compiled before": statistics.median(first for first, _ in found[1:]),
            "second call": statistics.median(second for _, second in found),
        }

    def python(self, *arguments: str, **environment: str) -> str:
        """What a Python process of the peers' environment prints."""
        program = sys.executable if self.venv is None else str(self.venv / "bin" / "python")
        variables = os.environ | {"PYTHONPATH": str(HERE.parent)} | environment
        done = subprocess.run([program, *arguments], env=variables, stdout=subprocess.PIPE, check=True)
        return done.stdout.decode().strip().splitlines()[-1]


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
