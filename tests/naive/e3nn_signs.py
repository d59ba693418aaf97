"""Tensor products of e3nn 0.4 with the signs of Clebsch-Gordan coefficients of later releases."""

from typing import TypeVar

from torch import nn

from symnets.ops import release_sign

Product = TypeVar("Product", bound=nn.Module)


def with_common_signs(product: Product) -> Product:
    """The product, whose coefficients are changed in place to those of `symnets.ops.wigner_3j`."""
    for name, coefficients in product.named_buffers():
        if "_w3j_" in name:
            degrees = map(int, name.rpartition("_w3j_")[2].split("_"))
            coefficients.mul_(release_sign(*degrees))
    return product
