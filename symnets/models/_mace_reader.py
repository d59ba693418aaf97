"""read_weights: weights and settings of a model that mace-torch has built."""

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from e3nn import o3
from torch import Tensor, nn

from symnets.models._mace_weights import MACELayer, MACEWeights, product_weights
from symnets.names import did_you_mean
from symnets.nn import SILU_NORM
from symnets.ops import release_sign

T = TypeVar("T")
_MODELS = ("MACE", "ScaleShiftMACE")
_BLOCKS = {
    "RealAgnosticInteractionBlock": (False, False),
    "RealAgnosticResidualInteractionBlock": (True, False),
    "RealAgnosticDensityInteractionBlock": (False, True),
    "RealAgnosticDensityResidualInteractionBlock": (True, True),
}
"""For each class of interaction block: whether it has a self-connection and a density normalisation."""
_BASES = {"BesselBasis": "bessel", "GaussianBasis": "gaussian"}
_TRANSFORMS = {"AgnesiTransform": "agnesi", "SoftTransform": "soft"}
_SETTINGS = {
    "use_so3": False,
    "apply_cutoff": True,
    "use_agnostic_product": False,
    "use_last_readout_only": False,
    "edge_irreps": None,
    "embedding_specs": None,
    "lammps_mliap": False,
}
"""Settings of a mace-torch model for which `MACE` represents only this value; older models lack some."""


def read_weights(model: Any, head: str | None = None) -> MACEWeights:
    """Weights and settings of one head of a model that mace-torch has built.

    Raises:
        ValueError: `MACE` cannot represent the model, or the head is unknown.
    """
    _check(model)
    heads = list(getattr(model, "heads", None) or ["Default"])
    if head is None and len(heads) > 1:
        raise ValueError(f"head: the model has several, choose one of {', '.join(heads)}")
    if head is not None and head not in heads:
        raise ValueError(f"head: unknown head {head!r}; {did_you_mean(head, heads)}")
    number = 0 if head is None else heads.index(head)
    energies = torch.atleast_2d(model.atomic_energies_fn.atomic_energies)
    energies = energies[number if len(energies) > 1 else 0].double()
    scale, shift = 1.0, 0.0
    if (scale_shift := getattr(model, "scale_shift", None)) is not None:
        scale, shift = (
            float(values[number if len(values) > 1 else 0])
            for values in map(torch.atleast_1d, (scale_shift.scale, scale_shift.shift))
        )
    embedding, arguments = model.radial_embedding, _arguments(model)
    arrays = {"embedding": model.node_embedding.linear.weight.view(len(energies), -1)}
    transform = getattr(embedding, "distance_transform", None)
    if transform is not None:
        names = "aqp" if type(transform).__name__ == "AgnesiTransform" else ("alpha",)
        arrays["transform"] = torch.stack([getattr(transform, name).reshape(()) for name in names])
    if arguments["radial_basis"] == "bessel":
        arrays["frequencies"] = embedding.bessel_fn.bessel_weights.double() * arguments["cutoff"]
    layers = []
    for n, (interaction, product) in enumerate(zip(model.interactions, model.products, strict=True)):
        layer, of_layer = _layer(interaction, product)
        layers.append(layer)
        arrays |= {f"{n}.{name}": array for name, array in of_layer.items()}
    *linear, last = model.readouts
    for n, readout in enumerate(linear):
        arrays[f"{n}.readout"] = readout.linear.weight.view(-1, len(heads))[:, [number]]
    arrays |= _last_readout(last, number, len(heads))
    return MACEWeights(
        species=tuple(model.atomic_numbers.tolist()),
        arguments=arguments,
        shift=tuple((energies + shift).tolist()),
        scale=scale,
        repulsion=_repulsion(getattr(model, "pair_repulsion_fn", None), scale),
        layers=tuple(layers),
        arrays={name: array.detach().double().clone() for name, array in arrays.items()},
    )


