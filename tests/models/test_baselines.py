import itertools

import numpy as np
import pytest

from models.baselines import lists
from models.baselines.popularity import MostPopular, PopularRandom
from models.baselines.random_items import RandomItems


def _successive_draw_probability(weights, order):
    """Probability of drawing `order` one by one without replacement."""
    left = float(sum(weights))
    probability = 1.0
    for item in order:
        probability *= weights[item] / left
        left -= weights[item]
    return probability


def test_random_rows_are_distinct_items_of_the_universe():
    drawn = RandomItems(30, seed=0).rank(200, 12)
    assert drawn.shape == (200, 12)
    assert drawn.min() == 0 and drawn.max() == 29
    assert all(len(set(row)) == 12 for row in drawn.tolist())


def test_random_is_uniform_at_every_position():
    drawn = RandomItems(5, seed=1).rank(20000, 3)
    for position in range(3):
        shares = np.bincount(drawn[:, position], minlength=5) / 20000
        # Standard error of a share of .2 over 20,000 draws: .0028.
        np.testing.assert_allclose(shares, 0.2, atol=0.012)


def test_popular_random_order_follows_successive_draws():
    weights = np.array([5, 3, 0, 2])
    drawn = PopularRandom(weights, seed=2).rank(40000, 2)
    found = {tuple(row): 0 for row in drawn.tolist()}
    for row in drawn.tolist():
        found[tuple(row)] += 1
    for order in itertools.permutations([0, 1, 3], 2):
        expected = _successive_draw_probability(weights, order)
        assert found.pop(order) / 40000 == pytest.approx(expected, abs=0.011)
    assert not found  # item 2 never occurs in the fit data


def test_excluding_equals_drawing_from_the_rest():
    weights = np.array([4, 1, 2, 3])
    users = 40000
    drawn = PopularRandom(weights, seed=3).rank(users, 3)
    left = lists.without(drawn, np.arange(users), np.zeros(users), 1)
    shares = np.bincount(left[:, 0], minlength=4) / users
    np.testing.assert_allclose(shares, [0, 1 / 6, 2 / 6, 3 / 6], atol=0.012)


def test_blocks_and_whole_draw_the_same_users(monkeypatch):
    whole = PopularRandom(np.arange(9), seed=4).rank(10, 4)
    monkeypatch.setattr(lists, "_BLOCK_ENTRIES", 8 * 3)
    np.testing.assert_array_equal(
        PopularRandom(np.arange(9), seed=4).rank(10, 4), whole
    )


def test_seed_decides_and_successive_calls_go_on():
    first = RandomItems(50, seed=5)
    again = RandomItems(50, seed=5)
    np.testing.assert_array_equal(first.rank(4, 9), again.rank(4, 9))
    assert (first.rank(4, 9) != RandomItems(50, seed=5).rank(4, 9)).any()
    assert (RandomItems(50, seed=6).rank(4, 9) != again.rank(4, 9)).any()


def test_most_popular_orders_by_count_then_number():
    ranked = MostPopular(np.array([2, 7, 0, 7, 1])).rank(2, 6)
    assert ranked.tolist() == [[1, 3, 0, 4, -1, -1]] * 2
    assert MostPopular(np.array([2, 7, 0, 7, 1])).rank(1, 2).tolist() == [
        [1, 3]
    ]


@pytest.mark.parametrize(
    ("baseline", "available"),
    [(RandomItems(3, 0), 3), (PopularRandom(np.array([1, 0, 2]), 0), 2)],
)
def test_short_universe_is_padded(baseline, available):
    drawn = baseline.rank(5, 4)
    assert (drawn[:, :available] >= 0).all()
    assert (drawn[:, available:] == lists.PAD).all()
    assert all(len(set(r[:available])) == available for r in drawn.tolist())


def test_without_keeps_order_and_pads():
    ranked = np.array([[3, 1, 2, 0], [0, 1, 2, 3], [2, 3, -1, -1]])
    users = np.array([0, 0, 1, 2, 1])
    items = np.array([1, 3, 7, 2, -1])  # 7 is in no list, -1 excludes nothing
    left = lists.without(ranked, users, items, 3)
    assert left.tolist() == [[2, 0, -1], [0, 1, 2], [3, -1, -1]]


def test_without_exclusions_is_the_head_of_the_list():
    ranked = np.array([[3, 1, 2, 0]])
    none = np.array([], np.int64)
    assert lists.without(ranked, none, none, 2).tolist() == [[3, 1]]


def test_bad_counts_and_universe_are_errors():
    with pytest.raises(ValueError, match="`counts`.*minimum -1"):
        PopularRandom(np.array([1, -1]), 0)
    with pytest.raises(ValueError, match="`num_items`.*found 0"):
        RandomItems(0, 0)


@pytest.mark.parametrize("rounds", [0, 1, 6])
def test_draws_without_repeats_are_successive_draws(rounds, monkeypatch):
    """At most `rounds` times with replacement, the rest by the race."""
    monkeypatch.setattr(lists, "_MANY_CANDIDATES", 1)
    monkeypatch.setattr(lists, "_MAX_ROUNDS", rounds)
    weights = np.array([0, 90, 6, 0, 4])
    users = 2000 if rounds < 6 else 40000
    drawn = lists.draw_without_repeats(
        weights, users, 3, np.random.default_rng(5)
    )
    found = dict.fromkeys(itertools.permutations([1, 2, 4]), 0)
    for row in drawn.tolist():
        found[tuple(row)] += 1
    for order, number in found.items():
        expected = _successive_draw_probability(weights, order)
        error = (expected * (1 - expected) / users) ** 0.5
        assert number / users == pytest.approx(expected, abs=4 * error)


def test_large_catalogues_are_drawn_without_repeats():
    drawn = RandomItems(5000, seed=0).rank(300, 40)
    assert all(len(set(row)) == 40 for row in drawn.tolist())
    assert drawn.min() >= 0 and drawn.max() < 5000
    # Standard error of the mean of 12,000 numbers: 13.
    assert drawn.mean() == pytest.approx(2499.5, abs=55)
    rates = np.zeros(5000)
    rates[::2] = 1
    assert (PopularRandom(rates, seed=0).rank(50, 40) % 2 == 0).all()
