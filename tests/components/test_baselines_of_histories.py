"""Which events and histories the baselines see, against plain Python."""

import dataclasses
import random

import numpy as np
import pytest
import tensorflow as tf

from components import splits
from components.ranking_evaluator import baselines, measures, personal
from components.ranking_evaluator.config import (
    BASELINES,
    WEIGHTINGS,
    EvaluationConfig,
    ItemKnnConfig,
    MostPopularRecentConfig,
    PureSvdConfig,
)
from components.targets import RULES, select_targets
from models.baselines import item_knn
from models.baselines.personal import PersonalBaseline
from models.metrics.ranking import UNRANKED
from tests.components import split_reference

SPLIT = splits.SplitConfig(
    min_user_events=1, min_development_events=1, min_test_history=0
)
CONFIG = EvaluationConfig(targets=RULES, cutoffs=(2, 5), thresholds=())


def random_log(seed):
    """Every user of a random log, times 0 to 20 and the cuts at 5 and 10."""
    source = random.Random(seed)
    users = []
    for _ in range(40):
        start = source.choice([0, 0, 8, 11])
        times = sorted(
            source.randint(start, 20) for _ in range(source.randint(1, 12))
        )
        users.append([(source.randint(0, 4 + t // 2), t) for t in times])
    return split_reference.histories(users, SPLIT, 5, 10, [False] * 40)


class Product(PersonalBaseline):
    """Scores are the history times a random matrix."""

    def _fit(self, fit):
        items = fit.shape[1]
        self.table = np.random.default_rng(0).random((items, items))

    def _scores(self, histories):
        return tf.constant((histories @ self.table).astype(np.float32))


def expected(baseline, histories, test, universe, rows, rule, seen, newest):
    """Ranks of the targets and the items recommended, user by user."""
    column = {int(item): n for n, item in enumerate(baseline._items)}
    targets = select_targets(test, rule, 0)
    ranks, recommended = [], set()
    for request, (user, end) in enumerate(
        zip(targets.users, targets.ends, strict=True)
    ):
        start = test.offsets[user]
        known = [
            rows[start + place]
            for place in range(end)
            if test.item_indices[start + place] > 0
        ][-newest:]
        history = np.zeros(len(column))
        for item in known:
            if item in column:
                history[column[item]] = 1.0
        scores = history @ baseline.table
        barred = rows[start : start + end] if seen == "filtered" else []
        order = [i for i in np.argsort(-scores, kind="stable")]
        items = [int(baseline._items[i]) for i in order]
        given = [item for item in items if item not in barred][:5]
        recommended |= set(given)
        for place in targets.positions[targets.requests == request]:
            item = rows[start + place]
            ranks.append(given.index(item) + 1 if item in given else UNRANKED)
    return ranks, recommended


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["log", "catalogue"])
def test_a_baseline_sees_the_newest_known_items_before_the_target(seed, kind):
    histories = random_log(seed)
    universe = measures.build_universe(histories, kind)
    mask = splits.test_users(histories, SPLIT)
    test = histories.select(mask)
    rows = universe.rows[np.repeat(mask, histories.num_events)]
    baseline = Product(personal.fit_matrix(histories, universe, SPLIT, 4))
    targets = {rule: select_targets(test, rule, 0) for rule in RULES}
    found = personal.rank_personal(
        baseline, test, rows, len(universe.items), targets, CONFIG, 3
    )
    for rule in RULES:
        for seen in ("kept", "filtered"):
            ranks, recommended = expected(
                baseline, histories, test, universe, rows, rule, seen, 3
            )
            assert found[rule, seen].ranks.tolist() == ranks, (rule, seen)
            assert found[rule, seen].distinct[5] == len(recommended)


@pytest.mark.parametrize(("max_length", "newest"), [(1, 1), (2, 1), (4, 3)])
def test_a_baseline_sees_as_much_as_the_model(monkeypatch, max_length, newest):
    """Which recommends from max_length - 1 items."""
    histories = random_log(0)
    universe = measures.build_universe(histories, "log")
    mask = splits.test_users(histories, SPLIT)
    test = histories.select(mask)
    rows = universe.rows[np.repeat(mask, histories.num_events)]
    baseline = Product(personal.fit_matrix(histories, universe, SPLIT, 4))
    monkeypatch.setattr(baselines, "make_baseline", lambda *_: baseline)
    targets = {rule: select_targets(test, rule, 0) for rule in RULES}
    found = baselines.rank_all(
        histories,
        targets,
        universe,
        SPLIT,
        max_length,
        dataclasses.replace(CONFIG, baselines=("pure_svd",)),
    )
    for rule in RULES:
        ranks, _ = expected(
            baseline, histories, test, universe, rows, rule, "kept", newest
        )
        assert found["pure_svd"][rule, "kept"].ranks.tolist() == ranks, rule


def test_fit_events_by_hand():
    histories = random_log(0)
    universe = measures.build_universe(histories, "log")
    matrix = personal.fit_matrix(histories, universe, SPLIT, 3).toarray()
    recent = baselines.recent_counts(
        histories, universe, SPLIT, 3, 4 / (24 * 60 * 60)
    )
    counts = np.zeros_like(recent)
    row = 0
    for user in range(histories.num_users):
        start = histories.offsets[user]
        end = start + histories.num_development_events[user]
        if end - start < 2 or not splits.refit_users(histories, SPLIT)[user]:
            continue
        events = np.zeros(len(universe.items))
        for place in range(max(start, end - 3), end):
            item = universe.items.tolist().index(histories.item_ids[place])
            events[item] += 1
            # The cut is at 10: four seconds up to it.
            counts[item] += 6 < histories.timestamps[place] <= 10
        np.testing.assert_array_equal(matrix[row], events)
        row += 1
    assert row == len(matrix) > 5
    assert recent.sum() > 0
    np.testing.assert_array_equal(recent, counts)


def test_nothing_after_the_cut_reaches_a_baseline():
    """Other test events: the same lists for the same histories."""
    histories = random_log(1)
    changed = histories.item_ids.copy()
    places = np.arange(len(changed)) - np.repeat(
        histories.offsets[:-1], histories.num_events
    )
    after = places >= np.repeat(
        histories.num_development_events, histories.num_events
    )
    known = histories.item_ids[histories.item_indices > 0]
    changed[after] = known[0]
    other = dataclasses.replace(histories, item_ids=changed)
    history = np.zeros((1, 0))
    for name in BASELINES[2:]:
        lists = []
        for log in (histories, other):
            universe = measures.build_universe(log, "catalogue")
            baseline = baselines.make_baseline(
                name, log, universe, SPLIT, 6, CONFIG
            )
            if isinstance(baseline, PersonalBaseline):
                history = np.zeros((1, len(universe.items)), np.float32)
                history[0, :3] = 1.0
                from scipy.sparse import csr_matrix

                lists.append(baseline.rank(csr_matrix(history), [None], 5)[0])
            else:
                lists.append(baseline.rank(1, 5))
        np.testing.assert_array_equal(*lists)


def test_the_configured_baselines_run_and_no_others():
    histories = random_log(2)
    universe = measures.build_universe(histories, "catalogue")
    test = histories.select(splits.test_users(histories, SPLIT))
    targets = {"last": select_targets(test, "last", 0)}
    for names in (("pure_svd", "random"), (), BASELINES):
        config = dataclasses.replace(CONFIG, targets=("last",), baselines=names)
        found = baselines.rank_all(
            histories, targets, universe, SPLIT, 6, config
        )
        assert tuple(found) == names
        for rankings in found.values():
            assert set(rankings) == {("last", "kept"), ("last", "filtered")}


def test_weightings_are_those_that_the_baseline_knows():
    assert WEIGHTINGS == item_knn.WEIGHTINGS


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MostPopularRecentConfig(days=0), "`days`"),
        (lambda: PureSvdConfig(rank=0), "`rank`"),
        (lambda: ItemKnnConfig(neighbors=0), "`neighbors`"),
        (lambda: ItemKnnConfig(weighting="l2"), "`weighting`.*'l2'"),
        (lambda: EvaluationConfig(baselines=("svd",)), "`baselines`.*'svd'"),
        (
            lambda: EvaluationConfig(baselines=("random", "random")),
            "`baselines` must name each once",
        ),
        (
            lambda: EvaluationConfig(compare_with={"model": "/m"}),
            "`compare_with` must not call a model 'model'",
        ),
        (
            lambda: EvaluationConfig(compare_with={"Old one": "/m"}),
            "`compare_with` may hold.*'Old one'",
        ),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
