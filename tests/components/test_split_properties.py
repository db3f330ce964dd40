"""Whatever the log: every event is somewhere, once, and in order of time."""

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components import splits, targets
from components.event_parts import (
    FEW_DEVELOPMENT_EVENTS,
    FEW_TRAIN_EVENTS,
    FEW_USER_EVENTS,
    PARTS,
    SHORT_TEST_HISTORY,
    TEST,
    TRAIN,
    VALIDATION,
    count_excluded,
    event_parts,
)
from components.histories import Histories
from components.periods import fit_windows
from components.splits import SplitConfig
from tests.components import split_reference

END = 12
KINDS = [
    (splits.TEMPORAL, splits.BY_TIME),
    (splits.TEMPORAL, splits.BY_USER),
    (splits.TEMPORAL, splits.LAST_TRAIN_ITEM),
    (splits.LEAVE_ONE_OUT, splits.BY_TIME),
]
FEW = settings(max_examples=60, deadline=None)


@dataclasses.dataclass(frozen=True)
class Case:
    split: SplitConfig
    histories: Histories


@st.composite
def cases(draw, kinds=KINDS) -> Case:
    """A few users with many ties, under any split."""
    strategy, validation = draw(st.sampled_from(kinds))
    split = SplitConfig(
        strategy=strategy,
        validation=validation,
        min_user_events=draw(st.integers(1, 3)),
        min_development_events=draw(st.integers(1, 3)),
        refit_users=draw(st.sampled_from(["train", "development"])),
        min_test_history=draw(st.integers(0, 3)),
    )
    validation_cut = draw(st.integers(0, END - 2))
    test_cut = draw(st.integers(validation_cut + 1, END - 1))
    event = st.tuples(st.integers(0, 6), st.integers(0, END))
    events = st.lists(event, min_size=1, max_size=9)
    users = draw(st.lists(st.tuples(events, st.booleans()), max_size=8))
    by_time = [sorted(events, key=lambda e: e[1]) for events, _ in users]
    return Case(
        split,
        split_reference.histories(
            by_time,
            split,
            validation_cut,
            test_cut,
            [held for _, held in users],
        ),
    )


def parts_by_user(case: Case) -> list[list[str]]:
    codes = event_parts(case.histories, case.split)
    assert codes.shape == case.histories.item_ids.shape
    names = [PARTS[code] for code in codes]
    offsets = case.histories.offsets.tolist()
    return [names[a:b] for a, b in zip(offsets[:-1], offsets[1:], strict=True)]


def expected_part(n, t, d, position, split, held_out) -> str:
    """The rules in words, one event at a time."""
    if n < split.min_user_events:
        return FEW_USER_EVENTS
    if position >= d:
        measured = d >= split.min_test_history and n >= 2
        return TEST if measured else SHORT_TEST_HISTORY
    if d < split.min_development_events:
        return FEW_DEVELOPMENT_EVENTS
    if held_out:
        return VALIDATION if d >= 2 else FEW_TRAIN_EVENTS
    if t < 2:
        return FEW_TRAIN_EVENTS
    return TRAIN if position < t else VALIDATION


@FEW
@given(cases())
def test_each_event_is_in_one_part_or_excluded_by_a_named_rule(case):
    histories, split = case.histories, case.split
    found = parts_by_user(case)
    for user, names in enumerate(found):
        t = histories.num_train_events[user]
        d = histories.num_development_events[user]
        held_out = split.validation_rule == splits.BY_USER and t == 0
        assert names == [
            expected_part(len(names), t, d, position, split, held_out)
            for position in range(len(names))
        ]
    excluded = count_excluded(histories, split)
    kept = sum(
        name in (TRAIN, VALIDATION, TEST) for names in found for name in names
    )
    assert kept + sum(excluded.values()) == len(histories.item_ids)


