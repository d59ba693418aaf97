"""Statistics of tensor labels, which give the outputs their scale and shift, and the loss its units."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from e3nn import o3
from numpy import ndarray

from symnets.data import AtomGraph, Labels, labels
from symnets.models import TensorOutput
from symnets.nn import matrix_to_irreps


@dataclass(frozen=True)
class TensorStatistics:
    """Statistics of the labels of one tensor output."""

    output: TensorOutput
    """The output with scale and shift."""
    n_labelled: int
    """Number of structures with a label, or of atoms for a tensor of atoms."""
    n: int
    """Number of all structures, or of all atoms for a tensor of atoms."""
    label_weight: float
    """Sum of the loss weights of the structures in which at least one component is labelled; the number of
    these structures if no weights are set."""
    deviation: float | tuple[float, ...]
    """Standard deviation of a component of the label around its mean; for irreps one for each component. Even
    scalars have a mean for each species; the mean of other components is zero by symmetry."""


def tensor_statistics(
    name: str, output: TensorOutput, graphs: Sequence[AtomGraph], species: Sequence[int]
) -> TensorStatistics:
    """Scale, shift and deviation of an output from the labels of graphs.

    The shift of a species is its contribution to an even scalar by least squares; for labels of atoms this is
    the mean over the atoms of the species. The scale is the root mean square of what remains, divided by the
    square root of the mean number of atoms if outputs are summed over atoms.
    """
    values, design, sizes = _labels(name, output, graphs, species)
    known = ~np.isnan(values).any(1)
    owner = np.repeat(np.arange(len(graphs)), sizes if output.of_atoms else 1)
    weights = np.array([graph.weight.item() if "weight" in graph else 1.0 for graph in graphs])
    label_weight = float(weights[np.unique(owner[~np.isnan(values).all(1)])].sum())
    values, design = values[known], design[known]
    shift, deviations, start = [], [], 0
    for mul, ir in output.irreps_out:
        for _ in range(mul):
            part = values[:, start : start + ir.dim]
            if ir == o3.Irrep("0e"):
                of_species = np.linalg.lstsq(design, part[:, 0])[0]
                part = part - (design @ of_species)[:, None]
                shift.append(of_species)
            deviations.append(float(np.sqrt((part**2).mean())))
            start += ir.dim
    deviations = [value if value > 0 else 1.0 for value in deviations]
    summed = not output.of_atoms and output.pool == "sum"
    scale = [value / float(np.sqrt(sizes.mean()) if summed else 1.0) for value in deviations]
    dims = [ir.dim for mul, ir in output.irreps_out for _ in range(mul)]
    components = np.repeat(deviations, dims)
    options: dict[str, Any] = {"scale": tuple(scale) if len(scale) > 1 else scale[0]}
    if shift:
        options["shift"] = tuple(tuple(map(float, row)) for row in np.stack(shift, axis=1))
    return TensorStatistics(
        output=replace(output, **options),
        n_labelled=int(known.sum()),
        n=int(known.size),
        label_weight=label_weight,
        deviation=tuple(map(float, components))
        if output.kind == "irreps"
        else float(np.sqrt((components**2).mean())),
    )


def _labels(
    name: str, output: TensorOutput, graphs: Sequence[AtomGraph], species: Sequence[int]
) -> tuple[ndarray, ndarray, ndarray]:
    """Labels as irreps (rows, dim), composition (rows, species), and numbers of atoms (graphs,).

    A row is a structure or an atom. Its composition is the number of atoms of each species, or their fraction
    if the output is a mean over atoms.
    """
    rows, shares, sizes = [], [], []
    for graph in graphs:
        found: Labels = labels(graph)
        assert found.tensors is not None
        label = found.tensors[name].double().cpu()
        if label.shape[1:] == (3, 3):
            symmetric = output.kind != "atom matrix"
            label = matrix_to_irreps(label, symmetric=symmetric)
        rows.append(label.reshape(len(label), -1).numpy())
        of_species = (graph.z.cpu().numpy()[:, None] == np.asarray(species)).astype(float)
        if not output.of_atoms:
            of_species = of_species.sum(0, keepdims=True) / (len(graph.z) if output.pool == "mean" else 1)
        shares.append(of_species)
        sizes.append(len(graph.z))
    return np.concatenate(rows), np.concatenate(shares), np.array(sizes)
