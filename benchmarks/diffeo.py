"""How long does it take to deform a batch of images, each by its own random field, in various packages?

    python benchmarks/diffeo.py --venv PATH/TO/venv

A field of typical displacement 1 pixel is sampled for each image, and all images are deformed, float32,
bilinear:

- symnets: `SineField.sample(n, delta=1).warp(images)`;
- loop: the published algorithm of Petrini et al. 2021, image by image (sum over all modes on all pixels,
  gather, interpolate);
- torchvision, albumentations, monai: their elastic transforms, image by image, because a batch would share
  one field; kornia's in one call for the batch. The width of their Gaussian corresponds to the cutoff;
- symnets by grid_sample: without the compiled kernel; grid_sample alone: with a precomputed grid.

The methods run alternately in one process of the environment with the other packages. A ratio is the median
over rounds of a method's time divided by symnets' time in the same round. Run it alone on the machine. Needs
the extra `bench` in this environment, and in the other one (--no-deps for torchvision of another build,
monai, kornia): `pip install 'torch>=2.9,<2.14' numba jaxtyping e3nn lazy_loader threadpoolctl kornia
torchvision monai albumentations`.
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
    """Environment with the other packages; without it, only symnets and the loop run, in this environment."""
    threads: tuple[int, ...] = (1, 2)
    rounds: int = 9
    seconds: float = 0.2
    """Time for each method in a round."""
    cases: tuple[int, ...] = tuple(range(len(CASES)))
    """Numbers of the cases to run."""
    output: Path = HERE / "results" / "diffeo.json"
    rows: list[dict] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Time all cases; print and save after each."""
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
        """Output of `workers/deformations.py`."""
        return self.python(str(HERE / "workers" / "deformations.py"), argument)

    def first_calls(self) -> dict[str, float]:
        """Seconds of the first warp of a process without and with cached compiled code, and of the second."""
        with tempfile.TemporaryDirectory() as cache:
            seconds = [
                [float(number) for number in self.python("-c", FIRST_CALL, NUMBA_CACHE_DIR=cache).split()]
                for _ in range(4)
            ]
        return {
            "nothing compiled": seconds[0][0],
            "compiled before": statistics.median(first for first, _ in seconds[1:]),
            "second call": statistics.median(second for _, second in seconds),
        }

    def python(self, *arguments: str, **environment: str) -> str:
        """Last line printed by a Python process of the environment with the other packages."""
        program = sys.executable if self.venv is None else str(self.venv / "bin" / "python")
        variables = os.environ | {"PYTHONPATH": str(HERE.parent)} | environment
        done = subprocess.run([program, *arguments], env=variables, stdout=subprocess.PIPE, check=True)
        return done.stdout.decode().strip().splitlines()[-1]


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