def _check(model: Any) -> None:
    """Raise ValueError for a model that `MACE` cannot represent."""
    if type(model).__name__ not in _MODELS:
        raise ValueError(
            f"model: expected a model of mace-torch of class {' or '.join(_MODELS)}, got "
            f"{type(model).__name__}"
        )
    values = {name: getattr(model, name, value) for name, value in _SETTINGS.items()}
    for name, value in values.items():
        if value != _SETTINGS[name]:
            raise ValueError(
                f"the model has {name} = {value}; symnets can represent {name} = {_SETTINGS[name]}"
            )
    if type(model.readouts[-1]).__name__ not in ("LinearReadoutBlock", "NonLinearReadoutBlock"):
        raise ValueError(
            f"the model has readout_cls = {type(model.readouts[-1]).__name__}; symnets can represent "
            "LinearReadoutBlock and NonLinearReadoutBlock"
        )
    for interaction, product in zip(model.interactions, model.products, strict=True):
        block = type(interaction).__name__
        if block not in _BLOCKS:
            raise ValueError(
                f"the model has an interaction block {block}; symnets can represent {', '.join(_BLOCKS)}"
            )
        if any(getattr(module, "cueq_config", None) for module in (interaction, product)):
            raise ValueError(
                "the model was converted to cuEquivariance: convert it back by mace_cueq_to_e3nn"
            )
        for name, irreps in (
            ("hidden_irreps", product.linear.irreps_out),
            ("the irreps of the sums over neighbours", interaction.irreps_out),
        ):
            _check_irreps(name, irreps)
    for name, module, known in (
        ("radial_type", model.radial_embedding.bessel_fn, _BASES),
        ("distance_transform", getattr(model.radial_embedding, "distance_transform", None), _TRANSFORMS),
    ):
        if module is not None and type(module).__name__ not in known:
            raise ValueError(
                f"the model has {name} = {type(module).__name__}; symnets can represent {', '.join(known)}"
            )


def _check_irreps(name: str, irreps: Any) -> None:
    """Raise ValueError unless irreps have degrees 0, 1, ... with parity (-1)^l and equally many channels."""
    degrees, channels = range(len(irreps)), irreps[0].mul
    if irreps != o3.Irreps([(channels, (degree, (-1) ** degree)) for degree in degrees]):
        raise ValueError(
            f"the model has {name} = {irreps}; symnets can represent the degrees 0, 1, ... with equally many "
            "channels and the parities of spherical harmonics, such as 64x0e+64x1o"
        )


def _arguments(model: Any) -> dict[str, Any]:
    """Arguments of `MACE` that represent a model of mace-torch, without species, shift and scale."""
    embedding, layers = model.radial_embedding, list(model.interactions)
    kinds = [_BLOCKS[type(layer).__name__] for layer in layers]
    irreps = [product.linear.irreps_out for product in model.products]
    transform = getattr(embedding, "distance_transform", None)
    return {
        "cutoff": float(model.r_max),
        "lmax": layers[0].irreps_out.lmax,
        "feature_lmax": irreps[0].lmax if len(layers) > 1 else 0,
        "correlation": _one_or_each(
            int(product.symmetric_contractions.contractions[0].correlation) for product in model.products
        ),
        "channels": irreps[0][0].mul,
        "layers": len(layers),
        "n_basis": int(embedding.out_dim),
        "radial_basis": _BASES[type(embedding.bessel_fn).__name__],
        "envelope_order": int(embedding.cutoff_fn.p),
        "distance_transform": None if transform is None else _TRANSFORMS[type(transform).__name__],
        "radial_hidden": tuple(layers[0].conv_tp_weights.hs[1:-1]),
        "self_connection": _one_or_each(self_connection for self_connection, _ in kinds),
        "density_normalization": _one_or_each(density for _, density in kinds),
        "readout_hidden": _readout_hidden(model),
        "irreps_last": str(irreps[-1]) if len(irreps[-1]) > 1 else None,
        "mean_neighbors": float(layers[0].avg_num_neighbors),
    }


def _one_or_each(values: Iterable[T]) -> T | tuple[T, ...]:
    """The value of all layers if it is the same, or else the values of each."""
    by_layer = tuple(values)
    return by_layer[0] if len(set(by_layer)) == 1 else by_layer


