"""How long do harmonic transforms on the sphere take, beside torch-harmonics and e3nn?

    OMP_NUM_THREADS=1 python benchmarks/sphere.py

Signals with degrees up to lmax, float32, on the smallest grid of Gauss and Legendre, (lmax + 1) latitudes and
(2 lmax + 2) longitudes: `symnets.nn.S2Grid` and torch-harmonics' `RealSHT` and `InverseRealSHT`, which do the
same transform; to the grid, from the grid, and there and back with gradients. Coefficients are e3nn's real
ones in symnets and complex ones in torch-harmonics, and neither time includes a conversion. e3nn's `ToS2Grid`
and `FromS2Grid` have equiangular latitudes only, and are compared with symnets on their grid, 2 (lmax + 1)
latitudes and (2 lmax + 1) longitudes; above lmax 32 their matrices are large and they are left out. On
rotations, `SO3Grid` is compared with e3nn's, whose matrix is dense, on e3nn's grid. Each method gets values
in the memory layout in which it returns them; on rotations, that of symnets is not the order of the indices.

All methods run alternately in one process. A ratio is the median over rounds of a peer's time divided by
symnets' time in the same round. Needs the extra `bench` and an environment with torch-harmonics 0.9.3;
without it that peer is left out.
"""

import importlib.metadata
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
import tyro
from e3nn import o3
from machine import machine
from torch import Tensor

from symnets.nn import S2Grid, SO3Grid

SIGNALS = {10: (32, 16), 32: (16, 16), 64: (8, 8), 128: (4, 8)}
"""(batch, channels) of a transform, by lmax."""
ROTATIONS = {3: (16, 16), 6: (8, 8)}
E3NN_UP_TO = 32


@dataclass
class Benchmark:
    """Time of transforms on the sphere and on rotations."""

    lmax: tuple[int, ...] = tuple(SIGNALS)
    rounds: int = 15
    output: Path = Path(__file__).parent / "results" / "sphere.json"

    def run(self) -> None:
        """Time all cases; print and save."""
        load = [round(x, 1) for x in psutil.getloadavg()]
        rows = []
        for lmax in self.lmax:
            rows.append(self.row("sphere", lmax, (lmax + 1, 2 * lmax + 2), "gauss"))
            if lmax <= E3NN_UP_TO:
                rows.append(self.row("sphere", lmax, (2 * lmax + 2, 2 * lmax + 1), "equiangular"))
        for lmax in ROTATIONS:
            rows.append(
                self.row("rotations", lmax, (4 * lmax + 4, 2 * lmax + 2, 4 * lmax + 4), "equiangular")
            )
        packages = ("torch", "e3nn", "torch_harmonics")
        versions = {p: importlib.metadata.version(p) for p in packages if importlib.util.find_spec(p)}
        where = machine() | {"threads": torch.get_num_threads(), "load_at_start": load}
        result = {"question": __doc__, "machine": where, "versions": versions}
        result |= {"rounds": self.rounds, "rows": rows}
        self.output.parent.mkdir(exist_ok=True)
        self.output.write_text(json.dumps(result, indent=1) + "\n")

    def row(self, domain: str, lmax: int, shape: tuple[int, ...], kind: Any) -> dict:
        """Times of one grid."""
        batch = (SIGNALS if domain == "sphere" else ROTATIONS)[lmax]
        signal = torch.randn(*batch, *shape)
        ours = S2Grid(lmax, shape, kind=kind) if domain == "sphere" else SO3Grid(lmax, shape, kind=kind)
        methods = {"symnets": (ours.from_grid, ours.to_grid)} | peers(domain, lmax, shape, kind)
        row: dict = {"domain": domain, "lmax": lmax, "batch": batch, "grid": shape, "latitudes": kind}
        row |= {"milliseconds": {}, "ratio_to_symnets": {}, "digits": {}}
        smooth = ours.to_grid(ours.from_grid(signal)).contiguous()
        for name, (analysis, synthesis) in methods.items():
            row["digits"][name] = float(
                f"{(synthesis(analysis(smooth)) - smooth).norm() / smooth.norm():.1e}"
            )
        for what in ("from_grid", "to_grid", "both with gradients"):
            times = alternate({name: turn(what, pair, smooth) for name, pair in methods.items()}, self.rounds)
            row["milliseconds"][what] = {
                name: float(f"{1e3 * statistics.median(ts):.3g}") for name, ts in times.items()
            }
            row["ratio_to_symnets"][what] = {
                name: round(statistics.median(a / b for a, b in zip(ts, times["symnets"], strict=True)), 2)
                for name, ts in times.items()
                if name != "symnets"
            }
        print(json.dumps(row), flush=True)
        return row


Transforms = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]


def peers(domain: str, lmax: int, shape: tuple[int, ...], kind: str) -> dict[str, Transforms]:
    """Transforms (from the grid, to the grid) of the packages that have this grid."""
    if domain == "rotations":
        theirs = o3.SO3Grid(lmax, lmax + 1)
        assert (theirs.res_alpha, theirs.res_beta, theirs.res_gamma) == shape
        return {"e3nn": (theirs.from_grid, theirs.to_grid)}
    if kind == "equiangular":
        return {"e3nn": (o3.FromS2Grid(shape, lmax), o3.ToS2Grid(lmax, shape))}
    if importlib.util.find_spec("torch_harmonics") is None:
        return {}
    from torch_harmonics import InverseRealSHT, RealSHT  # pyright: ignore[reportMissingImports]

    options = {"lmax": lmax + 1, "mmax": lmax + 1, "grid": "legendre-gauss"}
    return {"torch-harmonics": (RealSHT(*shape, **options), InverseRealSHT(*shape, **options))}


def turn(what: str, transforms: Transforms, signal: Tensor) -> Callable[[], object]:
    """Function that makes one call of the transforms, to be timed."""
    analysis, synthesis = transforms
    coefficients = analysis(signal)
    values = synthesis(coefficients)
    if what == "from_grid":
        return lambda: analysis(values)
    if what == "to_grid":
        return lambda: synthesis(coefficients)
    inputs = values.clone().requires_grad_()
    return lambda: torch.autograd.grad(synthesis(analysis(inputs)).square().sum(), inputs)


def alternate(turns: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds per call of each method in each round, averaged over several calls if they are short."""
    times: dict[str, list[float]] = {name: [] for name in turns}
    start = time.perf_counter()
    for function in turns.values():
        function()
    repeats = max(1, int(0.02 / (time.perf_counter() - start)))
    for _ in range(rounds):
        for name, function in turns.items():
            start = time.perf_counter()
            for _ in range(repeats):
                function()
            times[name].append((time.perf_counter() - start) / repeats)
    return times


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
