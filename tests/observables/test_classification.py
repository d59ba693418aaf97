"""Classification errors are counts; the model is left as found."""

import math

import pytest
import torch
from torch import nn

from symnets.models import image_net
from symnets.observables import ClassificationError, classification_error


class Table(nn.Module):
    """Fixed outputs, one row per input."""

    def __init__(self, outputs: torch.Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return self.outputs[rows]


def answers(classes: list[int], n_classes: int = 3) -> Table:
    return Table(nn.functional.one_hot(torch.tensor(classes), n_classes).double())


def test_errors_are_counted():
    found = classification_error(answers([0, 1, 2, 0]), torch.arange(4), torch.tensor([0, 1, 1, 2]))
    assert found == ClassificationError(0.5, 4, math.sqrt(0.25 / 4))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_batches_do_not_matter(batch_size):
    generator = torch.Generator().manual_seed(0)
    model = Table(torch.randn(7, 3, generator=generator))
    labels = torch.randint(3, (7,), generator=generator)
    whole = float((model.outputs.argmax(1) != labels).double().mean())
    assert classification_error(model, torch.arange(7), labels, batch_size=batch_size).error == whole


def test_random_outputs_of_ten_classes_have_error_nine_tenths():
    n = 5000
    generator = torch.Generator().manual_seed(0)
    model = Table(torch.randn(n, 10, generator=generator))
    found = classification_error(model, torch.arange(n), torch.arange(n) % 10)
    assert abs(found.error - 0.9) < 4 * found.standard_error
    assert found.standard_error == pytest.approx(math.sqrt(0.9 * 0.1 / n), rel=0.05)


def test_nan_outputs_are_wrong():
    outputs = torch.tensor([[0.0, 1.0], [0.0, math.nan], [math.inf, 0.0]])
    found = classification_error(Table(outputs), torch.arange(3), torch.tensor([1, 1, 0]))
    assert found.error == 1 / 3


def test_the_model_is_left_as_found():
    net = image_net("vgg_bn", (1, 8, 8), width=0.25).train()
    net.get_submodule("features.norm1").eval()
    modes = [module.training for module in net.modules()]
    state = {key: value.clone() for key, value in net.state_dict().items()}
    random = torch.get_rng_state()
    classification_error(
        net,
        torch.randn(9, 1, 8, 8, generator=torch.Generator().manual_seed(0)),
        torch.arange(9),
        batch_size=4,
    )
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_invalid_input_is_an_error():
    model, rows = answers([0, 1, 2]), torch.arange(3)
    with pytest.raises(ValueError, match="expected equal numbers, at least one of each, got 3 and 2"):
        classification_error(model, rows, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="got 0 and 0"):
        classification_error(model, rows[:0], rows[:0])
    with pytest.raises(ValueError, match="expected classes 0 to 2 of the model, got 0 to 7"):
        classification_error(model, rows, torch.tensor([0, 1, 7]))
    with pytest.raises(ValueError, match=r"expected outputs \(3, classes\), got \(3,\)"):
        classification_error(Table(torch.zeros(3)), rows, rows)
    with pytest.raises(ValueError, match="batch_size"):
        classification_error(model, rows, rows, batch_size=0)
