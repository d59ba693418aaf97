"""Losses, optimisers and schedulers of torch in the dynamics of symnets."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from symnets.data import Batch, Loader, TensorPairs
from symnets.loss import mean_loss
from symnets.models import Dense, Ensemble
from symnets.training import (
    MSE,
    Criterion,
    CrossEntropy,
    Muon,
    Trainer,
    TrainState,
    cross_entropy,
    descend,
    descend_members,
    gradient_flow,
    levenberg_marquardt,
    max_steps,
)

LABELS = torch.tensor([0, 1, 2, 1, 0])


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def after_steps(model, loss, targets, n=3):
    """Weights after some steps of plain descent on five examples."""
    state = TrainState(model, torch.optim.SGD(model.parameters(), lr=0.1))
    steps = descend(state, loss, Loader(TensorPairs(draw(5, 4), targets), 5))
    for _ in range(n):
        next(steps)
    return torch.cat([p.detach().flatten() for p in model.parameters()]), state.loss


def linear(n_outputs, seed=0):
    torch.manual_seed(seed)
    return nn.Linear(4, n_outputs).double()


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("members", [None, 2])
def test_cross_entropy_of_torch_equals_ours(reduction, members):
    def model():
        return linear(3) if members is None else Ensemble([linear(3, seed) for seed in range(members)])

    ours = after_steps(model(), cross_entropy, LABELS)
    theirs = after_steps(model(), nn.CrossEntropyLoss(reduction=reduction), LABELS)
    torch.testing.assert_close(theirs[0], ours[0], rtol=1e-12, atol=1e-14)
    assert theirs[1] == pytest.approx(ours[1], rel=1e-12)


def test_a_loss_with_class_weights_keeps_its_own_mean():
    """Class weights are normalised by torch; the step follows the gradient of that mean."""
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 2.0], dtype=torch.float64))
    model = linear(3)
    gradients = torch.autograd.grad(loss(model(draw(5, 4)), LABELS), list(model.parameters()))
    expected = [p.detach() - 0.1 * g for p, g in zip(model.parameters(), gradients, strict=True)]
    found, _ = after_steps(model, loss, LABELS, n=1)
    torch.testing.assert_close(found, torch.cat([p.flatten() for p in expected]), rtol=1e-12, atol=1e-14)
    function, _ = after_steps(linear(3), F.cross_entropy, LABELS)
    module, _ = after_steps(linear(3), nn.CrossEntropyLoss(), LABELS)
    torch.testing.assert_close(function, module, rtol=1e-12, atol=1e-14)


def test_outputs_of_one_column_fit_targets_without_columns():
    y = draw(5, seed=1)
    found, _ = after_steps(linear(1), nn.MSELoss(), y)
    expected, _ = after_steps(linear(1), lambda f, t: (f[:, 0] - t) ** 2, y)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_sums_and_values_of_other_shapes_are_refused():
    f, y = draw(5), draw(5, seed=1)
    with pytest.raises(ValueError, match="reduction='mean' or 'none', got 'sum'"):
        mean_loss(nn.MSELoss(reduction="sum"), f, y)
    with pytest.raises(ValueError, match=r"expected one value per example, \(n,\), got shape \(5, 1\)"):
        mean_loss(lambda f, t: (f - t)[:, None], f, y)
    with pytest.raises(ValueError, match=r"expected one value per example, \(2, n\), got shape \(\)"):
        mean_loss(lambda f, t: (f - t).mean(), draw(2, 5), y, members=2)


def nets():
    generator = torch.Generator().manual_seed(0)
    return Dense(4, 5, 1, activation="tanh", members=2, generator=generator, dtype=torch.float64)


PATTERNS = Batch(draw(6, 4), draw(6, seed=1).sign())


def last(dynamics):
    *_, state = dynamics
    return state


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_soft_margin_loss_of_torch_is_cross_entropy_of_labels(reduction):
    loss = nn.SoftMarginLoss(reduction=reduction)
    for dynamics, optimizer in [(descend_members, torch.optim.Adam), (gradient_flow, None)]:
        losses = []
        for one in (CrossEntropy(), loss):
            model = nets()
            state = TrainState(model, optimizer and optimizer(model.parameters(), lr=0.01))
            losses.append(last(dynamics(state, one, tuple(PATTERNS), budget=20)).members.loss)
        torch.testing.assert_close(*losses, rtol=1e-10, atol=0)


def test_levenberg_marquardt_takes_the_squared_error_of_torch():
    """(f - y)² is twice ours, so the steps are the same if the damping relative to JᵀJ is the same."""
    ours = last(levenberg_marquardt(TrainState(nets()), MSE(), PATTERNS, budget=5)).members.loss
    theirs = last(levenberg_marquardt(TrainState(nets()), nn.MSELoss(), PATTERNS, budget=5)).members.loss
    torch.testing.assert_close(theirs, 2 * ours, rtol=1e-8, atol=1e-20)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.BCEWithLogitsLoss(), nn.MSELoss(reduction="sum")])
def test_losses_that_are_not_pointwise_are_refused(loss):
    with pytest.raises(ValueError, match=r"loss: expected"):
        next(gradient_flow(TrainState(nets()), loss, PATTERNS, budget=1))


def test_functions_without_derivatives_are_refused_by_name():
    with pytest.raises(ValueError, match=r"pointwise loss such as .* got mse_loss without d1, d2"):
        next(gradient_flow(TrainState(nets()), F.mse_loss, PATTERNS, budget=1))


def test_optimisers_and_schedulers_whose_steps_need_arguments_are_refused():
    model = nets()
    newton = TrainState(model, torch.optim.LBFGS(model.parameters()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    plateau = TrainState(model, optimizer, torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer))  # pyright: ignore
    for state, match in [(newton, "got LBFGS"), (plateau, "got ReduceLROnPlateau")]:
        with pytest.raises(ValueError, match=f"descend: expected .*{match}"):
            next(descend(state, MSE(), Loader(TensorPairs(*PATTERNS), 3)))
        with pytest.raises(ValueError, match=f"descend_members: expected .*{match}"):
            next(descend_members(state, MSE(), PATTERNS, budget=1))


class Sharp(torch.optim.SGD):
    """An optimiser whose step evaluates the loss."""

    def step(self, closure):
        return super().step(closure)


class Timed:
    """A scheduler whose step needs the number of the epoch."""

    def step(self, epoch):
        raise AssertionError(epoch)


def test_needed_arguments_are_read_from_the_signature_of_step():
    model = nets()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for state, match in [
        (TrainState(model, Sharp(model.parameters(), lr=0.1)), "got Sharp, whose step needs closure"),
        (TrainState(model, optimizer, Timed()), "got Timed, whose step needs epoch"),
        (TrainState(nets(), optimizer), "got one that has none of them"),
    ]:
        with pytest.raises(ValueError, match=match):
            next(descend_members(state, MSE(), PATTERNS, budget=1))
    for dynamics in (gradient_flow, levenberg_marquardt):
        with pytest.raises(
            ValueError, match=f"{dynamics.__name__}: expected state.scheduler=None, got Timed"
        ):
            next(dynamics(TrainState(nets(), None, Timed()), MSE(), PATTERNS, budget=1))


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.NAdam, torch.optim.Rprop, Muon])
def test_optimisers_are_divided_among_members_that_end_at_different_steps(optimizer):
    """The nets of a pair end as they do alone."""
    targets = torch.stack([PATTERNS.targets, torch.zeros(6, dtype=torch.float64)])

    def trained(model, y):
        weights = [[*model.weights], []] if optimizer is Muon else [model.parameters()]
        state = TrainState(model, optimizer(*weights, lr=0.05))
        last(
            descend_members(state, MSE(), (PATTERNS.inputs, y), budget=40, criterion=Criterion(tolerance=0.3))
        )
        return state

    together = trained(nets(), targets)
    for member in (0, 1):
        alone = trained(nets().select([member]), targets[member])
        assert together.members.steps[member] == alone.members.steps[0]
        torch.testing.assert_close(
            together.model.weights[0][member], alone.model.weights[0][0], rtol=1e-10, atol=1e-12
        )
    assert len(set(together.members.steps.tolist())) == 2


def test_optimisers_in_which_members_influence_each_other_are_refused():
    model = nets()
    state = TrainState(model, torch.optim.Adafactor(model.parameters(), lr=0.1))
    with pytest.raises(
        ValueError, match=r"treats each weight by itself such as Adam, got Adafactor with row_var"
    ):
        last(descend_members(state, MSE(), PATTERNS, budget=20))


@pytest.mark.parametrize("shape", [(6,), (6, 1), (2, 6), (2, 6, 1)])
@pytest.mark.parametrize("loss", [MSE(), nn.MSELoss()])
def test_targets_and_outputs_may_be_columns(loss, shape):
    """Torch would broadcast (6,) with (6, 1) to all 36 pairs."""
    y = PATTERNS.targets.expand(shape[:-1] if shape[-1] == 1 else shape).reshape(shape)
    for dynamics, optimizer in [(descend_members, torch.optim.SGD), (gradient_flow, None)]:
        losses = []
        for d_out, targets in ((None, PATTERNS.targets), (None, y), (1, y), (1, y.int())):
            seed = torch.Generator().manual_seed(0)
            model = Dense(4, 5, 1, members=2, d_out=d_out, generator=seed, dtype=torch.float64)
            state = TrainState(model, optimizer and optimizer(model.parameters(), lr=0.1))
            losses.append(last(dynamics(state, loss, [PATTERNS.inputs, targets], budget=3)).members.loss)
        for found in losses[1:]:
            torch.testing.assert_close(found, losses[0], rtol=1e-12, atol=0)


def test_columns_are_not_broadcast_in_descend():
    y = draw(5, seed=1)
    expected, _ = after_steps(linear(1), lambda f, t: (f[:, 0] - t) ** 2, y)
    for targets, rounding in ((y[:, None], 1e-12), (y.float(), 1e-6)):
        found = after_steps(linear(1), nn.MSELoss(), targets)[0]
        torch.testing.assert_close(found, expected, rtol=rounding, atol=rounding)
    flat = nn.Sequential(linear(1), nn.Flatten(0))
    torch.testing.assert_close(
        after_steps(flat, nn.MSELoss(), y[:, None])[0], expected, rtol=1e-12, atol=1e-14
    )
    found, _ = after_steps(Ensemble([linear(1), linear(1)]), nn.MSELoss(), y[:, None])
    torch.testing.assert_close(found, torch.cat([expected[:4].repeat(2), expected[4:].repeat(2)]))


@pytest.mark.parametrize(
    ("loss", "targets", "match"),
    [
        (
            nn.SoftMarginLoss(),
            (draw(5) > 0).double(),
            r"labels: expected \+1 and -1, got .* 2\.0 \* labels - 1",
        ),
        (CrossEntropy(), draw(5) > 0, r"labels: expected \+1 and -1, got .* 2\.0 \* labels - 1"),
        (nn.BCEWithLogitsLoss(), draw(5).sign(), r"numbers from 0 to 1 .* \(labels \+ 1\) / 2"),
        (nn.CrossEntropyLoss(), LABELS.double(), "expected class indices .*, got torch.float64"),
        (nn.MSELoss(), draw(5, 2), r"targets of the shape of the outputs, \(5, 1\), got \(5, 2\)"),
        (nn.MSELoss, draw(5), r"got the class MSELoss; call it: MSELoss\(\)"),
        ("mse", draw(5), r"function of \(outputs, targets\), got 'mse'"),
        (nn.GaussianNLLLoss(), draw(5), "GaussianNLLLoss, which takes input, target, var"),
    ],
)
def test_targets_and_losses_that_do_not_fit_are_refused(loss, targets, match):
    with pytest.raises(ValueError, match=match):
        after_steps(linear(1), loss, targets)


def test_class_labels_may_be_a_column_of_any_integers():
    expected = after_steps(linear(3), nn.CrossEntropyLoss(), LABELS)[0]
    for loss in (nn.CrossEntropyLoss(), cross_entropy):
        for labels in (LABELS[:, None], LABELS.int(), LABELS.to(torch.uint8)):
            torch.testing.assert_close(
                after_steps(linear(3), loss, labels)[0], expected, rtol=1e-12, atol=1e-14
            )


@pytest.mark.parametrize(
    ("batch", "match"),
    [
        (
            {"x": PATTERNS.inputs, "y": PATTERNS.targets},
            r"expected \(inputs, targets\), got a dict with keys x, y",
        ),
        ((*PATTERNS, None), "got a tuple of 3"),
        ((PATTERNS.inputs[:0], PATTERNS.targets[:0]), "at least one pattern"),
        ((PATTERNS.inputs, PATTERNS.targets[:3]), r"targets \(6,\) or \(2, 6\) for inputs \(6, 4\)"),
        ((PATTERNS.inputs.numpy(), PATTERNS.targets), "expected tensors or graphs, got a numpy array"),
        (
            (PATTERNS.inputs.float(), PATTERNS.targets),
            r"x: expected torch.float64 as the weights, got torch.float32",
        ),
    ],
)
def test_batches_that_do_not_fit_are_refused(batch, match):
    model = nets()
    state = TrainState(model, torch.optim.SGD(model.parameters(), lr=0.1))
    for dynamics in (
        lambda: descend_members(state, MSE(), batch, budget=1),
        lambda: gradient_flow(TrainState(nets()), MSE(), batch, budget=1),
        lambda: levenberg_marquardt(TrainState(nets()), MSE(), batch, budget=1),
    ):
        with pytest.raises(ValueError, match=match):
            next(dynamics())


def test_other_loaders_and_dynamics_are_refused():
    model = linear(1)
    state = TrainState(model, torch.optim.SGD(model.parameters(), lr=0.1))
    pairs = torch.utils.data.TensorDataset(draw(5, 4), draw(5))
    for loader in (torch.utils.data.DataLoader(pairs), [tuple(PATTERNS)], {"x": 1}):
        with pytest.raises(
            ValueError, match=r"descend: expected a symnets.data.Loader, .*, got a (Data|list|dict)"
        ):
            next(descend(state, nn.MSELoss(), loader))
    with pytest.raises(ValueError, match=r"dynamics: expected an iterator .*, got a TrainState"):
        Trainer(max_steps(1)).fit(state)
    with pytest.raises(ValueError, match=r"expected graphs or pairs \(input, target\), got a dict"):
        next(iter(Loader([{"x": 1}], 1)))
    for example, got in (
        ((draw(4), 1.0), "Tensor, float"),
        ((draw(4), draw(4), draw(1)), "Tensor, Tensor, Tensor"),
    ):
        with pytest.raises(ValueError, match=rf"expected pairs \(input, target\) of tensors, got \({got}\)"):
            next(iter(Loader([example], 1)))


def test_a_subclass_of_tensor_pairs_yields_its_own_examples():
    class Doubled(TensorPairs):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return 2 * x, y

    (batch,) = Loader(Doubled(draw(5, 4), draw(5)), 5)
    assert torch.equal(batch.inputs, 2 * draw(5, 4))


def test_the_state_of_lbfgs_cannot_be_saved():
    model = linear(1)
    state = TrainState(model, torch.optim.LBFGS(model.parameters(), max_iter=2))
    x, y = draw(5, 4), draw(5)

    def closure():
        state.optimizer.zero_grad()
        loss = ((model(x)[:, 0] - y) ** 2).mean()
        loss.backward()
        return loss

    state.optimizer.step(closure)
    with pytest.raises(ValueError, match=r"checkpoint: expected tensors and numbers .* got a list in LBFGS"):
        state.state_dict()


def test_derivatives_of_a_base_class_are_not_those_of_a_subclass():
    class Doubled(MSE):
        def __call__(self, outputs, targets):
            return 2 * super().__call__(outputs, targets)

    for dynamics in (gradient_flow, levenberg_marquardt):
        ours = last(dynamics(TrainState(nets()), Doubled(), PATTERNS, budget=4)).members.loss
        theirs = last(dynamics(TrainState(nets()), nn.MSELoss(), PATTERNS, budget=4)).members.loss
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0)
