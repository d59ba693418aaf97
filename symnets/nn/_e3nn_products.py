"""Weights of linear layers and tensor products, and those of the modules of e3nn that compute the same."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from e3nn import o3
from torch import Tensor, nn

from symnets.nn._linear import Linear, SpeciesLinear
from symnets.nn._products import FullyConnectedTensorProduct, TensorSquare
from symnets.ops import release_sign

Views = Iterator[tuple[Tensor, Tensor, float]]
"""For each weight: view in the block, view in the module of e3nn, and factor; ours = factor · theirs."""


class Counterpart(NamedTuple):
    """A class of symnets, the equivalent class of e3nn, and the conversions between their instances."""

    block: type[nn.Module]
    module: type[nn.Module]
    to_module: Callable[[Any], nn.Module]
    to_block: Callable[[Any], nn.Module]
    views: Callable[[Any, Any], Views]


def refuse(name: str, **problems: bool) -> None:
    """Raise ValueError that lists the options of a module which its counterpart lacks, if there are any."""
    if found := [problem.replace("_", " ") for problem, is_so in problems.items() if is_so]:
        raise ValueError(f"module: this {name} has no counterpart in symnets.nn: {', '.join(found)}")


def _to_e3nn_linear(block: Linear) -> o3.Linear:
    return o3.Linear(block.irreps_in, block.irreps_out, biases=block.bias is not None)


def _from_e3nn_linear(module: o3.Linear) -> Linear:
    complete = sum(a.ir == b.ir for a in module.irreps_in for b in module.irreps_out)
    refuse(
        "Linear",
        its_weights_are_external=not module.internal_weights,
        it_leaves_out_paths=sum(path.i_in >= 0 for path in module.instructions) != complete,
    )
    return Linear(module.irreps_in, module.irreps_out, bias=module.bias_numel > 0)


def _linear_views(block: Linear, module: o3.Linear) -> Views:
    rows = [[block.irreps_in[i].mul for i in slots] for slots in block.slots]
    n_paths = range(sum(map(len, block.slots)))  # then come the biases, for which e3nn has no views
    for _, (_, path, theirs) in zip(n_paths, module.weight_views(yield_instruction=True), strict=False):
        ours, place = block.weights[path.i_out], block.slots[path.i_out].index(path.i_in)
        scale = path.path_weight * ours.shape[0] ** 0.5
        yield ours.split(rows[path.i_out])[place], theirs, scale
    if block.bias is not None:
        yield block.bias, module.get_parameter("bias"), 1.0


def _check_product(module: o3.TensorProduct) -> None:
    fresh = type(module)(*_operands(module), compile_left_right=False, compile_right=False)
    mine, full = ([i[:5] for i in tp.instructions] for tp in (module, fresh))
    refuse(
        type(module).__name__,
        its_weights_are_external=not module.internal_weights,
        it_leaves_out_paths=mine != full,
    )


def _operands(module: o3.TensorProduct) -> list[o3.Irreps]:
    second = [] if isinstance(module, o3.TensorSquare) else [module.irreps_in2]
    return [module.irreps_in1, *second, module.irreps_out]


def _from_e3nn_product(module: o3.FullyConnectedTensorProduct) -> FullyConnectedTensorProduct:
    _check_product(module)
    return FullyConnectedTensorProduct(*_operands(module))


def _from_e3nn_square(module: o3.TensorSquare) -> TensorSquare:
    _check_product(module)
    return TensorSquare(*_operands(module))


def _product_views(block: FullyConnectedTensorProduct | TensorSquare, module: o3.TensorProduct) -> Views:
    views = module.weight_views(yield_instruction=True)
    for ours, coefficient, (_, path, theirs) in zip(block.weights, block.coefficients, views, strict=True):
        degrees = (ir.l for _, ir in (module.irreps_in1[path.i_in1], module.irreps_in2[path.i_in2]))
        sign = release_sign(*degrees, module.irreps_out[path.i_out].ir.l)
        yield ours, theirs, sign * path.path_weight / coefficient


def _to_e3nn_species_product(block: SpeciesLinear) -> o3.FullyConnectedTensorProduct:
    return o3.FullyConnectedTensorProduct(block.irreps_in, f"{block.n_species}x0e", block.irreps_out)


def _from_e3nn_species_product(module: o3.FullyConnectedTensorProduct) -> SpeciesLinear:
    _check_product(module)
    species = module.irreps_in2
    refuse("product", its_second_input_is_not_one_block_of_0e=[ir for _, ir in species] != [o3.Irrep("0e")])
    return SpeciesLinear(module.irreps_in1, module.irreps_out, species[0].mul)


def _species_views(block: SpeciesLinear, module: o3.FullyConnectedTensorProduct) -> Views:
    for _, path, theirs in module.weight_views(yield_instruction=True):
        mul, ir = block.irreps_in[path.i_in1]
        # wigner_3j(l, 0, l) is the identity over (2l+1)^(1/2).
        scale = path.path_weight * (mul / ir.dim) ** 0.5
        yield block.weights[path.i_out], theirs.transpose(0, 1), scale


PRODUCTS = [
    Counterpart(Linear, o3.Linear, _to_e3nn_linear, _from_e3nn_linear, _linear_views),
    Counterpart(
        FullyConnectedTensorProduct,
        o3.FullyConnectedTensorProduct,
        lambda b: o3.FullyConnectedTensorProduct(b.irreps_in1, b.irreps_in2, b.irreps_out),
        _from_e3nn_product,
        _product_views,
    ),
    Counterpart(
        TensorSquare,
        o3.TensorSquare,
        lambda b: o3.TensorSquare(b.irreps_in, b.irreps_out),
        _from_e3nn_square,
        _product_views,
    ),
    Counterpart(
        SpeciesLinear,
        o3.FullyConnectedTensorProduct,
        _to_e3nn_species_product,
        _from_e3nn_species_product,
        _species_views,
    ),
]
