"""How long do energy and forces and a training step take on a GPU with each implementation of the product?

NequIP (64 channels, lmax 2, 4 layers, no parity) and MACE (128 channels, lmax 3, correlation 3, 2 layers) on
rattled fcc copper, 64 to 32,768 atoms, cutoff 5 Å; graphs are computed before the clock starts. Training is a
step of Adam on energy and forces. Float32 without TF32, and one size in float64. The networks differ only in
the tensor product of the convolution:

- plain: symnets in torch, `TensorProductScatter(implementation="plain")`;
- e3nn: `e3nn.o3.TensorProduct` of the gathered features, then `index_add`;
- cuequivariance: NVIDIA's kernels, if they are installed;
- compiled: plain, each product by `torch.compile`, which has no second derivatives, as training needs.

A time is the median of calls between CUDA events, after warm-up calls. Memory is the peak memory of tensors.
`energy_difference` is the difference from the energy of plain, relative to the larger of the two.
"""

import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from ase.build import bulk
from e3nn import o3
from stage import Stage, peak_memory_mb, reset_peak_memory
from torch import Tensor, nn

from symnets.data import AtomGraph, build_graphs, collate
from symnets.models import MACE, ForceField, NequIP
from symnets.nn import Convolution
from symnets.ops import (
    LinearWeights,
    TensorProductScatter,
    from_e3nn,
    has_cuequivariance,
    has_cuequivariance_kernels,
    to_e3nn,
)

CUTOFF = 5.0
CELLS = {64: (4, 2, 2), 512: (8, 4, 4), 4096: (16, 8, 8), 32768: (32, 16, 16)}
SIZES = (4096, 512, 32768, 64)
"""Numbers of atoms, the most important first."""
REHEARSED = {16: (2, 2, 1)}
COMPILE_SECONDS = 40
"""Longest time for torch.compile, for one model and one size."""


class E3nnProduct(nn.Module):
    """e3nn's tensor product and `index_add`, to replace a `TensorProductScatter` of layout "ir_mul"."""

    def __init__(self, product: TensorProductScatter) -> None:
        super().__init__()
        plan = product.plan
        self.irreps_in, slots = product.irreps_in1, o3.Irreps(plan.slots)
        self.irreps_out = slots.simplify()
        paths = [(path.slot_in, path.slot_filter, path.slot_out, "uvu", True) for path in plan.paths]
        self.product = o3.TensorProduct(
            self.irreps_in,
            product.irreps_in2,
            slots,
            paths,
            shared_weights=False,
            internal_weights=False,
        )

    def forward(
        self,
        features: Tensor,
        filters: Tensor,
        weights: LinearWeights,
        edge_index: Tensor,
        n_nodes: int,
        pair: Tensor | None = None,
    ) -> Tensor:
        """Sums over the edges of each receiver, as `TensorProductScatter.forward`."""
        rows = weights.rows() if pair is None else weights.rows().index_select(0, pair)
        sender, receiver = edge_index
        messages = self.product(to_e3nn(features, self.irreps_in)[sender], filters, rows)
        out = messages.new_zeros(n_nodes, messages.shape[1]).index_add(0, receiver, messages)
        return from_e3nn(out, self.irreps_out)


def build(architecture: str, contestant: str, dtype: torch.dtype, stage: Stage) -> ForceField:
    """Force field of seed 0 whose convolutions use one implementation of the product."""
    torch.manual_seed(0)
    channels = 8 if stage.rehearse else {"NequIP": 64, "MACE": 128}[architecture]
    options = {"channels": channels, "cutoff": CUTOFF, "mean_neighbors": 43.0}
    net = (
        NequIP(["Cu"], lmax=2, layers=2 if stage.rehearse else 4, parity=False, **options)
        if architecture == "NequIP"
        else MACE(["Cu"], lmax=2 if stage.rehearse else 3, radial_hidden=(64, 64, 64), **options)
    )
    for module in [m for m in net.modules() if hasattr(m, "implementation")]:
        own = isinstance(module, TensorProductScatter) and contestant == "cuequivariance"
        module.implementation = "cuequivariance" if own else "plain"
    for module in [m for m in net.modules() if isinstance(m, Convolution)]:
        if contestant == "e3nn":
            module.product = E3nnProduct(module.product)
        if contestant == "compiled":
            module.product.compile(dynamic=False)
    return ForceField(net).to(stage.device, dtype)


@cache
def copper(n_atoms: int) -> AtomGraph:
    """Graph of rattled fcc copper, on the CPU in float32."""
    atoms = bulk("Cu", cubic=True) * (CELLS | REHEARSED)[n_atoms]
    atoms.rattle(0.05, seed=0)
    return collate(build_graphs([atoms], CUTOFF)).inputs


def graph_of(n_atoms: int, dtype: torch.dtype, device: torch.device) -> AtomGraph:
    """Graph on a device in a dtype."""
    graph = copper(n_atoms).clone().to(device)
    for name in ("pos", "cell", "edge_shift"):
        graph[name] = graph[name].to(dtype)
    return graph


