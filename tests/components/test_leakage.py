"""Nothing after a cut may influence anything learned before it."""

import dataclasses
import random
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from components.graph_builder.config import GraphConfig
from components.periods import FIT_PERIODS, fit_windows
from components.splits import SplitConfig
from components.transform import preprocessing
from tests.components import helpers
from tests.components.helpers import Log

VALIDATION_CUT, TEST_CUT, END = 60, 80, 100
# Whether a user counts must not depend on events to come, so these take the
# strict minimum numbers of events.
STRICT = SplitConfig(
    validation_date=f"1970-01-01T00:01:{VALIDATION_CUT - 60:02}Z",
    test_date=f"1970-01-01T00:01:{TEST_CUT - 60:02}Z",
    min_user_events=1,
    min_development_events=2,
    refit_users="development",
)
QUANTILES = SplitConfig(test_quantile=0.7, validation_quantile=0.8)

Event = tuple[str, int]


def a_log() -> Log:
    """Fifteen users, some of whom come late, over twenty items."""
    source = random.Random(7)
    log: Log = {}
    for user in range(15):
        start = source.choice([0, 0, 50, 70])
        times = sorted(source.randint(start, END) for _ in range(8))
        log[f"user{user}"] = [
            (f"item{source.randint(0, 11 + time // 12)}", time)
            for time in times
        ]
    return log


def edited(log: Log, edit: Callable[[list[Event]], list[Event]]) -> Log:
    return {user: events for user in log if (events := edit(log[user]))}


def removed(log: Log, low: int, high: int) -> Log:
    """Without the events in (low, high]."""
    return edited(
        log, lambda events: [e for e in events if not low < e[1] <= high]
    )


def changed(log: Log, low: int, high: int) -> Log:
    """Other items and times for the events in (low, high]."""
    source = random.Random(1)

    def edit(events: list[Event]) -> list[Event]:
        return [
            (f"item{source.randint(0, 40)}", source.randint(low + 1, high))
            if low < time <= high
            else (item, time)
            for item, time in events
        ]

    return edited(log, edit)


def added(log: Log, low: int, high: int) -> Log:
    """More events in (low, high], also of new users and with new items."""
    source = random.Random(2)
    more = dict(log)
    for user in (*list(log)[::2], "new user 1", "a new user 2"):
        more[user] = log.get(user, []) + [
            (item, source.randint(low + 1, high))
            for item in ("item1", "new item", "a new item", "item1")
        ]
    return more


def moved_later(log: Log, low: int, high: int) -> Log:
    """Other items for events after `low`, and up to 20 seconds later."""
    source = random.Random(3)

    def edit(events: list[Event]) -> list[Event]:
        return [
            (f"item{source.randint(0, 40)}", time + source.randint(0, 20))
            if time > low
            else (item, time)
            for item, time in events
        ]

    return edited(log, edit)


def learned(log: Log, split: SplitConfig, directory) -> dict:
    """All that a model is fitted on, by period."""
    data = helpers.transform(log, split, directory)
    graphs = helpers.graphs(data, split, GraphConfig(newest=4))
    return {
        period: {
            "items": data.items(period),
            "users": data.users(period),
            "examples": examples(data.histories, split, period),
            "graph": graph_columns(graphs[period]),
        }
        for period in FIT_PERIODS
    } | {"test_cut": data.histories.test_cut}


def examples(histories, split: SplitConfig, period: str) -> list:
    fit = fit_windows(histories, split, period, 4)
    return [
        (
            histories.user_ids[user],
            histories.user_indices[user],
            histories.item_ids[rows].tolist(),
            histories.item_indices[rows].tolist(),
            histories.timestamps[rows].tolist(),
        )
        for user, rows in zip(
            fit.user_positions,
            np.split(fit.rows, fit.offsets[1:-1]),
            strict=True,
        )
    ]


def graph_columns(graph) -> dict:
    edges = graph.edge_sets["interacts"]
    return {
        "nodes": [
            graph.node_sets[name]["id"].numpy().tolist()
            for name in ("user", "item")
        ],
        "source": edges.adjacency.source.numpy().tolist(),
        "target": edges.adjacency.target.numpy().tolist(),
        "weight": edges["weight"].numpy().tolist(),
        "timestamp": edges["timestamp"].numpy().tolist(),
    }


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    return learned(a_log(), STRICT, tmp_path_factory.mktemp("strict"))


def test_the_log_has_what_could_leak(strict):
    # Users and items of each period, so that the tests below can fail.
    first, second = (strict[period] for period in FIT_PERIODS)
    for kind in ("items", "users"):
        assert 0 < len(first[kind]) < len(second[kind])
    assert first["examples"] != second["examples"]
    log = a_log()
    last = {item for e in log.values() for item, time in e if time > TEST_CUT}
    assert last - {item.decode() for item in second["items"]}


