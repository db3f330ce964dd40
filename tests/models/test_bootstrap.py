"""Intervals of one mean, and of several over the same draws; against scipy."""

import numpy as np
import pytest
import scipy.stats

from models.metrics import bootstrap
from models.metrics.bootstrap import (
    bootstrap_intervals,
    column_intervals,
    metrics_with_intervals,
)
from models.metrics.ranking import per_user_values


def values(users=300, seed=0):
    """Two correlated models and their difference."""
    generator = np.random.default_rng(seed)
    first = generator.random(users) ** 3
    second = np.where(generator.random(users) < 0.7, first, first / 2)
    return np.stack([first, second, first - second], axis=1)


def test_intervals_are_those_of_scipy():
    """Percentiles of 20,000 samples: a standard error of 2 % of the width."""
    columns = values()
    low, high = column_intervals(columns, 20_000, seed=1)
    for column in range(3):
        found = scipy.stats.bootstrap(
            (columns[:, column],),
            np.mean,
            n_resamples=20_000,
            method="percentile",
            random_state=2,
        ).confidence_interval
        width = found.high - found.low
        assert low[column] == pytest.approx(found.low, abs=0.05 * width)
        assert high[column] == pytest.approx(found.high, abs=0.05 * width)
    alone = bootstrap_intervals(columns[:, 0], 20_000, seed=3)
    width = high[0] - low[0]
    np.testing.assert_allclose(alone, [low[0], high[0]], atol=0.05 * width)


def test_columns_share_their_draws():
    """So a paired interval is narrower than those of the two models."""
    columns = values()
    low, high = column_intervals(
        np.column_stack([columns, columns[:, 0] * 2 - 1]), 500, seed=0
    )
    width = high - low
    assert width[2] < 0.6 * width[:2].min()
    # The mean of 2 x - 1 over the same users is 2 mean - 1.
    assert low[3] == pytest.approx(2 * low[0] - 1)
    assert high[3] == pytest.approx(2 * high[0] - 1)


def test_blocks_do_not_change_the_draws(monkeypatch):
    """Nor how many there are, where they are no whole number of blocks."""
    whole = column_intervals(values(), 100, seed=4)
    alone = bootstrap_intervals(values()[:, 0], 100, seed=4)
    monkeypatch.setattr(bootstrap, "_BLOCK_ENTRIES", 300 * 7)
    np.testing.assert_allclose(column_intervals(values(), 100, seed=4), whole)
    np.testing.assert_allclose(
        bootstrap_intervals(values()[:, 0], 100, seed=4), alone
    )


def test_equal_models_differ_by_nothing():
    low, high = column_intervals(np.zeros((5, 2)), 10, seed=0)
    assert low.tolist() == high.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("columns", "samples"),
    [
        (np.zeros((0, 2)), 5),
        (np.zeros(3), 5),
        (np.zeros((3, 2)), 0),
        (np.full((3, 2), np.nan), 5),
    ],
)
def test_what_has_no_interval_is_refused(columns, samples):
    with pytest.raises(ValueError, match="values"):
        column_intervals(columns, samples, seed=0)


def test_bootstrap_width_is_the_analytic_standard_error():
    generator = np.random.default_rng(6)
    ranks = generator.integers(1, 40, 3000)
    values = per_user_values(ranks, (10,))["ndcg_at_10"]
    low, high = bootstrap_intervals(values, 4000, seed=7)
    error = values.std() / np.sqrt(len(values))
    assert (high - low) / (2 * 1.959964) == pytest.approx(error, rel=0.06)
    assert (high + low) / 2 == pytest.approx(values.mean(), abs=0.2 * error)


def test_bootstrap_agrees_with_resampling_users():
    generator = np.random.default_rng(8)
    values = generator.exponential(size=200)  # all distinct, skewed
    picks = generator.integers(0, 200, (20000, 200))
    expected = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    found = bootstrap_intervals(values, 20000, seed=9)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_bootstrap_is_seeded_and_degenerate_values_have_no_width():
    values = np.random.default_rng(10).normal(size=50)
    first = bootstrap_intervals(values, 100, seed=1)
    assert first == bootstrap_intervals(values, 100, seed=1)
    assert first != bootstrap_intervals(values, 100, seed=2)
    constant = bootstrap_intervals(np.full(9, 0.25), 10, 0)
    assert constant == (0.25, 0.25)


def test_bootstrap_in_blocks_has_the_same_spread(monkeypatch):
    values = np.random.default_rng(11).normal(size=400)
    whole = bootstrap_intervals(values, 3000, seed=0)
    monkeypatch.setattr(bootstrap, "_BLOCK_ENTRIES", 400 * 64)
    blocks = bootstrap_intervals(values, 3000, seed=0)
    np.testing.assert_allclose(blocks, whole, atol=0.02)


def test_bootstrap_refuses_nan():
    with pytest.raises(ValueError, match="not finite"):
        bootstrap_intervals(np.array([0.1, np.nan]), 10, 0)


def test_intervals_enclose_their_metric():
    ranks = np.random.default_rng(12).integers(1, 200, 500)
    metrics = metrics_with_intervals(per_user_values(ranks, (10, 100)), 200, 0)
    intervals = metrics.pop("intervals")
    assert intervals.keys() == metrics.keys()
    for name, (low, high) in intervals.items():
        assert low < metrics[name] < high