def _readout_hidden(model: Any) -> tuple[int, ...]:
    """Widths of the hidden layers of the last readout of one head."""
    readout = model.readouts[-1]
    if type(readout).__name__ == "LinearReadoutBlock":
        return ()
    n_heads, irreps = len(getattr(model, "heads", None) or [0]), readout.linear_1.irreps_out
    if len(irreps) != 1 or irreps[0].ir != o3.Irrep("0e"):
        raise ValueError(f"the model has MLP_irreps = {irreps}; symnets can represent even scalars")
    return () if _activation(readout) is None else (irreps[0].mul // n_heads,)


def _activation(readout: Any) -> Any:
    """Activation of a readout: e3nn's normalised silu, or None."""
    (activation,) = readout.non_linearity.acts
    _check_silu("gate", activation)
    return activation


def _check_silu(name: str, activation: Any) -> None:
    """Raise ValueError unless an activation is silu or None; `name` is the name of the option."""
    function = getattr(activation, "f", activation)
    if function not in (nn.functional.silu, None):
        raise ValueError(
            f"the model has {name} = {getattr(function, '__name__', function)}; symnets can represent silu"
        )


def _gain(activation: Any) -> float:
    """Factor of e3nn's normalised silu divided by that of `MLP`; it is one up to rounding."""
    return getattr(activation, "cst", 1.0) / SILU_NORM


def _last_readout(readout: Any, head: int, n_heads: int) -> dict[str, Tensor]:
    """Weights of the last readout of one head."""
    if type(readout).__name__ == "LinearReadoutBlock":
        return {"readout.0": readout.linear.weight.view(-1, n_heads)[:, [head]]}
    n_hidden = readout.linear_1.irreps_out.dim
    mine = slice(head * n_hidden // n_heads, (head + 1) * n_hidden // n_heads)
    first = readout.linear_1.weight.view(-1, n_hidden).double()[:, mine]
    # Hidden units of other heads are masked, but e3nn counts them in the fan-in.
    last = readout.linear_2.weight.view(n_hidden, n_heads).double()[mine, [head]]
    activation = _activation(readout)
    if activation is None:  # two linear layers in one
        return {"readout.0": first @ last * n_hidden**-0.5}
    return {"readout.0": first, "readout.1": last * (n_heads**-0.5 * _gain(activation))}


def _layer(interaction: Any, product: Any) -> tuple[MACELayer, dict[str, Tensor]]:
    """Irreps and weights of an interaction block and the product that follows."""
    convolution, sums, out = interaction.conv_tp, interaction.irreps_out, product.linear.irreps_out
    paths, signs = [], []
    for i, j, k, *_ in convolution.instructions:
        mul, ir = convolution.irreps_in1[i]
        filter_ir, out_ir = convolution.irreps_in2[j].ir, convolution.irreps_out[k].ir
        paths.append((i, filter_ir.l, str(out_ir)))
        # Edge vectors of mace-torch point from sender to receiver, those of symnets to the sender.
        signs += [(-1) ** filter_ir.l * release_sign(ir.l, filter_ir.l, out_ir.l)] * mul
    arrays = {
        "before": interaction.linear_up.weight,
        "after": interaction.linear.weight,
        "skip": interaction.skip_tp.weight,
        "product": _product(product.symmetric_contractions, sums),
        "mix": product.linear.weight,
    }
    gain = 1.0
    for depth, dense in enumerate(interaction.conv_tp_weights):
        arrays[f"radial.{depth}"] = dense.weight.double() * gain
        _check_silu("the activation of radial networks", dense.act)
        gain = _gain(dense.act)
    arrays[f"radial.{depth}"] = arrays[f"radial.{depth}"] * torch.tensor(signs)
    density = getattr(interaction, "density_fn", None)
    if density is not None:
        (dense,) = density
        arrays["density"] = dense.weight
    mean_neighbors = 1.0 if density is not None else float(interaction.avg_num_neighbors)
    features = str(interaction.node_feats_irreps)
    return MACELayer(features, str(sums), str(out), tuple(paths), mean_neighbors), arrays


def _product(contractions: Any, sums: Any) -> Tensor:
    """Weights of a symmetric contraction, converted to the paths of symnets and in their order."""
    irreps, by_path = o3.Irreps([(1, ir) for _, ir in sums]), []
    for slot, contraction in enumerate(contractions.contractions):
        weights = [*reversed(list(contraction.weights)), contraction.weights_max]
        for degree, weight in enumerate(weights, start=1):
            tensors = contraction.U_tensors(degree)
            out = contractions.irreps_out[slot].ir
            by_path.append(product_weights(tensors, weight, irreps, degree, out))
    return torch.cat(by_path, dim=1)


def _repulsion(zbl: Any, scale: float) -> dict[str, Any] | None:
    """Arguments of `WithZBL` for a pair repulsion of mace-torch, with its rounded constants."""
    if zbl is None:
        return None
    return {
        "scale": scale,
        "order": int(zbl.p),
        "coulomb": 14.3996,
        "length": float(zbl.a_prefactor) * 0.529,
        "exponent": float(zbl.a_exp),
        "decays": (3.2, 0.9423, 0.4028, 0.2016),
    }