@pytest.mark.parametrize("edit", [removed, changed, added])
def test_events_after_the_test_cut_change_nothing(edit, strict, tmp_path):
    log = edit(a_log(), TEST_CUT, END)
    assert log != a_log()
    assert learned(log, STRICT, tmp_path) == strict


@pytest.mark.parametrize("edit", [removed, changed, added])
def test_events_after_the_validation_cut_change_nothing_of_train(
    edit, strict, tmp_path
):
    log = edit(a_log(), VALIDATION_CUT, TEST_CUT)
    if edit is removed:
        # A period without events is an error of its own.
        log = log | {"user0": a_log()["user0"]}
    found = learned(log, STRICT, tmp_path)
    assert found["train"] == strict["train"]
    assert found["train_validation"] != strict["train_validation"]


def test_later_and_other_events_after_quantile_cuts_change_nothing(tmp_path):
    before = learned(a_log(), QUANTILES, tmp_path / "before")
    log = moved_later(a_log(), before["test_cut"], END)
    after = learned(log, QUANTILES, tmp_path / "after")
    assert log != a_log()
    for period in FIT_PERIODS:
        assert after[period] == before[period]


# --- other validations, and what leave-one-out does --------------------------

OTHER_VALIDATIONS = {
    "by_user": dataclasses.replace(
        STRICT,
        validation="by_user",
        validation_user_share=0.3,
        validation_date=None,
    ),
    "last_train_item": dataclasses.replace(
        STRICT, validation="last_train_item", validation_date=None
    ),
}


@pytest.fixture(scope="module", params=OTHER_VALIDATIONS, ids=str)
def other(request, tmp_path_factory):
    split = OTHER_VALIDATIONS[request.param]
    return split, learned(
        a_log(), split, tmp_path_factory.mktemp(request.param)
    )


def held_out(log: Log, split: SplitConfig) -> set[str]:
    drawn = preprocessing._held_out(tf.constant(list(log)), split).numpy()
    return set(np.array(list(log))[drawn])


def without_validation(log: Log, split: SplitConfig) -> Log:
    """Other events where the selection must not look, the future too."""
    if split.validation == "by_user":
        users = held_out(log, split)
        assert 0 < len(users) < len(log)
        return {
            user: [(f"other{item}", time // 2) for item, time in events] * 2
            if user in users
            else events
            for user, events in changed(log, TEST_CUT, END).items()
        }

    def edit(events: list[Event]) -> list[Event]:
        ordered = sorted(events, key=lambda event: event[1])
        last = sum(time <= TEST_CUT for _, time in ordered) - 1
        return [
            (f"other{item}", time) if place >= last else (item, time)
            for place, (item, time) in enumerate(ordered)
        ]

    return edited(log, edit)


def changed_and_added(log: Log, low: int, high: int) -> Log:
    return added(changed(log, low, high), low, high)


@pytest.mark.parametrize("edit", [removed, changed_and_added])
def test_the_future_changes_nothing_with_any_validation(edit, other, tmp_path):
    split, before = other
    log = edit(a_log(), TEST_CUT, END)
    assert learned(log, split, tmp_path) == before


def test_the_selection_sees_nothing_of_its_validation(other, tmp_path):
    split, before = other
    after = learned(without_validation(a_log(), split), split, tmp_path)
    assert after["train"] == before["train"]
    assert before["train"]["examples"] and before["train"]["items"]
    assert after["train_validation"] != before["train_validation"]


def test_leave_one_out_learns_from_events_after_a_test_event(tmp_path):
    """What it is marked for: the model knows the future of its targets."""
    log = {
        # The target is the event at 4.
        "early": [("a", 1), ("b", 2), ("c", 3), ("d", 4)],
        **{f"late{n}": [(item, 10 + n) for item in "abdab"] for n in range(3)},
    }
    future = edited(
        log,
        lambda e: [("z", t) if t > 3 and i == "a" else (i, t) for i, t in e],
    )
    leaking = dataclasses.replace(
        STRICT, strategy="leave_one_out", validation_date=None, test_date=None
    )
    before = learned(log, leaking, tmp_path / "before")
    after = learned(future, leaking, tmp_path / "after")
    for period in FIT_PERIODS:
        assert b"z" in after[period]["items"]
        assert after[period] != before[period]
    # A cut in time before the target keeps the same events out.
    honest = dataclasses.replace(
        STRICT,
        validation="last_train_item",
        validation_date=None,
        test_date="1970-01-01T00:00:03Z",
    )
    before = learned(log, honest, tmp_path / "honest before")
    after = learned(future, honest, tmp_path / "honest after")
    assert after == before
