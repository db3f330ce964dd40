"""From histories to training data, by hand."""

import dataclasses

import numpy as np
import pytest

from components.histories import Histories
from components.periods import TRAIN, TRAIN_VALIDATION
from components.splits import SplitConfig
from components.trainer.inputs import (
    digest,
    fit_sequences,
    popular_rows,
    validation_queries,
)
from models.graph.propagation import BipartiteAdjacency

# Catalogue of train: items 1 to 4; 5 and 6 come in the validation period;
# 0 is unknown before the test cut. The bars are the two cuts.
ROWS = [
    ("a", 0, [1, 2, 3], [4, 5], [0]),
    ("b", 1, [2, 2], [], [3]),
    ("c", 2, [4, 1], [5, 3], []),
    ("d", -1, [1], [2], [6]),  # one event in train: not fitted on
]
SPLIT = SplitConfig(min_user_events=1, min_development_events=2)


def _histories():
    parts = [train + val + test for _, _, train, val, test in ROWS]
    items = np.concatenate([np.array(p, np.int64) for p in parts])
    lengths = np.array([len(p) for p in parts])
    return Histories(
        user_ids=np.array([r[0].encode() for r in ROWS], object),
        user_indices=np.array([r[1] for r in ROWS]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        item_ids=np.array([b"item%d" % i for i in items], object),
        item_indices=items,
        timestamps=np.arange(len(items)),
        num_train_events=np.array([len(r[2]) for r in ROWS]),
        num_development_events=np.array([len(r[2]) + len(r[3]) for r in ROWS]),
        validation_cut=100,
        test_cut=200,
    )


def _as_lists(sequences):
    return [
        part.tolist()
        for part in np.split(sequences.items, sequences.offsets[1:-1])
    ]


def test_train_sequences_end_at_the_validation_cut():
    sequences = fit_sequences(_histories(), SPLIT, TRAIN, 10, 4)
    assert _as_lists(sequences) == [[1, 2, 3], [2, 2], [4, 1]]
    assert sequences.users.tolist() == [0, 1, 2]


def test_refit_sequences_hold_the_newest_up_to_the_test_cut():
    sequences = fit_sequences(_histories(), SPLIT, TRAIN_VALIDATION, 3, 6)
    assert _as_lists(sequences) == [[3, 4, 5], [2, 2], [1, 5, 3]]


def test_validation_target_is_the_last_event_before_the_test_cut():
    queries = validation_queries(_histories(), SPLIT, 4, 4, False)
    # a: target 5 is not in the training catalogue; c: input 5 is left out
    np.testing.assert_array_equal(queries.histories, [[2, 3, 4], [0, 4, 1]])
    np.testing.assert_array_equal(queries.targets, [0, 3])
    assert len(queries.seen_rows) == 0


def test_seen_items_are_those_of_the_whole_known_history():
    queries = validation_queries(_histories(), SPLIT, 3, 4, True)
    pairs = list(
        zip(queries.seen_rows.tolist(), queries.seen_items, strict=True)
    )
    assert pairs == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 4), (1, 1)]


def test_held_out_users_are_asked_for_their_last_development_event():
    # b is held out: its history is 2, its target 2; d has too few events.
    held_out = np.array([5, 0, 4, 0])
    histories = dataclasses.replace(_histories(), num_train_events=held_out)
    split = dataclasses.replace(
        SPLIT, validation="by_user", min_development_events=2
    )
    queries = validation_queries(histories, split, 4, 6, True)
    np.testing.assert_array_equal(queries.histories, [[0, 0, 2], [0, 0, 1]])
    np.testing.assert_array_equal(queries.targets, [2, 2])
    sequences = fit_sequences(histories, split, TRAIN, 10, 6)
    assert _as_lists(sequences) == [[1, 2, 3, 4, 5], [4, 1, 5, 3]]


def test_nobody_to_validate_on_names_the_settings():
    histories = _histories()
    histories = dataclasses.replace(
        histories, num_train_events=histories.num_development_events
    )
    split = dataclasses.replace(SPLIT, validation="by_user")
    with pytest.raises(ValueError, match="validation_user_share"):
        validation_queries(histories, split, 4, 4, False)


def test_popular_rows_count_fit_events():
    sequences = fit_sequences(_histories(), SPLIT, TRAIN, 10, 4)
    # item 2 three times, item 1 twice, 3 and 4 once
    assert popular_rows(sequences).tolist() == [1, 0, 2, 3]


def test_nobody_to_train_on_is_an_error_that_names_the_cut():
    split = dataclasses.replace(SPLIT, min_user_events=99)
    with pytest.raises(ValueError, match=r"none of 4 .* validation cut \(100"):
        fit_sequences(_histories(), split, TRAIN, 10, 4)


def test_digest_changes_with_settings_and_data():
    one = fit_sequences(_histories(), SPLIT, TRAIN, 10, 4)
    two = fit_sequences(_histories(), SPLIT, TRAIN_VALIDATION, 10, 6)
    names = {digest("x", one), digest("y", one), digest("x", two)}
    assert len(names) == 3
    assert digest("x", one) == digest("x", one)


def test_digest_changes_with_the_sizes_of_the_tables():
    """An item that only an old event names is a row of the table as well."""
    one = fit_sequences(_histories(), SPLIT, TRAIN, 10, 4)
    more = dataclasses.replace(one, num_items=5)
    assert digest("x", one) != digest("x", more)
    edges = np.array([[0, 0], [1, 1]])
    weights = np.ones(2, np.float32)
    graphs = [BipartiteAdjacency(edges, weights, n, 2) for n in (2, 2, 3)]
    first, again, larger = (digest("x", graph) for graph in graphs)
    assert first == again != larger
