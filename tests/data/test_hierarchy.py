"""Random and sparse hierarchies: rules without ambiguity, counts, and changes that keep the label."""

import itertools

import pytest
import torch
from torch import Generator, Tensor

from symnets.data import HierarchySample, RandomHierarchy, SparseHierarchy

TASKS = [
    RandomHierarchy(n_classes=3, vocabulary=4, n_synonyms=4, depth=2),
    RandomHierarchy(n_classes=4, vocabulary=3, n_synonyms=2, depth=3, seed=1),
    RandomHierarchy(n_classes=2, vocabulary=3, n_synonyms=2, tuple_size=3, depth=2, seed=2),
    RandomHierarchy(n_classes=5, vocabulary=3, n_synonyms=1, depth=1),
    SparseHierarchy(n_classes=2, vocabulary=3, n_synonyms=2, depth=2, n_empty=1),
    SparseHierarchy(n_classes=3, vocabulary=3, n_synonyms=2, depth=2, n_empty=2, seed=3),
    SparseHierarchy(n_classes=2, vocabulary=3, n_synonyms=2, tuple_size=3, depth=1, n_empty=1),
]
every_task = pytest.mark.parametrize("task", TASKS, ids=repr)


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def some(task: RandomHierarchy) -> HierarchySample:
    return task.sample(min(task.n_inputs, 300), generator(5))


def tuples_of(rules: Tensor) -> set[tuple[int, ...]]:
    return set(map(tuple, rules.flatten(0, 1).tolist()))


@every_task
def test_no_two_rules_of_a_level_make_the_same_tuple(task: RandomHierarchy) -> None:
    assert len(task.rules) == task.depth
    for rules in task.rules:
        assert len(tuples_of(rules)) == rules.shape[0] * task.n_synonyms
        assert 0 <= int(rules.min()) <= int(rules.max()) < task.vocabulary


@every_task
def test_inverting_the_rules_gives_the_class(task: RandomHierarchy) -> None:
    sample = some(task)
    symbols = task.symbols(sample)
    assert symbols.shape == (len(sample), task.n_positions)
    assert torch.equal(task.classify(symbols), sample.labels)


def test_inputs_by_enumeration_are_those_of_the_rules() -> None:
    """All derivations of a small hierarchy, written out as nested loops over choices."""
    task = RandomHierarchy(n_classes=3, vocabulary=3, n_synonyms=2, depth=2, seed=4)
    top, low = (rules.tolist() for rules in task.rules)
    expected = {
        (*low[left][b], *low[right][c]): label
        for label, a, b, c in itertools.product(range(3), range(2), range(2), range(2))
        for left, right in [top[label][a]]
    }
    sample = task.sample(task.n_inputs, generator())
    found = dict(zip(map(tuple, task.symbols(sample).tolist()), sample.labels.tolist(), strict=True))
    assert found == expected
    assert len(expected) == task.n_inputs == 3 * 2**3


