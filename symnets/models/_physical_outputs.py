"""Charges, dipoles, polarizabilities and tensors of atoms, from the features of atoms."""

from collections.abc import Sequence

import torch
from ase.data import atomic_masses
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.models._tensor_readout import TensorReadout, sums
from symnets.nn import irreps_to_matrix


class Charges(nn.Module):
    """Charges of atoms in e that sum to the total charge Q of their structure:

        q_i = s_i - (Σ_j s_j - Q) / n_atoms

    with a scalar s_i of each atom. Q is `graph.charge` (structures,), zero if the graph has none.

    Args:
        irreps_in: irreps of the features, even scalars first.
        species: atomic numbers.
        scale: e, factor of the network's output.
        shift: e, mean charge of each species, one row of one number each; None for zero.
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        species: Sequence[int],
        *,
        scale: float = 1.0,
        shift: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.readout = TensorReadout(irreps_in, species, "1x0e", per="atom", scale=scale, shift=shift)

    def forward(self, features: Float[Tensor, "atoms dim"], graph: AtomGraph) -> Float[Tensor, " atoms"]:
        """Charge of each atom in e."""
        charges, total = self.readout(features, graph).squeeze(-1), graph.get("charge")
        excess = charges.new_zeros(graph.n_graphs).index_add(0, graph.owner, charges)
        if total is not None:
            excess = excess - total.to(excess)
        return charges - (excess / graph.n_atoms)[graph.owner]


class Dipole(nn.Module):
    """Dipole of a molecule in e·Å, the sum of those of atomic charges and of atomic dipoles:

        μ = Σ_i q_i (r_i - R) + Σ_i μ_i

    with conserved `Charges` q_i and a vector μ_i (1o) of each atom. The origin R is the centre of mass, or of
    the nuclear charges. The dipole of a neutral molecule does not depend on R. That of an ion of charge Q
    relative to another origin R' is μ + Q (R - R').

    Args:
        irreps_in: irreps of the features, even scalars first.
        species: atomic numbers.
        scale: factor of the network's outputs, in e for charges and in e·Å for atomic dipoles.
        atomic: whether there are atomic dipoles, for which the features must have 1o.
        origin: "mass" or "nuclear charge".

    Raises:
        ValueError: an unknown origin, or the features have no 1o, which atomic dipoles need. `forward`: a
            structure is periodic, so that its dipole is not defined.
    """

    weights: Tensor

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        species: Sequence[int],
        *,
        scale: float = 1.0,
        atomic: bool = True,
        origin: str = "mass",
    ) -> None:
        super().__init__()
        if origin not in ("mass", "nuclear charge"):
            raise ValueError(f"origin: expected mass or nuclear charge, got {origin!r}")
        self.charges = Charges(irreps_in, species, scale=scale)
        self.vectors = TensorReadout(irreps_in, species, "1x1o", scale=scale) if atomic else None
        masses = torch.as_tensor(atomic_masses, dtype=torch.get_default_dtype())
        weights = masses if origin == "mass" else torch.arange(len(masses)).to(masses)
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, features: Float[Tensor, "atoms dim"], graph: AtomGraph) -> Float[Tensor, "graphs 3"]:
        """Dipole of each structure in e·Å."""
        if bool(graph.pbc.any()):
            raise ValueError(
                "dipole: expected molecules, got a structure with periodic boundaries, whose dipole is not "
                "defined; set pbc to False if it is a molecule in a box"
            )
        owner, n_graphs = graph.owner, graph.n_graphs
        weights = self.weights.to(graph.pos.dtype)[graph.z][:, None]
        centre = sums(weights * graph.pos, owner, n_graphs) / sums(weights, owner, n_graphs)
        charges = self.charges(features, graph)[:, None]
        dipole = sums(charges * (graph.pos - centre[owner]), owner, n_graphs)
        return dipole if self.vectors is None else dipole + self.vectors(features, graph)


class Polarizability(nn.Module):
    """Symmetric matrix of a structure, such as its polarizability: a sum of matrices of atoms (0e + 2e).

    It is in the unit of the labels.

    Args:
        irreps_in: irreps of the features, even scalars first, with 2e.
        species: atomic numbers.
        scale: factor of the network's output.
        shift: isotropic part of each species as a row of one number, trace / √3 (`matrix_to_irreps`).
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        species: Sequence[int],
        *,
        scale: float | Sequence[float] = 1.0,
        shift: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.readout = TensorReadout(irreps_in, species, "1x0e+1x2e", scale=scale, shift=shift)

    def forward(self, features: Float[Tensor, "atoms dim"], graph: AtomGraph) -> Float[Tensor, "graphs 3 3"]:
        """Matrix of each structure."""
        return irreps_to_matrix(self.readout(features, graph))


class AtomMatrix(nn.Module):
    """Matrix of each atom, such as its NMR shielding: 0e + 1e + 2e, or 0e + 2e if symmetric.

    It is in the unit of the labels.

    Args:
        irreps_in: irreps of the features, even scalars first, with 2e, and 1e unless symmetric.
        species: atomic numbers.
        symmetric: whether the matrices are symmetric.
        scale: factor of the network's output.
        shift: isotropic part of each species as a row of one number, trace / √3 (`matrix_to_irreps`).
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        species: Sequence[int],
        *,
        symmetric: bool = False,
        scale: float | Sequence[float] = 1.0,
        shift: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        irreps = "1x0e+1x2e" if symmetric else "1x0e+1x1e+1x2e"
        self.readout = TensorReadout(irreps_in, species, irreps, per="atom", scale=scale, shift=shift)

    def forward(self, features: Float[Tensor, "atoms dim"], graph: AtomGraph) -> Float[Tensor, "atoms 3 3"]:
        """Matrix of each atom."""
        return irreps_to_matrix(self.readout(features, graph))
