"""Cross-entropy of classes against torch and closed forms, and a resumed training on random inputs."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from symnets.data import Loader, TensorPairs
from symnets.models import image_net
from symnets.training import Checkpoint, CrossEntropy, Trainer, TrainState, cross_entropy, descend, max_steps


@pytest.fixture
def logits() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 5 * torch.randn(7, 4, generator=generator, dtype=torch.float64)


LABELS = torch.tensor([0, 1, 2, 3, 3, 0, 2])


def test_cross_entropy_equals_that_of_torch(logits):
    expected = F.cross_entropy(logits, LABELS, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, LABELS), expected)
    torch.testing.assert_close(cross_entropy(logits, LABELS.int()), expected)


def test_members_have_the_cross_entropy_of_single_nets(logits):
    both = cross_entropy(torch.stack([logits, -logits]), LABELS)
    torch.testing.assert_close(both[1], cross_entropy(-logits, LABELS))
    assert both.shape == (2, 7)


def test_equal_outputs_have_the_logarithm_of_the_number_of_classes():
    loss = cross_entropy(torch.full((3, 10), 1e4), torch.tensor([0, 5, 9]))
    assert loss.tolist() == pytest.approx([math.log(10)] * 3)


def test_two_classes_are_the_logistic_loss(logits):
    signs = 2.0 * (LABELS % 2) - 1
    expected = CrossEntropy()(logits[:, 1] - logits[:, 0], signs.double())
    torch.testing.assert_close(cross_entropy(logits[:, :2], LABELS % 2), expected)


def test_gradient_is_softmax_minus_label(logits):
    logits.requires_grad_()
    cross_entropy(logits, LABELS).sum().backward()
    torch.testing.assert_close(logits.grad, logits.detach().softmax(1) - F.one_hot(LABELS, 4))


def test_loss_of_a_confident_wrong_output_is_finite():
    loss = cross_entropy(torch.tensor([[1e30, 0.0]]), torch.tensor([1]))
    assert float(loss) == pytest.approx(1e30)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, 1]), r"one class index per example, \(7,\), got \(2,\)"),
        (torch.zeros(7), "expected class indices"),
        (torch.tensor([0, 1, 2, 3, 4, 0, 0]), "expected 0 to 3 for 4 outputs, got 0 to 4"),
        (torch.tensor([0, 1, 2, 3, -1, 0, 0]), "got -1 to 3"),
    ],
)
def test_labels_that_are_not_classes_are_refused(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        cross_entropy(logits, labels)


def _training(loader: Loader) -> TrainState:
    torch.manual_seed(0)
    net = image_net("vgg_bn", (1, 8, 8), 2, width=0.25)
    return TrainState(net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9))


def test_a_resumed_training_on_random_inputs_ends_with_the_same_bits(tmp_path: Path):
    x = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(1))

    def noisy(inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return inputs + 0.3 * torch.randn(inputs.shape, generator=generator)

    loader = Loader(TensorPairs(x, torch.arange(20) % 2, noisy), 8, shuffle=True, seed=4)
    whole = _training(loader)
    Trainer(max_steps(8)).fit(descend(whole, cross_entropy, loader))

    part = _training(loader)
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    Trainer(max_steps(5), callbacks=[checkpoint]).fit(descend(part, cross_entropy, loader))
    rest = _training(loader)
    checkpoint.restore(rest)
    Trainer(max_steps(8)).fit(descend(rest, cross_entropy, loader))
    assert rest.step == whole.step
    ours, theirs = rest.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
