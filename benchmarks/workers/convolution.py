"""The convolution that ops.py times, by symnets, e3nn and cuequivariance; each imported where it is needed.

20,000 edges between 500 nodes, sorted by receiver; 64x0e+64x1o+64x2e with spherical harmonics up to l = 2,
by all 11 paths 'uvu' into slots of 0e, 1o and 2e: 704 weights for each edge, given or from a network of
8-64-64-704."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

NODES, EDGES, BASIS, HIDDEN = 500, 20_000, 8, (64, 64)
IRREPS, FILTERS, WANTED = "64x0e+64x1o+64x2e", "1x0e+1x1o+1x2e", ("0e", "1o", "2e")
DIM_IN, DIM_OUT, N_WEIGHTS = 64 * 9, 64 * 35, 704


class Contender(NamedTuple):
    """A product (x, y, w) -> out and the weights of its radial network, if it has one."""

    product: Callable[[Tensor, Tensor, Tensor], Tensor]
    parameters: list[Tensor]


def edges() -> Tensor:
    """Sender and receiver."""
    generator = torch.Generator().manual_seed(0)
    receivers = torch.arange(NODES).repeat_interleave(EDGES // NODES)
    return torch.stack([torch.randint(NODES, (EDGES,), generator=generator), receivers])


def leaves(weights: str) -> list[Tensor]:
    """x, y, w (or the radial basis), and the gradient of the result."""
    generator = torch.Generator().manual_seed(1)
    sizes = (NODES, DIM_IN), (EDGES, 9), (EDGES, N_WEIGHTS if weights == "given" else BASIS), (NODES, DIM_OUT)
    return [torch.randn(size, generator=generator).requires_grad_() for size in sizes]


def symnets(weights: str, layout: str = "ir_mul") -> Contender:
    """symnets' product, or with a radial network its `Convolution`."""
    from symnets.nn import Convolution, Edges
    from symnets.ops import TensorProductScatter, all_paths

    index = edges()
    if weights == "mlp":
        options = {"n_basis": BASIS, "radial_hidden": HIDDEN, "mean_neighbors": 1.0}
        layer = Convolution(IRREPS, FILTERS, "+".join(WANTED), **options)
        return Contender(lambda x, y, w: layer(x, Edges(w, y), index), list(layer.parameters()))
    slots, paths = all_paths(IRREPS, FILTERS, "+".join(WANTED))
    product = TensorProductScatter(IRREPS, FILTERS, slots, paths, layout=layout)
    return Contender(lambda x, y, w: product(x, y, w, index, NODES), [])


def e3nn(weights: str) -> Contender:
    """e3nn's TensorProduct of gathered features, and index_add."""
    from e3nn import o3
    from e3nn.nn import FullyConnectedNet

    x, y = o3.Irreps(IRREPS), o3.Irreps(FILTERS)
    paths = [
        (i, j, o3.Irrep(out))
        for out in WANTED
        for i in range(len(x))
        for j in range(len(y))
        if o3.Irrep(out) in x[i].ir * y[j].ir
    ]
    slots = o3.Irreps([(64, out) for _, _, out in paths])
    instructions = [(i, j, k, "uvu", True) for k, (i, j, _) in enumerate(paths)]
    product = o3.TensorProduct(x, y, slots, instructions, shared_weights=False, internal_weights=False)
    radial = FullyConnectedNet([BASIS, *HIDDEN, N_WEIGHTS], nn.functional.silu) if weights == "mlp" else None
    sender, receiver = edges()

    def convolve(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        messages = product(x[sender], y, w if radial is None else radial(w))
        return messages.new_zeros(NODES, DIM_OUT).index_add(0, receiver, messages)

    return Contender(convolve, [] if radial is None else list(radial.parameters()))


def cuequivariance(weights: str) -> Contender:
    """cuequivariance's channel-wise product on the CPU (method "naive"), which gathers and sums by itself."""
    import cuequivariance as cue
    import cuequivariance_torch as cuet
    from e3nn.nn import FullyConnectedNet

    product = cuet.ChannelWiseTensorProduct(
        cue.Irreps("O3", IRREPS),
        cue.Irreps("O3", FILTERS),
        [cue.O3(0, 1), cue.O3(1, -1), cue.O3(2, 1)],
        layout=cue.ir_mul,
        shared_weights=False,
        internal_weights=False,
        method="naive",
    )
    radial = FullyConnectedNet([BASIS, *HIDDEN, N_WEIGHTS], nn.functional.silu) if weights == "mlp" else None
    sender, receiver = edges()

    def convolve(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        w = w if radial is None else radial(w)
        return product(x, y, w, indices_1=sender, indices_out=receiver, size_out=NODES)

    return Contender(convolve, [] if radial is None else list(radial.parameters()))


def step(contender: Contender, order: str, inputs: list[Tensor]) -> Callable[[], object]:
    """Function that makes one call.

    - forward: without gradients;
    - backward: the result, then its gradient with respect to x, y, w or the basis, and the network's
      weights;
    - double: the gradient with respect to x, y and w or the basis, as forces need it, then the gradient of
      the sum of its squares with respect to all of these, the network's weights and the cotangent.
    """
    *arguments, cotangent = inputs

    def forward() -> Tensor:
        with torch.no_grad():
            return contender.product(*arguments)

    def backward() -> Iterable[Tensor]:
        out = contender.product(*arguments)
        return torch.autograd.grad(out, [*arguments, *contender.parameters], cotangent.detach())

    def double() -> Iterable[Tensor]:
        out = contender.product(*arguments)
        gradients = torch.autograd.grad(out, arguments, cotangent, create_graph=True)
        scalar = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
        return torch.autograd.grad(scalar, [*arguments, *contender.parameters, cotangent])

    return {"forward": forward, "backward": backward, "double": double}[order]
