"""Targets against plain Python on random histories, and by hand."""

import random

import numpy as np
import pytest

from components import splits, targets
from components.splits import SplitConfig
from components.targets import Targets
from tests.components import split_reference

SPLIT = SplitConfig(
    min_user_events=1, min_development_events=1, min_test_history=0
)


def random_test_histories(seed: int, max_events: int = 12):
    """Test users of a random log with repeated and unknown items."""
    source = random.Random(seed)
    users = []
    for _ in range(30):
        start = source.choice([0, 0, 8, 11])
        times = sorted(
            source.randint(start, 20)
            for _ in range(source.randint(1, max_events))
        )
        users.append([(source.randint(0, 4 + t // 2), t) for t in times])
    every = split_reference.histories(users, SPLIT, 5, 10, [False] * 30)
    return every.select(splits.test_users(every, SPLIT))


def reference(histories, rule: str, dropped: bool) -> list:
    """(user, input items, {position: item} of the targets) per request."""
    requests = []
    for user in range(histories.num_users):
        start, end = histories.offsets[user : user + 2]
        items = histories.item_ids[start:end].tolist()
        rows = histories.item_indices[start:end].tolist()
        first = max(int(histories.num_development_events[user]), 1)
        wanted = {
            "last": [(len(items) - 1, [len(items) - 1])],
            "first": [(first, [first])],
            "successive": [(p, [p]) for p in range(first, len(items))],
            "all": [
                (
                    first,
                    [
                        p
                        for p in range(first, len(items))
                        if items[p] not in items[first:p]
                    ],
                )
            ],
        }[rule]
        for known, positions in wanted:
            if dropped:
                positions = [p for p in positions if rows[p] != 0]
            if positions:
                requests.append(
                    (user, items[:known], {p: items[p] for p in positions})
                )
    return requests


def as_requests(histories, found: Targets) -> list:
    result = []
    for request, (user, end) in enumerate(
        zip(found.users, found.ends, strict=True)
    ):
        start = histories.offsets[user]
        positions = found.positions[found.requests == request].tolist()
        items = histories.item_ids
        result.append(
            (
                user,
                items[start : start + end].tolist(),
                {p: items[start + p] for p in positions},
            )
        )
    return result


@pytest.mark.parametrize("cold_items", ["kept", "dropped"])
@pytest.mark.parametrize("rule", ["last", "first", "successive", "all"])
@pytest.mark.parametrize("seed", range(5))
def test_targets_are_those_of_plain_python(seed, rule, cold_items):
    histories = random_test_histories(seed)
    found = targets.measured_targets(histories, rule, 0, cold_items)
    expected = reference(histories, rule, cold_items == "dropped")
    assert as_requests(histories, found) == expected
    rows = found.rows(histories)
    assert histories.item_ids[rows].tolist() == [
        item for _, _, wanted in expected for item in wanted.values()
    ]


def test_the_random_histories_have_what_could_go_wrong():
    histories = random_test_histories(0)
    assert (histories.num_development_events == 0).any()
    cold = targets.select_targets(histories, "successive", 0)
    assert 0 < cold.are_cold(histories).sum() < len(cold.positions)
    every = targets.select_targets(histories, "all", 0)
    assert len(every.positions) < len(cold.positions)  # repeats
    kept = targets.drop_cold(every, histories)
    assert len(kept.users) < len(every.users)  # somebody has cold ones only


def test_random_targets_are_one_test_event_of_each_user():
    histories = random_test_histories(0)
    found = targets.select_targets(histories, "random", 3)
    first = np.maximum(histories.num_development_events, 1)
    assert found.users.tolist() == list(range(histories.num_users))
    assert (found.positions >= first).all()
    assert (found.positions < histories.num_events).all()
    np.testing.assert_array_equal(found.ends, found.positions)
    other = targets.select_targets(histories, "random", 4)
    assert (found.positions != other.positions).any()


def test_random_targets_depend_on_the_user_and_the_seed_alone():
    histories = random_test_histories(1)
    found = targets.select_targets(histories, "random", 0)
    order = np.random.default_rng(0).permutation(histories.num_users)[3:]
    shuffled = targets.select_targets(histories.select(order), "random", 0)
    np.testing.assert_array_equal(shuffled.positions, found.positions[order])


def test_random_targets_are_uniform():
    # 4,000 users with four test events each: 1,000 per place, sd 27.
    users = [[(0, 0)] + [(1, 20)] * 4] * 4000
    histories = split_reference.histories(users, SPLIT, 5, 10, [False] * 4000)
    found = targets.select_targets(histories, "random", 0)
    places = np.bincount(found.positions, minlength=5)
    assert places[0] == 0
    assert (np.abs(places[1:] - 1000) < 5 * 27.4).all()


@pytest.mark.parametrize("rule", targets.RULES)
def test_what_follows_a_target_changes_nothing_of_its_request(rule):
    """No input holds its targets or anything after them."""
    histories = random_test_histories(2)
    found = targets.select_targets(histories, rule, 0)
    before = as_requests(histories, found)
    for request in range(len(found.users)):
        changed = histories.item_ids.copy()
        user = found.users[request]
        start, end = histories.offsets[user : user + 2]
        changed[start + found.ends[request] : end] = b"other"
        items = changed[start : start + found.ends[request]].tolist()
        assert items == before[request][1]
        lowest = found.positions[found.requests == request].min()
        assert lowest >= found.ends[request]


@pytest.mark.parametrize(
    ("max_requests", "max_events"), [(1, 100), (3, 10**6), (50, 20), (7, 1)]
)
@pytest.mark.parametrize("rule", ["successive", "all"])
def test_batches_are_bounded_and_lose_nothing(rule, max_requests, max_events):
    histories = random_test_histories(3)
    found = targets.select_targets(histories, rule, 0)
    parts = list(found.batches(max_requests, max_events))
    joined = [r for part in parts for r in as_requests(histories, part)]
    assert joined == as_requests(histories, found)
    for part in parts:
        assert len(part.users) <= max_requests
        cells = len(part.users) * part.ends.max()
        assert cells <= max_events or len(part.users) == 1


@pytest.mark.parametrize("max_targets", [1, 4, 1000])
@pytest.mark.parametrize("rule", ["successive", "all"])
def test_pieces_are_bounded_and_lose_no_target(rule, max_targets):
    histories = random_test_histories(3)
    found = targets.select_targets(histories, rule, 0)
    pieces = list(found.pieces(max_targets))
    assert all(len(piece.requests) <= max_targets for piece in pieces)
    owned = [
        (int(user), int(place))
        for piece in pieces
        for user, place in zip(piece.owners, piece.positions, strict=True)
    ]
    assert owned == [
        (user, place)
        for user, _, wanted in reference(histories, rule, False)
        for place in wanted
    ]


def test_no_requests_no_batches():
    nothing = random_test_histories(0).select(np.zeros(0, np.int64))
    for rule in targets.RULES:
        found = targets.select_targets(nothing, rule, 0)
        assert list(found.batches(5, 5)) == []
        assert list(found.pieces(5)) == []


def test_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="last, first.*'next'"):
        targets.select_targets(random_test_histories(0), "next", 0)
