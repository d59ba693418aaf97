"""The loss of a training: weighted means over the labels that the training structures have."""

from collections.abc import Mapping

from symnets.data import Statistics
from symnets.loss import Loss
from symnets.potentials._config import TrainConfig
from symnets.potentials._tensor_statistics import TensorStatistics
from symnets.training import energy_term, forces_term, stress_term, tensor_term, weighted_sum


def training_loss(
    config: TrainConfig, stats: Statistics, tensors: Mapping[str, TensorStatistics] | None = None
) -> Loss:
    """Loss of each structure, whose mean is a sum of weighted means over the labels that are present.

    The mean over the training structures is

        L = Σ_k λ_k (Σ_g w_g e_kg) / (Σ_g w_g),   g over the structures with label k,

    where k is energy, forces, stress or a tensor, λ_k its weight in the configuration, w_g the weight of
    structure g (1 by default), and e_kg its squared error, see `symnets.training.energy_term` and others. A
    label that few structures have is thus as important as one that all have, and a common factor of all w_g
    changes nothing.

    The loss of structure g is Σ_k λ_k (N / Σ_g' w_g') w_g e_kg, where N is the number of training structures,
    g' runs over the training structures with label k, and terms without label are zero. These factors do not
    depend on the batch. The mean over a random batch is therefore an unbiased estimate of L, whatever labels
    are in the batch, and parts of a batch on several processes add up to that of the batch.

    Args:
        config: see `TrainConfig`.
        stats: of the training structures.
        tensors: of the same structures, for those that are learnt.
    """
    huber, n = config.loss.huber, stats.n_structures

    def scaled(weight: float, total: float) -> float:
        return weight * n / total if total else weight

    of_labels = stats.label_weights or stats.labelled
    terms = {"energy": energy_term, "forces": forces_term, "stress": stress_term}
    return weighted_sum(
        *(
            (scaled(getattr(config.loss, name), of_labels.get(name, n)), term(huber))
            for name, term in terms.items()
        ),
        *(
            (
                scaled(config.tensors[name].weight, tensor.label_weight),
                tensor_term(name, of_atoms=tensor.output.of_atoms, unit=tensor.deviation),
            )
            for name, tensor in (tensors or {}).items()
        ),
    )
