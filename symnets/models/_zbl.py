"""WithZBL: an energy model plus the screened Coulomb repulsion of nuclei."""

from collections.abc import Sequence

import torch
from ase.data import covalent_radii
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.models._graph_network import energy_and_features
from symnets.native import CannotLower, LoweredGraph, Matrix, Program, Repulsion, Screening, lower
from symnets.nn import polynomial_envelope

# c_n and d_n of the universal screening function: Ziegler, Biersack, Littmark 1985.
_AMPLITUDES = (0.1818, 0.5099, 0.2802, 0.02817)
_DECAYS = (3.2, 0.9423, 0.4029, 0.2016)
_COULOMB = 14.3996454784255
"""e² / 4πε₀ in eV Å."""
_BOHR = 0.529177210903
"""a_0 in Å."""


class WithZBL(nn.Module):
    """An energy model plus the Ziegler-Biersack-Littmark repulsion of close nuclei:

        E_ij = s e²/(4πε₀) Z_i Z_j / r Σ_n c_n exp(-d_n r / a) · u(r / r_s),
        a = l / (Z_i^x + Z_j^x),     l = 0.8854 a_0,     x = 0.23,

    with atomic numbers Z and the Bohr radius a_0. Each atom of a pair has half of E_ij. The envelope u
    (`polynomial_envelope`) takes it to zero at r_s, the sum of the covalent radii (at most the cutoff), so
    that bonds at equilibrium hardly change.

    The constants are options, since other programs round them or use different values: `from_mace` sets
    those of mace-torch.

    Source: Ziegler, Biersack and Littmark 1985, The Stopping and Range of Ions in Solids.

    Args:
        energy_model: model of atomic energies in eV, with `species` and `cutoff`.
        scale: factor s of the repulsion.
        order: order of the envelope u.
        coulomb: e²/(4πε₀) in eV Å.
        length: l in Å.
        exponent: x.
        decays: the four d_n.
    """

    def __init__(
        self,
        energy_model: nn.Module,
        *,
        scale: float = 1.0,
        order: int = 6,
        coulomb: float = _COULOMB,
        length: float = 0.8854 * _BOHR,
        exponent: float = 0.23,
        decays: Sequence[float] = _DECAYS,
    ) -> None:
        super().__init__()
        options = {
            "scale": scale,
            "order": order,
            "coulomb": coulomb,
            "length": length,
            "exponent": exponent,
            "decays": tuple(decays),
        }
        self.config = {"energy_model": energy_model, **options}
        self.energy_model = energy_model
        self.species: tuple[int, ...] = tuple(energy_model.species)  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
        self.cutoff: float = float(energy_model.cutoff)  # pyright: ignore[reportArgumentType]
        self._radii: dict[tuple[torch.dtype, torch.device], Tensor] = {}
        self.scale, self.order, self.coulomb = scale, order, coulomb
        self.length, self.exponent, self.decays = length, exponent, tuple(decays)

    def forward(self, graph: AtomGraph) -> Float[Tensor, " atoms"]:
        """Energy of each atom in eV."""
        energy = self.energy_model(graph)
        return energy + self.repulsion(graph).to(energy.dtype)

    def energy_and_features(
        self, graph: AtomGraph
    ) -> tuple[Float[Tensor, " atoms"], Float[Tensor, "atoms dim"]]:
        """Energy of each atom in eV, and the features of the energy model, in one pass."""
        energy, features = energy_and_features(self.energy_model, graph)
        return energy + self.repulsion(graph).to(energy.dtype), features

    def repulsion(self, graph: AtomGraph) -> Float[Tensor, " atoms"]:
        """ZBL energy of each atom in eV."""
        sender, receiver = graph.edge_index
        r = graph.edge_vectors().norm(dim=-1)
        z = graph.z.to(r.dtype)
        radii = self._covalent_radii(r)[graph.z]
        r_stop = (radii[sender] + radii[receiver]).clamp(max=self.cutoff)
        screening_length = self.length / (z[sender] ** self.exponent + z[receiver] ** self.exponent)
        screening = sum(
            c * torch.exp(-d * r / screening_length) for c, d in zip(_AMPLITUDES, self.decays, strict=True)
        )
        envelope = polynomial_envelope(r / r_stop, self.order)
        pair_energy = self.coulomb * z[sender] * z[receiver] / r * screening * envelope
        half = self.scale * pair_energy / 2
        return r.new_zeros(graph.z.shape[0]).index_add(0, receiver, half)

    def lower(self, program: Program, graph: LoweredGraph) -> Matrix:
        """Energy of each atom of a native program.

        Raises:
            CannotLower: the envelope's order is 0, or the energy model has no native code.
        """
        if self.order < 1:
            raise CannotLower(f"an envelope of order {self.order} has no native code")
        law = Screening(self.scale * self.coulomb, _AMPLITUDES, self.decays, self.order)
        inverse_lengths = [z**self.exponent / self.length for z in self.species]
        radii = [float(covalent_radii[z]) for z in self.species]
        repulsion = Repulsion(program, law, self.species, inverse_lengths, radii)
        program.add(repulsion)
        return program.sum(lower(program, self.energy_model, graph), repulsion.out)

    def _covalent_radii(self, like: Tensor) -> Float[Tensor, " elements"]:
        """Covalent radii in Å, in the dtype and on the device of a tensor; copied there once."""
        key = (like.dtype, like.device)
        if key not in self._radii:
            with torch.inference_mode(False):  # tensors made in inference mode cannot be used in training
                self._radii[key] = torch.as_tensor(covalent_radii, dtype=like.dtype, device=like.device)
        return self._radii[key]
