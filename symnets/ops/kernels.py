"""CPU kernels of the tensor product and scatter: loops over edges, vectorised over channels.

All derivatives of the product are first partials of the 4-linear form

    L(g, x, Y, w) = Σ_{edges e} Σ_{entries t} Σ_c value_t g[receiver(e), out_t + c]
                    x[sender(e), inp_t + c] Y[e, filter_t] w[e, weight_t + c]

with some argument replaced. dL/dg and dL/dx are sums over the edges of a node (`node_partial`),
dL/dY and dL/dw live on edges (`edge_partials`). No message is ever stored. Kernels work on a range
of nodes or edges and release the interpreter's lock; threads take ranges of their own.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import numba
import numpy as np
import torch

_COMPILE = {"nogil": True, "fastmath": True, "error_model": "numpy", "cache": True}

# Fewer multiplications than this are not worth a second thread.
_SMALL = 2_000_000


@numba.njit(**_COMPILE)
def node_partial(
    total, other, filters, weights, end, order, start, low, high, to, source, filt, weight, channels, values
):
    for node in range(low, high):
        row = total[node]
        for n in range(start[node], start[node + 1]):
            e = order[n]
            x, y, w = other[end[e]], filters[e], weights[e]
            for t in range(numba.uint64(values.shape[0])):
                factor = values[t] * y[filt[t]]
                to_t, source_t, weight_t = to[t], source[t], weight[t]
                for c in range(channels[t]):
                    row[to_t + c] += factor * w[weight_t + c] * x[source_t + c]


@numba.njit(**_COMPILE)
def edge_partials(
    d_filters, d_weights, g, x, filters, weights, sender, receiver, low, high,
    inp, filt, out, weight, channels, values,
):  # fmt: skip
    for e in range(low, high):
        g_e, x_e, y, w = g[receiver[e]], x[sender[e]], filters[e], weights[e]
        dy, dw = d_filters[e], d_weights[e]
        for t in range(numba.uint64(values.shape[0])):
            factor = values[t] * y[filt[t]]
            out_t, inp_t, weight_t = out[t], inp[t], weight[t]
            total = values[0] * 0
            for c in range(channels[t]):
                gx = g_e[out_t + c] * x_e[inp_t + c]
                total += gx * w[weight_t + c]
                dw[weight_t + c] += factor * gx
            dy[filt[t]] += values[t] * total


@lru_cache(maxsize=1)
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads)


# A forked child inherits the pool but not its threads, and would wait for them for ever.
os.register_at_fork(after_in_child=_pool.cache_clear)


def run(kernel, before: tuple, after: tuple, work: np.ndarray) -> None:
    """Call `kernel(*before, low, high, *after)` on ranges of equal work.

    Args:
        kernel: a compiled kernel.
        before: its arguments before the range.
        after: its arguments after the range.
        work: multiplications done before each item, cumulative, (items + 1,).
    """
    items, threads = len(work) - 1, torch.get_num_threads()
    if threads == 1 or work[-1] < _SMALL:
        kernel(*before, 0, items, *after)
        return
    cuts = np.searchsorted(work, np.linspace(0, work[-1], threads + 1))
    cuts[0], cuts[-1] = 0, items
    tasks = [_pool(threads).submit(kernel, *before, low, high, *after) for low, high in pairwise(cuts)]
    for task in tasks:
        task.result()
