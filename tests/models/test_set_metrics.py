"""Metrics of several targets per user: by hand and by brute force."""

import numpy as np
import pytest

from models.metrics import ranking, sets
from models.metrics.ranking import UNRANKED


def test_sets_by_hand():
    # User 3: targets at 1, 4 and nowhere. User 5: two targets, none found.
    # User 9: four targets at 2, 1, 3 and 12.
    owners = np.array([3, 3, 3, 5, 5, 9, 9, 9, 9])
    ranks = np.array([4, UNRANKED, 1, UNRANKED, UNRANKED, 2, 1, 3, 12])
    found = sets.set_values(ranks, owners, (2, 10))
    log3, log5 = np.log2(3), np.log2(5)
    ideal3 = 1 + 1 / log3 + 1 / 2
    ideal4 = ideal3 + 1 / log5
    assert {name: pytest.approx(v) for name, v in found.items()} == {
        # At 2 the best order has two of the targets.
        "ndcg_at_2": [1 / (1 + 1 / log3), 0, 1],
        "recall_at_2": [1 / 3, 0, 2 / 4],
        "ndcg_at_10": [(1 + 1 / log5) / ideal3, 0, ideal3 / ideal4],
        "recall_at_10": [2 / 3, 0, 3 / 4],
        "mrr_at_10": [1, 0, 1],
    }


def test_one_target_each_is_the_ordinary_metric():
    generator = np.random.default_rng(0)
    ranks = generator.integers(1, 200, 500)
    owners = np.arange(500) * 3
    found = sets.set_values(ranks, owners, (10, 100))
    expected = ranking.per_user_values(ranks, (10, 100))
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("seed", range(3))
def test_sets_by_brute_force(seed):
    """From lists and sets of items, without ranks."""
    generator = np.random.default_rng(seed)
    ranks, owners, expected = [], [], []
    for user in range(40):
        answers = generator.permutation(60)[:20].tolist()
        wanted = generator.permutation(60)[: generator.integers(1, 30)].tolist()
        for item in wanted:
            ranks.append(
                answers.index(item) + 1 if item in answers else UNRANKED
            )
            owners.append(user)
        gains = [
            (item in wanted) / np.log2(place + 2)
            for place, item in enumerate(answers[:5])
        ]
        ideal = [1 / np.log2(p + 2) for p in range(min(5, len(wanted)))]
        hits = [place for place, i in enumerate(answers) if i in wanted]
        expected.append(
            (
                sum(gains) / sum(ideal),
                len(set(answers[:5]) & set(wanted)) / len(wanted),
                1 / (hits[0] + 1) if hits else 0.0,
            )
        )
    order = generator.permutation(len(ranks))
    found = sets.set_values(
        np.array(ranks)[order], np.array(owners)[order], (5, 20)
    )
    np.testing.assert_allclose(
        np.column_stack(
            [found["ndcg_at_5"], found["recall_at_5"], found["mrr_at_20"]]
        ),
        expected,
    )


def test_means_are_over_each_owners_targets():
    values = {"x": np.array([1.0, 0.0, 0.5, 2.0]), "y": np.arange(4.0)}
    found = sets.mean_by_owner(values, np.array([7, 2, 7, 2]))
    assert found["x"].tolist() == [1.0, 0.75]
    assert found["y"].tolist() == [2.0, 1.0]