def median_ms(function: Callable[[], object], device: torch.device, *, seconds: float) -> dict[str, Any]:
    """Median, minimum and maximum time of a call, after two warm-up calls; the first one is timed separately.

    At most thirty calls, and at least three if `seconds` is not zero.
    """
    start = time.perf_counter()
    function()
    _synchronize(device)
    first_call = time.perf_counter() - start
    function()
    times: list[float] = []
    while len(times) < (3 if seconds else 1) or (sum(times) < 1000 * seconds and len(times) < 30):
        times.append(_once(function, device))
    found = {"ms": statistics.median(times), "ms_min": min(times), "ms_max": max(times)}
    rounded = {name: round(value, 3) for name, value in found.items()}
    return rounded | {"calls": len(times), "first_call_s": round(first_call, 2)}


def _once(function: Callable[[], object], device: torch.device) -> float:
    if device.type != "cuda":
        start = time.perf_counter()
        function()
        return 1000 * (time.perf_counter() - start)
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    function()
    after.record()
    after.synchronize()
    return before.elapsed_time(after)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Context that raises TimeoutError after a time, as soon as Python code runs again."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Benchmark:
    """Measurements of all networks, the most important first."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.seconds = 0.0 if stage.rehearse else 1.0
        self.energies: dict[tuple[str, int, str], float] = {}
        """Energies with the plain product, by architecture, number of atoms and dtype."""

    def run(self) -> None:
        """Measure all cases; implementations that may fail or leave the GPU unusable come last."""
        stage = self.stage
        sizes = tuple(REHEARSED) if stage.rehearse else SIZES
        contestants = ["plain", "e3nn"]
        if has_cuequivariance() if stage.rehearse else has_cuequivariance_kernels():
            contestants.append("cuequivariance")
        else:
            stage.add({"contestant": "cuequivariance", "skipped": "not installed"})
        for contestant in contestants:
            for architecture in ("NequIP", "MACE"):
                self.contest(architecture, contestant, sizes, torch.float32)
        for architecture in ("NequIP", "MACE"):
            self.contest(architecture, "plain", sizes[:1], torch.float64)
        if stage.rehearse:
            return  # compilation would take longer than everything else
        for architecture in ("NequIP", "MACE"):
            self.contest(architecture, "compiled", sizes[:1], torch.float32)

    def contest(self, architecture: str, contestant: str, sizes: tuple[int, ...], dtype: torch.dtype) -> None:
        """Measure one implementation in one architecture, at several sizes."""
        stage, optional = self.stage, contestant in ("compiled", "cuequivariance")
        name = {"architecture": architecture, "contestant": contestant, "dtype": str(dtype)[6:]}
        model: list[ForceField] = []

        def construct() -> dict[str, Any]:
            start = time.perf_counter()
            model.append(build(architecture, contestant, dtype, stage))
            parameters = sum(p.numel() for p in model[0].parameters())
            return {"build_s": round(time.perf_counter() - start, 2), "parameters": parameters}

        if not stage.has_time_for(name, seconds=5) or not stage.measure(name, construct, may_fail=optional):
            return
        for n_atoms in sizes:
            for mode in ("evaluate", "train"):
                case = name | {"atoms": n_atoms, "mode": mode}
                limit = stage.seconds_left - 4
                if contestant == "compiled":
                    limit = min(limit, COMPILE_SECONDS)
                if not stage.has_time_for(case, seconds=2 if stage.rehearse else 8):
                    continue
                row = partial(self.row, model[0], name, n_atoms, mode, limit)
                stage.measure(case, row, may_fail=optional)

    def row(
        self, model: ForceField, name: dict[str, Any], n_atoms: int, mode: str, limit: float
    ) -> dict[str, Any]:
        """Measure time and memory of evaluation or training at one size."""
        stage = self.stage
        dtype = next(model.parameters()).dtype
        graph = graph_of(n_atoms, dtype, stage.device)
        found: dict[str, Any] = {"edges": graph.edge_index.shape[1]}
        reset_peak_memory(stage.device)
        with at_most(max(limit, 1)):
            if mode == "evaluate":
                found |= median_ms(lambda: model.eval()(graph), stage.device, seconds=self.seconds)
                found["peak_mb"] = peak_memory_mb(stage.device)
                found |= self.compare(float(model(graph).energy), name, n_atoms)
            else:
                # A learning rate of 0 keeps the weights, so that energies can be compared.
                optimizer = torch.optim.Adam(model.parameters(), lr=0.0)

                def step() -> None:
                    optimizer.zero_grad()
                    out = model.train()(graph)
                    (out.energy.square().mean() + out.forces.square().mean()).backward()
                    optimizer.step()

                found |= median_ms(step, stage.device, seconds=self.seconds)
                found["peak_mb"] = peak_memory_mb(stage.device)
                model.zero_grad()
        found["us_per_atom"] = round(1000 * found["ms"] / n_atoms, 3)
        return found

    def compare(self, energy: float, name: dict[str, Any], n_atoms: int) -> dict[str, float]:
        """Energy, and its relative difference from that of the plain product."""
        key = name["architecture"], n_atoms, name["dtype"]
        if name["contestant"] == "plain":
            self.energies[key] = energy
        if key not in self.energies:
            return {"energy": energy}
        plain = self.energies[key]
        difference = abs(energy - plain) / max(abs(energy), abs(plain), 1e-300)
        return {"energy": energy, "energy_difference": float(f"{difference:.2g}")}


def main() -> None:
    """Measure without TF32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    stage = Stage(__doc__)
    Benchmark(stage).run()
    stage.finish()


if __name__ == "__main__":
    main()
