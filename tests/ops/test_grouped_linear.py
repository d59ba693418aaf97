"""`grouped_linear` against a loop over the rows."""

import torch
from torch import Tensor

from symnets.ops import Block, group_rows, grouped_linear


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def looped(x: Tensor, weights: list[Tensor], group: Tensor) -> Tensor:
    """Blocks (1, 2 channels) -> (1, 3), (3, 2) -> (3, 1), the first again -> (1, 2); column 0 is empty."""
    rows = []
    for row, number in zip(x, group, strict=True):
        scalars, vectors = row[:2] @ weights[0][number], row[2:].view(3, 2) @ weights[1][number]
        rows.append(torch.cat([row.new_zeros(1), scalars, vectors.flatten(), row[:2] @ weights[2][number]]))
    return torch.stack(rows)


def test_products_and_derivatives_to_third_order_equal_a_loop():
    torch.manual_seed(0)
    x, weights = random(6, 8), [random(4, 2, 3), random(4, 2, 1), random(4, 2, 2)]
    group = torch.tensor([2, 0, 2, 3, 0, 2])  # none of group 1
    blocks = [Block(1, 0, 1), Block(3, 2, 4), Block(1, 0, 7)]

    def derivatives(out: Tensor) -> list[Tensor]:
        results = [out]
        for _ in range(3):
            total = sum((t.sin() ** 2).sum() for t in results)
            results = list(torch.autograd.grad(total, [x, *weights], create_graph=True))
        return [out, *results]

    ours = derivatives(grouped_linear(x, weights, blocks, 9, group_rows(group, 4)))
    for a, b in zip(ours, derivatives(looped(x, weights, group)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)
