"""Logs too small for a split: each a readable outcome before any training."""

import dataclasses
import pathlib

import numpy as np
import pytest

from components import splits
from components.graph_builder.config import GraphConfig
from components.splits import SplitConfig
from tests.components import helpers

DAY = 86_400
# Everybody counts from one development event on.
SPLIT = SplitConfig(
    min_user_events=1,
    min_development_events=1,
    min_test_history=0,
    refit_users="development",
)


def test_one_user_is_cut_like_many(tmp_path: pathlib.Path):
    log = {"ann": [(f"i{n}", n * DAY) for n in range(10)]}
    data = helpers.transform(log, SPLIT, tmp_path)
    # The .8 quantile of 0..9 days is day 7.2, the .9 quantile of 0..7 day 6.3.
    assert data.histories.num_development_events.tolist() == [8]
    assert data.histories.num_train_events.tolist() == [7]
    graph = helpers.graphs(data, SPLIT, GraphConfig(newest=None))["train"]
    assert graph.edge_sets["interacts"].sizes.numpy().tolist() == [7]
    splits.check_test_users(data.histories, SPLIT)


def test_one_item_is_one_row_of_the_catalogue(tmp_path: pathlib.Path):
    log = {
        f"u{user}": [("tea", (10 * n + user) * DAY) for n in range(4)]
        for user in range(5)
    }
    data = helpers.transform(log, SPLIT, tmp_path)
    assert data.items("train") == data.items("train_validation") == [b"tea"]
    assert np.unique(data.histories.item_indices).tolist() == [1]
    graph = helpers.graphs(data, SPLIT, GraphConfig(newest=None))["train"]
    # Every user once with the one item: degrees 1 and 5.
    np.testing.assert_allclose(
        graph.edge_sets["interacts"]["weight"], [5**-0.5] * 5, rtol=1e-6
    )


def test_a_cut_before_all_events_leaves_nothing_to_train(
    tmp_path: pathlib.Path,
):
    log = {"ann": [(f"i{n}", n * DAY) for n in range(100, 110)]}
    split = dataclasses.replace(
        SPLIT, validation_date="1970-01-02", test_date="1970-01-03"
    )
    data = helpers.transform(log, split, tmp_path)
    with pytest.raises(Exception, match="The graph of period `train` has no"):
        helpers.graphs(data, split, GraphConfig(newest=None))


def test_a_cut_after_all_events_leaves_nobody_to_measure(
    tmp_path: pathlib.Path,
):
    log = {"ann": [(f"i{n}", n * DAY) for n in range(10)]}
    split = dataclasses.replace(SPLIT, test_date="1971-01-01")
    data = helpers.transform(log, split, tmp_path)
    with pytest.raises(ValueError, match="newest event is of 1970-01-10"):
        splits.check_test_users(data.histories, split)


def test_a_quantile_of_nothing_says_what_was_looked_for(
    tmp_path: pathlib.Path,
):
    log = {"ann": [("tea", DAY)], "bob": [("tea", 2 * DAY)]}
    split = dataclasses.replace(SPLIT, min_user_events=2)
    with pytest.raises(Exception, match="No events to take the test cut from"):
        helpers.transform(log, split, tmp_path)
