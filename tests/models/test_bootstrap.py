"""Intervals of several means over the same draws, against scipy."""

import numpy as np
import pytest
import scipy.stats

from models.metrics import bootstrap
from models.metrics.bootstrap import column_intervals
from models.metrics.ranking import bootstrap_intervals


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
    whole = column_intervals(values(), 100, seed=4)
    monkeypatch.setattr(bootstrap, "_BLOCK_ENTRIES", 300 * 7)
    np.testing.assert_allclose(column_intervals(values(), 100, seed=4), whole)


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