@pytest.mark.parametrize("task", [task for task in TASKS if task.n_inputs < 2**14], ids=repr)
def test_all_inputs_are_different_and_classes_balanced(task: RandomHierarchy) -> None:
    sample = task.sample(task.n_inputs, generator())
    assert len(torch.unique(task.symbols(sample), dim=0)) == task.n_inputs
    counts = sample.labels.bincount(minlength=task.n_classes)
    assert counts.tolist() == [task.n_inputs // task.n_classes] * task.n_classes


def test_number_of_inputs_is_the_published_formula() -> None:
    assert RandomHierarchy(10, 10, 10, tuple_size=2, depth=3).n_inputs == 10 * 10**7
    assert RandomHierarchy(8, 8, 4, tuple_size=3, depth=2).n_inputs == 8 * 4**4
    sparse = SparseHierarchy(10, 10, 10, depth=3, n_empty=2)
    assert sparse.n_inputs == 10 * 10**7 * 3**14
    assert sparse.n_positions == 6**3
    assert sparse.sample_complexity == 9 * 10 * 10**3


def test_inputs_of_a_large_hierarchy_do_not_repeat_and_are_uniform() -> None:
    """10^16 inputs: too many to enumerate. Each entry is within 5 standard deviations of its mean."""
    task = RandomHierarchy(10, 10, 10, depth=4)
    n = 4000
    sample = task.sample(n, generator())
    assert len(torch.unique(task.symbols(sample), dim=0)) == n
    for entries in [sample.labels[:, None], *sample.choices]:
        frequency = torch.nn.functional.one_hot(entries, 10).double().mean(0)
        assert float((frequency - 0.1).abs().max()) < 5 * (0.1 * 0.9 / n) ** 0.5


def test_repeated_draws_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of all inputs are drawn without enumeration, so that many draws repeat."""
    monkeypatch.setattr("symnets.data._random_hierarchy._ENUMERATED", 0)
    task = RandomHierarchy(4, 4, 4, depth=2)
    sample = task.sample(128, generator())
    assert len(torch.unique(task.symbols(sample), dim=0)) == 128
    assert len(task.sample(0, generator())) == 0
    with pytest.raises(ValueError, match="at most half of 256"):
        task.sample(129, generator())


@every_task
def test_training_and_test_inputs_have_none_in_common(task: RandomHierarchy) -> None:
    n = min(task.n_inputs, 200)
    train, test = task.split(n // 2, n - n // 2, generator(1))
    assert (len(train), len(test)) == (n // 2, n - n // 2)
    both = torch.cat([task.symbols(train), task.symbols(test)])
    assert len(torch.unique(both, dim=0)) == n


@every_task
def test_inputs_are_one_hot(task: RandomHierarchy) -> None:
    sample = some(task)
    x, symbols = task.inputs(sample, dtype=torch.float64), task.symbols(sample)
    assert x.shape == (len(sample), task.vocabulary, task.n_positions)
    assert x.dtype == torch.float64
    assert torch.equal(x.sum(1), (symbols >= 0).double())
    assert torch.equal(x.argmax(1)[symbols >= 0], symbols[symbols >= 0])


@pytest.mark.parametrize("task", [task for task in TASKS if task.n_synonyms > 1], ids=repr)
def test_synonyms_keep_the_class_and_change_every_tuple(task: RandomHierarchy) -> None:
    sample = some(task)
    before = task.symbols(sample)
    for level in range(1, task.depth + 1):
        exchanged = task.exchanged(sample, level, generator(level))
        after = task.symbols(exchanged)
        assert torch.equal(task.classify(after), sample.labels)
        changed = exchanged.choices[task.depth - level] != sample.choices[task.depth - level]
        assert changed.all()
        if type(task) is RandomHierarchy and level == 1:
            assert (after != before).unflatten(1, (-1, task.tuple_size)).any(-1).all()


def test_exchanged_synonyms_are_uniform_among_the_others() -> None:
    """The frequency of each of the other m - 1 = 3 choices is within 5 standard deviations of 1/3."""
    task = RandomHierarchy(4, 4, 4, depth=2)
    sample = task.sample(256, generator())
    before = sample.choices[1]
    shifts = torch.stack([task.exchanged(sample, 1, generator(k)).choices[1] for k in range(20)]) - before
    frequency = (shifts % 4).flatten().bincount(minlength=4) / shifts.numel()
    assert frequency[0] == 0
    assert float((frequency[1:] - 1 / 3).abs().max()) < 5 * (2 / 9 / shifts.numel()) ** 0.5


@pytest.mark.parametrize("task", [t for t in TASKS if isinstance(t, SparseHierarchy)], ids=repr)
def test_deformations_keep_class_and_symbols_and_move_them(task: SparseHierarchy) -> None:
    sample = some(task)
    before = task.symbols(sample)
    order = before[before >= 0]
    for level in range(1, task.depth + 1):
        after = task.symbols(task.deformed(sample, level, generator(level)))
        assert torch.equal(task.classify(after), sample.labels)
        assert torch.equal(after[after >= 0], order)
        assert ((after >= 0) != (before >= 0)).any(1).all()
        if level == 1:  # each stays in its block
            blocks = [(s >= 0).unflatten(1, (-1, task.n_empty + 1)).any(-1) for s in (before, after)]
            assert torch.equal(*blocks)


def test_a_sparse_hierarchy_without_empty_positions_is_a_random_hierarchy() -> None:
    dense, sparse = (
        RandomHierarchy(3, 3, 3, depth=3, seed=2),
        SparseHierarchy(3, 3, 3, depth=3, seed=2, n_empty=0),
    )
    assert dense.n_inputs == sparse.n_inputs
    sample = sparse.sample(100, generator())
    assert torch.equal(sparse.symbols(sample), dense.symbols(HierarchySample(sample.labels, sample.choices)))


@every_task
def test_seeds_reproduce_and_differ(task: RandomHierarchy) -> None:
    n = min(task.n_inputs, 15)

    def symbols(seed: int) -> Tensor:
        return task.symbols(task.sample(n, generator(seed)))

    assert torch.equal(symbols(3), symbols(3))
    assert not torch.equal(symbols(3), symbols(4))


def test_rules_follow_from_the_seed() -> None:
    first, again, other = (RandomHierarchy(seed=seed).rules for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_errors_name_the_argument() -> None:
    with pytest.raises(ValueError, match="n_synonyms: expected 4 symbols with 5 tuples"):
        RandomHierarchy(2, 4, 5, depth=2)
    with pytest.raises(ValueError, match="tuple_size: expected at least 2"):
        RandomHierarchy(tuple_size=1)
    with pytest.raises(ValueError, match="n_empty: expected at least 0"):
        SparseHierarchy(n_empty=-1)
    task = RandomHierarchy(3, 3, 2, depth=2)
    with pytest.raises(ValueError, match="n: expected 0 to 24 different inputs, got 25"):
        task.sample(25, generator())
    with pytest.raises(ValueError, match=r"level: expected 1 .* to 2, got 3"):
        task.exchanged(some(task), 3, generator())
    single = RandomHierarchy(3, 3, 1, depth=1)
    with pytest.raises(ValueError, match="at least two synonyms"):
        single.exchanged(some(single), 1, generator())
    with pytest.raises(ValueError, match=r"symbols: expected shape \(n, 4\)"):
        task.classify(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="symbols: expected 0 to 2"):
        task.classify(torch.full((1, 4), 3))


def test_inputs_that_no_rule_makes_are_refused() -> None:
    """With 3 symbols, 2 synonyms each, 6 of the 9 tuples are used."""
    task = RandomHierarchy(3, 3, 2, depth=2)
    unused = sorted(set(itertools.product(range(3), repeat=2)) - tuples_of(task.rules[1]))
    with pytest.raises(ValueError, match="a tuple that no rule makes"):
        task.classify(torch.tensor([[*unused[0], *unused[1]]]))
    sparse = SparseHierarchy(3, 3, 2, depth=1, n_empty=1)
    for row in ([0, 1, -1, -1], [0, -1, -1, -1], [-1, -1, -1, -1]):
        with pytest.raises(ValueError, match="symbols: expected"):
            sparse.classify(torch.tensor([row]))
