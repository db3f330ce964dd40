"""What is said of an approximate index, against an index that is exact."""

import numpy as np
import pytest

from components.histories import Histories
from components.ranking_evaluator import index_recall
from components.ranking_evaluator.config import EvaluationConfig
from components.ranking_evaluator.exported_model import ExportedModel
from components.targets import select_targets
from tests.serving.catalogue import make_catalogue

FACTS = {
    "kind": "scann",
    "leaves": 63,
    "leaves_to_search": 6,
    "candidates": 400,
}
CONFIG = EvaluationConfig(
    seen_items="filtered", cutoffs=(4, 10), batch_size=7, targets=("last",)
)
USERS = 20


@pytest.fixture(scope="module")
def catalogue():
    return make_catalogue()


@pytest.fixture(scope="module")
def directory(catalogue, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "1"
    catalogue.export(path)
    return str(path)


@pytest.fixture(scope="module")
def test(catalogue):
    """Users of 3 to 12 items, all of them known but to one user."""
    random = np.random.default_rng(0)
    lengths = random.integers(3, 13, USERS)
    rows = [random.choice(40, n, replace=False) + 1 for n in lengths]
    items = [[catalogue.item_ids[row - 1] for row in r] for r in rows]
    rows[4], items[4] = np.zeros(lengths[4], int), [b"new"] * lengths[4]
    return Histories(
        user_ids=np.array([b"u%d" % u for u in range(USERS)], object),
        user_indices=np.arange(USERS),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        item_ids=np.array([i for row in items for i in row], object),
        item_indices=np.concatenate(rows),
        timestamps=np.arange(lengths.sum()),
        num_train_events=lengths - 1,
        num_development_events=lengths - 1,
        validation_cut=0,
        test_cut=0,
    )


def measure(directory, catalogue, test, config=CONFIG):
    return index_recall.measure(
        directory,
        catalogue.item_ids,
        test,
        select_targets(test, "last", 0),
        config,
        max_length=6,
    )


@pytest.fixture
def claimed(monkeypatch):
    """The model is exact, and passes for an approximate one."""
    monkeypatch.setattr(
        index_recall.custom_ops, "index_of", lambda directory: FACTS
    )
    monkeypatch.setattr(
        index_recall.custom_ops, "register", lambda directory: None
    )


def test_an_exact_model_is_not_asked(directory, catalogue, test):
    index = measure(directory, catalogue, test)
    assert index == {"kind": "exact"}
    assert index_recall.sentence(index) == ""


@pytest.mark.parametrize("seen", ["filtered", "kept"])
def test_exact_answers_are_all_found(directory, catalogue, test, claimed, seen):
    config = EvaluationConfig(
        seen_items=seen, cutoffs=(4, 10), batch_size=7, targets=("last",)
    )
    index = measure(directory, catalogue, test, config)
    assert index == {**FACTS, "users": USERS - 1, "recall": {"4": 1, "10": 1}}
    assert index_recall.sentence(index) == (
        "Approximate index (scann, 6 of 63 leaves, 400 candidates): finds "
        "100.00 % of the exact top 4, 100.00 % of the exact top 10 "
        "(19 users)."
    )


@pytest.fixture
def answering(monkeypatch):
    """Puts another `recommend` before the model's, which it is handed."""
    recommend = ExportedModel.recommend

    def replace(other):
        monkeypatch.setattr(
            ExportedModel,
            "recommend",
            lambda model, *request: other(
                lambda *changed: recommend(model, *changed), *request
            ),
        )

    return replace


def test_what_is_missing_counts(directory, catalogue, test, claimed, answering):
    """The best item is missing, and the next ones move up."""
    answering(
        lambda recommend, histories, excluded, k: recommend(
            histories, excluded, k + 1
        )[:, 1:]
    )
    index = measure(directory, catalogue, test)
    assert index["recall"] == {
        "4": pytest.approx(3 / 4),
        "10": pytest.approx(9 / 10),
    }


def test_exclusions_are_not_missing(
    directory, catalogue, test, claimed, answering
):
    """Exact answers to other exclusions are not those of the ranking."""
    answering(
        lambda recommend, histories, excluded, k: recommend(
            histories, [[]] * len(excluded), k
        )
    )
    index = measure(directory, catalogue, test)
    assert index["recall"]["4"] < 1


def test_so_many_users_at_most(
    directory, catalogue, test, claimed, monkeypatch
):
    monkeypatch.setattr(index_recall, "MAX_USERS", 3)
    index = measure(directory, catalogue, test)
    assert index["users"] == 3


def test_nobody_to_measure_it_on(directory, catalogue, test, claimed):
    index = measure(directory, catalogue, test.select(np.array([4])))
    assert index["users"] == 0
    assert index["recall"] == {"4": None, "10": None}
    assert "no user with a known item" in index_recall.sentence(index)
