"""Sizes of nets against the published count and by hand."""

from torch import nn

from symnets.models import Convolutional, Dense, Ensemble, count_weights, size


def test_the_net_of_the_jamming_papers_has_7854_weights():
    """d = h = 51, L = 3 (Spigler et al. 2019, arXiv:1810.09665)."""
    found = size(Dense(51, 51, 3))
    assert found.n_weights == found.n_params == count_weights(51, 51, 3) == 7854
    assert found.n_effective == 7854 - 3 * 51


def test_with_biases_the_effective_number_is_the_number_of_weights_but_for_the_last_bias():
    found = size(Dense(10, 6, 2, bias=True, members=4))
    assert found.n_params == 60 + 36 + 6 + 6 + 6 + 1
    assert found.n_weights == 102
    assert found.n_effective == found.n_weights + 1


def test_a_smooth_activation_leaves_no_rescaling():
    found = size(Dense(10, 6, 2, activation="tanh"))
    assert found.n_effective == found.n_params


def test_a_convolutional_net_counts_filters():
    found = size(Convolutional((3, 8, 8), 4, 2, members=2, bias=True))
    assert found.n_weights == 3 * 4 * 9 + 4 * 4 * 9 + 4
    assert found.n_params == found.n_weights + 4 + 4 + 1
    assert found.n_effective == found.n_params - 8


def test_any_module_counts_parameters_of_one_axis_as_biases():
    found = size(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)))
    assert (found.n_params, found.n_weights, found.n_effective) == (21, 16, 21)


def test_an_ensemble_of_modules_counts_as_one_of_them():
    models = [nn.Linear(3, 2) for _ in range(4)]
    found = size(Ensemble(models))
    assert found == size(models[0])
    assert (found.n_params, found.n_weights) == (8, 6)
