"""How much time and memory do symnets' operations take, compared with e3nn, cuequivariance and mace?

    python benchmarks/ops.py --peers cuequivariance=PYTHON mace=PYTHON

PYTHON is the interpreter of an environment with cuequivariance-torch==0.13.0 (and e3nn) or
mace-torch==0.3.16; e3nn runs in this environment. Float32.

- convolution: 20,000 edges, 500 nodes, 64x0e+64x1o+64x2e with spherical harmonics up to l = 2, 704 weights
  for each edge, given or from a network of 8-64-64-704. e3nn is o3.TensorProduct of gathered features and
  index_add. Calls of the two alternate in one process; the ratio is the median over pairs of calls. Forward;
  with the gradient; with the gradient of a function of the gradient (see workers/convolution.py).
  `difference` is the largest difference of the results, relative to the largest result.
- memory: the same, each in a separate process, three times; growth of the peak of the process since just
  before the first call. Also first calls without and with cached compiled code, e3nn's layout "mul_ir"
  instead of "ir_mul", and cuequivariance's method "naive".
- contraction: MACE's symmetric contraction, 128 channels, l up to 3, correlation 3, into 0e and 1o, 500 nodes
  of 3 species; alternately, each in a separate process. `mace:reduced` has the option `use_reduced_cg`.

Needs the extra `bench`.
"""

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from machine import machine
from turns import contest, pythons, turn

HERE = Path(__file__).parent
ORDERS = ("forward", "backward", "double")
WEIGHTS = ("given", "mlp")


@dataclass
class Benchmark:
    """Time and memory of operations."""

    peers: tuple[str, ...] = ()
    """package=python of its environment."""
    parts: tuple[str, ...] = ("convolution", "memory", "contraction")
    threads: tuple[int, ...] = (1, 2)
    """Numbers of threads for the measurements in one process."""
    pairs: int = 25
    """Number of calls of each in one process."""
    rounds: int = 3
    """Number of runs of each in separate processes."""
    seconds: float = 2.0
    """Time of the measurement in a run."""
    output: Path = HERE / "results" / "ops.json"
    rows: list[dict] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Time all parts; print and save after each row. Rows of other parts are kept."""
        document = {"question": __doc__, "machine": machine(), "rows": self.rows}
        if self.output.exists():
            before = json.loads(self.output.read_text())["rows"]
            self.rows += [row for row in before if row["part"] not in self.parts]
        for part in self.parts:
            for row in getattr(self, part)():
                self.rows.append({"part": part} | row)
                print(json.dumps(self.rows[-1]), flush=True)
                self.output.parent.mkdir(exist_ok=True)
                self.output.write_text(json.dumps(document, indent=1) + "\n")

    def convolution(self) -> Iterator[dict]:
        """Tensor product and scatter by symnets and e3nn, in one process."""
        for threads, weights, order in itertools.product(self.threads, WEIGHTS, ORDERS):
            case = {"weights": weights, "order": order, "threads": threads, "pairs": self.pairs}
            yield case | turn(sys.executable, "convolution_pair", case)

    def memory(self) -> Iterator[dict]:
        """Memory and first calls of the tensor product, each in separate processes."""
        available = {"e3nn": sys.executable} | pythons(self.peers)
        for weights, order in itertools.product(WEIGHTS, ORDERS):
            case = {"weights": weights, "order": order}
            contestants = ("symnets", "e3nn", "cuequivariance")
            contestants += ("symnets:mul_ir",) if weights == "given" else ()
            request = case | {"seconds": self.seconds}
            measured = contest(available, contestants, request, self.rounds, "convolution_worker")
            growth = {name: measured[name]["growth_mb"] for name in ("e3nn", "symnets")}
            measured["memory_ratio"] = round(growth["e3nn"] / growth["symnets"], 2)
            yield case | measured

    def contraction(self) -> Iterator[dict]:
        """Symmetric contraction by symnets and mace, each in separate processes."""
        for order in ORDERS[:2]:
            case = {"order": order, "nodes": 500, "channels": 128, "lmax": 3, "correlation": 3}
            request = case | {"seconds": self.seconds}
            contestants = ("symnets", "mace", "mace:reduced")
            yield case | contest(pythons(self.peers), contestants, request, self.rounds, "contraction_worker")


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