@FEW
@given(cases())
def test_parts_of_a_user_are_contiguous_and_in_order_of_time(case):
    histories, split = case.histories, case.split
    order = [TRAIN, VALIDATION, TEST]
    for user, names in enumerate(parts_by_user(case)):
        used = [order.index(name) for name in names if name in order]
        assert used == sorted(used)
        # No gap: what is left out lies before or after all that is used.
        places = [i for i, name in enumerate(names) if name in order]
        if places:
            assert places == list(range(places[0], places[-1] + 1))
        start = histories.offsets[user]
        times = histories.timestamps[start : start + len(names)]
        if split.strategy == splits.TEMPORAL:
            for name, time in zip(names, times, strict=True):
                assert (time > histories.test_cut) == (
                    name in (TEST, SHORT_TEST_HISTORY)
                ) or name == FEW_USER_EVENTS
                if split.validation == splits.BY_TIME and name in order[:2]:
                    in_train = time <= histories.validation_cut
                    assert (name == TRAIN) == in_train


@FEW
@given(cases())
def test_fits_take_what_the_parts_say(case):
    histories, split = case.histories, case.split
    codes = event_parts(histories, split)
    train = fit_windows(histories, split, "train", None)
    assert train.rows.tolist() == np.flatnonzero(codes == 0).tolist()
    refit = fit_windows(histories, split, "train_validation", None)
    selection = np.flatnonzero((codes == 0) | (codes == 1))
    # The final fit has all of the selection, and never a test event.
    assert set(selection) <= set(refit.rows)
    assert not (codes[refit.rows] == PARTS.index(TEST)).any()
    if split.refit_users == "train":
        owners = np.repeat(np.arange(histories.num_users), histories.num_events)
        assert set(owners[refit.rows]) == set(owners[selection])


def by_hand() -> Case:
    """One user of whom all development is train, and one with more.

    Users of the first kind are rare among the random ones.
    """
    split = SplitConfig(min_user_events=1, min_development_events=1)
    users = [[(0, 0), (1, 1)], [(0, 0), (1, 1), (2, 5)]]
    return Case(
        split, split_reference.histories(users, split, 2, 8, [False, False])
    )


@FEW
@given(cases())
@example(by_hand())
def test_nobody_is_validated_on_what_was_trained_on(case):
    histories, split = case.histories, case.split
    validation = np.flatnonzero(splits.validation_users(histories, split))
    target = (
        histories.offsets[validation]
        + histories.num_development_events[validation]
        - 1
    )
    train = fit_windows(histories, split, "train", None)
    assert not set(target) & set(train.rows)
    # Each has an input before the target.
    assert (histories.num_development_events[validation] >= 2).all()
    if split.validation_rule == splits.BY_USER:
        assert not set(validation) & set(train.user_positions)
    else:
        assert set(validation) <= set(train.user_positions)


@FEW
@given(cases(), st.integers(0, 3))
def test_targets_are_test_events_with_an_input_before_them(case, seed):
    histories, split = case.histories, case.split
    codes = event_parts(histories, split)
    users = np.flatnonzero(splits.test_users(histories, split))
    test = histories.select(users)
    for rule in targets.RULES:
        found = targets.select_targets(test, rule, seed)
        rows = histories.offsets[users[found.owners]] + found.positions
        assert (codes[rows] == PARTS.index(TEST)).all()
        assert (found.ends >= 1).all()
        assert (found.ends[found.requests] <= found.positions).all()
        # Nobody is forgotten, and each request has a target.
        assert set(found.owners) == set(range(len(users)))
        assert set(found.requests) == set(range(len(found.users)))


@pytest.mark.parametrize("kind", KINDS)
def test_cases_reach_every_part(kind):
    # The properties above would hold of nothing at all.
    seen = set()

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(cases([kind]))
    def look(case):
        codes = event_parts(case.histories, case.split)
        seen.update(PARTS[code] for code in codes)

    look()
    assert seen == set(PARTS)
