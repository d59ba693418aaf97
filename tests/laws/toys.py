"""Energy models simple enough to be correct by inspection, and force fields that are wrong in one way."""

import torch
from torch import nn

from symnets.data import AtomGraph
from symnets.models import EnergyForces, ForceField

SPECIES = (1, 6, 8)


def density(graph: AtomGraph, cutoff: float) -> torch.Tensor:
    """ρ_i = Σ_j z_j/z_i e^{-r} (1 - r²/cutoff²)³, smooth at the cutoff."""
    sender, receiver = graph.edge_index
    r = graph.edge_vectors().norm(dim=1)
    terms = graph.z[sender] / graph.z[receiver] * torch.exp(-r) * (1 - (r / cutoff) ** 2).clamp(min=0) ** 3
    return graph.pos.new_zeros(len(graph.z)).index_add(0, receiver, terms)


class EmbeddedAtom(nn.Module):
    """Lawful: E_i = ρ_i + ρ_i²."""

    species = SPECIES
    cutoff = 4.0

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        rho = density(graph, self.cutoff)
        return rho + rho**2


class SeesTheXAxis(EmbeddedAtom):
    """Not invariant under rotations: neighbours along x raise the energy."""

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        _, receiver = graph.edge_index
        vectors = graph.edge_vectors()
        r = vectors.norm(dim=1)
        terms = (vectors[:, 0] / r) ** 2 * torch.exp(-r) * (1 - (r / self.cutoff) ** 2) ** 3
        return super().forward(graph).index_add(0, receiver, terms)


class Handed(EmbeddedAtom):
    """Breaks parity: a triple product a · (b × c) of three vectors to neighbours."""

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        _, receiver = graph.edge_index
        vectors = graph.edge_vectors()
        r = vectors.norm(dim=1, keepdim=True)
        powers = torch.stack([vectors * r**n for n in range(3)], dim=1) * torch.exp(-r)[..., None]
        smooth = powers * ((1 - (r / self.cutoff) ** 2) ** 3)[..., None]
        return super().forward(graph) + torch.linalg.det(
            vectors.new_zeros(len(graph.z), 3, 3).index_add(0, receiver, smooth)
        )


class Uncentred(EmbeddedAtom):
    """Depends on the origin: a field of 0.1 eV/Å."""

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        return super().forward(graph) + 0.1 * graph.pos.norm(dim=1)


class CountsAtoms(EmbeddedAtom):
    """Depends on the index of an atom."""

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        first = torch.cat([graph.n_atoms.new_zeros(1), graph.n_atoms.cumsum(0)[:-1]])
        index = torch.arange(len(graph.z)) - first[graph.owner]
        return super().forward(graph) * (1 + 0.01 * index)


class Averages(EmbeddedAtom):
    """Not extensive: the energy is a mean over the atoms."""

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        return super().forward(graph) / graph.n_atoms[graph.owner]


class AveragesTheBatch(EmbeddedAtom):
    """Subtracts the mean over the batch, as a batch norm does."""

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        energy = super().forward(graph)
        return energy - energy.mean()


class ForgetsShifts(EmbeddedAtom):
    """Ignores the shifts of periodic images."""

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        inside = graph.clone()
        sender, receiver = graph.edge_index
        inside.edge_shift = graph.edge_shift * 0
        apart = inside.edge_vectors().norm(dim=1)
        sender, receiver = sender[apart > 0], receiver[apart > 0]
        terms = torch.exp(-apart[apart > 0])
        return super().forward(graph).index_add(0, receiver, terms)


class ReadsTheCell(EmbeddedAtom):
    """Depends on the length of the first cell vector."""

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        return super().forward(graph) * (1 + 0.01 * graph.cell[graph.owner, 0].norm(dim=1))


class SharpForces(EmbeddedAtom):
    """Its energy reaches zero at the cutoff, its force does not."""

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        _, receiver = graph.edge_index
        r = graph.edge_vectors().norm(dim=1)
        return graph.pos.new_zeros(len(graph.z)).index_add(0, receiver, torch.exp(-r) * (1 - r / self.cutoff))


class SharpEnergy(EmbeddedAtom):
    """Cut without an envelope."""

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        _, receiver = graph.edge_index
        r = graph.edge_vectors().norm(dim=1)
        return graph.pos.new_zeros(len(graph.z)).index_add(0, receiver, torch.exp(-r))


class LongArm(EmbeddedAtom):
    """Couples all atoms of a structure through their number of neighbours."""

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        rho = density(graph, self.cutoff)
        total = rho.new_zeros(graph.n_graphs).index_add(0, graph.owner, rho)
        return rho * total[graph.owner]


class NeedsNeighbours(EmbeddedAtom):
    """Divides by the number of neighbours."""

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        n_neighbours = torch.bincount(graph.edge_index[1], minlength=len(graph.z))
        return super().forward(graph) / n_neighbours


class RoundsToSingle(EmbeddedAtom):
    """Always computes in float32."""

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        return super().forward(graph).float()


class Scribbles(EmbeddedAtom):
    """Changes the given graph."""

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        energy = super().forward(graph)
        graph.z.fill_(1)
        return energy


class Drifts(EmbeddedAtom):
    """A second prediction differs from the first."""

    calls = 0

    def forward(self, graph: AtomGraph) -> torch.Tensor:
        self.calls += 1
        return super().forward(graph) * (1 + 0.1 * self.calls)


class WrongSign(ForceField):
    """Forces along the gradient."""

    def forward(self, graph: AtomGraph) -> EnergyForces:
        prediction = super().forward(graph)
        return prediction._replace(forces=-prediction.forces)


class StressOfStrangers(ForceField):
    """Stress in the sign of pressure."""

    def forward(self, graph: AtomGraph) -> EnergyForces:
        prediction = super().forward(graph)
        return prediction._replace(stress=None if prediction.stress is None else -prediction.stress)


class NetForce(ForceField):
    """Adds a net force along x."""

    def forward(self, graph: AtomGraph) -> EnergyForces:
        prediction = super().forward(graph)
        return prediction._replace(forces=prediction.forces + torch.eye(3).to(prediction.forces)[0])


class FloatEnergy(ForceField):
    """Returns energies in float32."""

    def forward(self, graph: AtomGraph) -> EnergyForces:
        prediction = super().forward(graph)
        return prediction._replace(energy=prediction.energy.float())


class NoStressInBatches(ForceField):
    """Predicts a stress for a single structure only."""

    def forward(self, graph: AtomGraph) -> EnergyForces:
        prediction = super().forward(graph)
        return prediction if graph.n_graphs == 1 else prediction._replace(stress=None)


class StressEveryOtherTime(ForceField):
    """Its second, fourth, ... prediction has no stress."""

    calls = 0

    def forward(self, graph: AtomGraph) -> EnergyForces:
        self.calls += 1
        prediction = super().forward(graph)
        return prediction if self.calls % 2 else prediction._replace(stress=None)


class OneEnergyPerBatch(ForceField):
    """Sums the energies of a batch."""

    def forward(self, graph: AtomGraph) -> EnergyForces:
        prediction = super().forward(graph)
        return prediction._replace(energy=prediction.energy.sum(dim=0, keepdim=True))
