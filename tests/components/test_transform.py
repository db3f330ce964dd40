import dataclasses
import datetime
import itertools

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from components import periods, splits
from components.periods import user_table_period
from components.splits import SplitConfig
from components.transform import analyzers, preprocessing, vocabularies
from components.transform.analyzers import CountTimestamps, Cut
from tests.components import helpers, split_reference

# float32 knows seconds of this size to 128 s only.
T0 = 1_400_000_001

#                     position in history: 0         1         2         3
LOG = {
    "u1": [("a", T0 + 10), ("b", T0 + 20), ("a", T0 + 30), ("c", T0 + 40)],
    b"\xffu2\r": [("b", T0 + 10), ("c", T0 + 20), ("d", T0 + 50)],
    "u3": [("e\n", T0 + 30), ("c", T0 + 60)],
    "u4": [("a", T0 + 20), ("g", T0 + 40), ("f", T0 + 70), ("a", T0 + 80)],
}
U2 = b"\xffu2\r"

# Eleven events of users with three or more: 10 10 20 20 20 30 40 40 50 70 80.
# Position 7.5 is 45. Up to there users with two or more have 10 10 20 20 20
# 30 40 40; position 5.25 is 32.5, floored to 32.
QUANTILES = SplitConfig(
    test_quantile=0.75,
    validation_quantile=0.75,
    min_user_events=3,
    min_development_events=2,
)


@pytest.fixture(scope="module")
def by_quantile(tmp_path_factory):
    return helpers.transform(LOG, QUANTILES, tmp_path_factory.mktemp("t"))


@pytest.fixture(scope="module")
def by_date(tmp_path_factory):
    """No event lies between the cuts; the input is sparse."""
    split = dataclasses.replace(
        QUANTILES, validation_date=iso(T0 + 40), test_date=iso(T0 + 45)
    )
    directory = tmp_path_factory.mktemp("t")
    return helpers.transform(LOG, split, directory, ragged=False)


def iso(seconds: int) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.isoformat().replace("+00:00", "Z")


def by_user(data, values) -> dict:
    return dict(zip(data.histories.user_ids, values.tolist(), strict=True))


def item_rows(data) -> dict:
    histories = data.histories
    rows = np.split(histories.item_indices, histories.offsets[1:-1])
    return {
        user: row.tolist()
        for user, row in zip(histories.user_ids, rows, strict=True)
    }


def test_cuts_are_floored_quantiles_of_the_users_that_count(by_quantile):
    assert by_quantile.histories.test_cut == T0 + 45
    assert by_quantile.histories.validation_cut == T0 + 32


def test_events_before_each_cut(by_quantile):
    histories = by_quantile.histories
    assert by_user(by_quantile, histories.num_train_events) == {
        b"u1": 3, U2: 2, b"u3": 1, b"u4": 1,
    }  # fmt: skip
    assert by_user(by_quantile, histories.num_development_events) == {
        b"u1": 4, U2: 2, b"u3": 1, b"u4": 2,
    }  # fmt: skip


def test_item_vocabularies_by_frequency(by_quantile):
    # Up to the validation cut: a 3 times, b 2, c and e once.
    train = [b"a", b"b", b"e\n", b"c"]
    assert by_quantile.items("train") == train
    assert by_quantile.items("train_validation") == [*train, b"g"]


def test_item_indices_are_rows_of_the_concatenation(by_quantile):
    assert item_rows(by_quantile) == {
        b"u1": [1, 2, 1, 4],
        U2: [2, 4, 0],
        b"u3": [3, 4],
        b"u4": [1, 5, 0, 1],
    }


def test_user_vocabularies_and_indices(by_quantile):
    # u3 has two events only, u4 only one before the validation cut.
    assert by_quantile.users("train") == [U2, b"u1"]
    assert by_quantile.users("train_validation") == [U2, b"u1", b"u4"]
    indices = by_user(by_quantile, by_quantile.histories.user_indices)
    assert indices == {U2: 0, b"u1": 1, b"u4": 2, b"u3": -1}


def test_histories_pass_unchanged(by_quantile):
    histories = by_quantile.histories
    user = list(histories.user_ids).index(b"u4")
    start, end = histories.offsets[user : user + 2]
    assert histories.item_ids[start:end].tolist() == [b"a", b"g", b"f", b"a"]
    assert histories.timestamps[start:end].tolist() == [
        T0 + 20, T0 + 40, T0 + 70, T0 + 80,
    ]  # fmt: skip


@pytest.mark.parametrize("data", ["by_quantile", "by_date"])
def test_users_of_the_table_are_those_of_the_split_rules(data, request):
    data = request.getfixturevalue(data)
    histories = data.histories
    everyone = dataclasses.replace(QUANTILES, refit_users="development")
    for period, rule in (
        ("train", splits.train_users(histories, QUANTILES)),
        ("train_validation", splits.refit_users(histories, everyone)),
    ):
        assert set(data.users(period)) == set(histories.user_ids[rule])
        indices = histories.user_indices[rule]
        assert sorted(indices) == list(range(rule.sum()))


def test_an_event_at_the_cut_lies_before_it(by_date):
    assert by_date.histories.validation_cut == T0 + 40
    assert by_user(by_date, by_date.histories.num_train_events) == {
        b"u1": 4, U2: 2, b"u3": 1, b"u4": 2,
    }  # fmt: skip


def test_nothing_new_between_the_cuts(by_date):
    assert by_date.items("train_validation") == by_date.items("train")
    assert by_date.users("train_validation") == by_date.users("train")
    rows = item_rows(by_date)
    assert rows[b"u4"][2] == 0
    assert rows[U2][2] == 0
    known = by_date.items("train")
    assert [known[row - 1] for row in rows[b"u1"]] == [b"a", b"b", b"a", b"c"]


def test_unknown_period_is_refused(by_date):
    with pytest.raises(ValueError, match="train or train_validation.*'test'"):
        vocabularies.read_item_ids(by_date.transform_graph, "test")


@pytest.mark.parametrize("seed", range(20))
def test_quantile_is_that_of_pandas(seed):
    generator = np.random.default_rng(seed)
    events = T0 + generator.integers(
        0, 10**seed % 99_999_999 + 1, 1 + 37 * seed
    )
    values, counts = np.unique(events, return_counts=True)
    for quantile in (0.29, 0.5, 0.8, 0.9, 0.95, *generator.uniform(size=20)):
        expected = pd.Series(events).quantile(quantile)
        found = analyzers.quantile_of_counts(values, counts, quantile)
        assert found == expected


@pytest.mark.parametrize("quantile", [0.029, 0.056, 0.101, 0.8])
def test_quantile_rounds_as_that_of_pandas(quantile):
    """Between events so far apart, a share's last bit is worth seconds."""
    events = np.array([0, 2**60])
    expected = pd.Series(events).quantile(quantile)
    found = analyzers.quantile_of_counts(events, np.array([1, 1]), quantile)
    assert found == expected


def test_counts_do_not_depend_on_how_batches_are_merged():
    events = T0 + np.random.default_rng(0).integers(0, 50, 1000)
    count = CountTimestamps()
    accumulators = [count.create_accumulator() for _ in range(4)]
    for number, batch in enumerate(np.array_split(events, 13)):
        accumulators[number % 4] = count.add_input(
            accumulators[number % 4], (batch,)
        )
    values, counts = count.extract_output(
        count.merge_accumulators(reversed(accumulators))
    )
    expected_values, expected_counts = np.unique(events, return_counts=True)
    np.testing.assert_array_equal(values, expected_values)
    np.testing.assert_array_equal(counts, expected_counts)
    assert values.dtype == np.int64


def test_counting_takes_time_in_proportion_to_the_batches(monkeypatch):
    """With every batch added to a table of all it grew with their square."""
    sizes = []
    add_up = analyzers._sum

    def noted(parts):
        sizes.append(sum(len(values) for values, _ in parts))
        return add_up(parts)

    monkeypatch.setattr(analyzers, "_sum", noted)
    events = T0 + np.random.default_rng(0).permutation(256 * 50)
    count = CountTimestamps()
    accumulator = count.create_accumulator()
    for batch in np.split(events, 256):
        accumulator = count.add_input(accumulator, (batch,))
        lengths = [len(values) for values, _ in accumulator]
        assert all(a >= 2 * b for a, b in itertools.pairwise(lengths))
    values, counts = count.extract_output(accumulator)
    np.testing.assert_array_equal(values, np.sort(events))
    assert (counts == 1).all()
    # log2(256) times each event, and once more at the end.
    assert sum(sizes) <= 9 * len(events)


def test_no_events_to_take_a_cut_from():
    cut = Cut("test", "user with at least 3 events", quantile=0.8)
    count = CountTimestamps()
    nothing = count.extract_output(count.create_accumulator())
    with pytest.raises(ValueError, match="test cut.*at least 3 events"):
        analyzers.cut_of_counts(nothing, cut)


def test_test_quantile_before_the_validation_date():
    cut = Cut("test", "user", quantile=0.8, after=T0)
    counts = np.array([T0]), np.array([5])
    with pytest.raises(ValueError, match=f"is {T0}.*validation date {T0}"):
        analyzers.cut_of_counts(counts, cut)


def test_test_days_before_the_validation_date():
    cut = Cut("test", "user", before_newest=129_600, after=T0)
    counts = np.array([5, T0 + 129_600]), np.array([9, 1])
    message = f"test cut 1.5 days before the newest event is {T0} .*date {T0}"
    with pytest.raises(ValueError, match=message):
        analyzers.cut_of_counts(counts, cut)
    counts = np.array([5, T0 + 129_601]), np.array([9, 1])
    assert analyzers.cut_of_counts(counts, cut) == T0 + 1


def test_days_count_back_from_the_newest_event_that_counts(tmp_path):
    # The newest event of users with three or more is u4's second "a"; u3's
    # later one does not count.
    log = {**LOG, "u3": [("e\n", T0 + 30), ("c", T0 + 90)]}
    split = dataclasses.replace(
        QUANTILES, test_days=30 / 86_400, validation_days=10 / 86_400
    )
    data = helpers.transform(log, split, tmp_path)
    histories = data.histories
    assert histories.test_cut == T0 + 80 - 30
    assert histories.validation_cut == T0 + 80 - 30 - 10
    # What happens at a cut lies before it.
    assert by_user(data, histories.num_development_events) == {
        b"u1": 4, U2: 3, b"u3": 1, b"u4": 2,
    }  # fmt: skip
    assert by_user(data, histories.num_train_events) == {
        b"u1": 4, U2: 2, b"u3": 1, b"u4": 2,
    }  # fmt: skip


def test_days_before_a_test_date(tmp_path):
    split = dataclasses.replace(
        QUANTILES, test_date=iso(T0 + 45), validation_days=20 / 86_400
    )
    histories = helpers.transform(LOG, split, tmp_path).histories
    assert histories.validation_cut == T0 + 25


# Users drawn for `by_user` below; two have one event or two only.
MANY = {
    f"user{user}": [
        (f"item{(user * 7 + event * event) % 23}", T0 + 13 * user + 5 * event)
        for event in range(1 + user % 6)
    ]
    for user in range(30)
}
KINDS = {
    "by_user": SplitConfig(
        validation="by_user",
        validation_user_share=0.3,
        min_user_events=1,
        min_development_events=1,
        test_quantile=0.7,
    ),
    "last_train_item": SplitConfig(
        validation="last_train_item",
        min_user_events=1,
        min_development_events=1,
        test_quantile=0.7,
    ),
    "leave_one_out": SplitConfig(
        strategy="leave_one_out", min_user_events=1, min_development_events=1
    ),
}


@pytest.fixture(scope="module", params=KINDS, ids=str)
def kind(request, tmp_path_factory):
    split = KINDS[request.param]
    directory = tmp_path_factory.mktemp(request.param)
    return split, helpers.transform(MANY, split, directory)


def held_out_users(split: SplitConfig) -> set[bytes]:
    """The draw of the graph, taken alone."""
    users = tf.constant([user.encode() for user in MANY])
    drawn = preprocessing._held_out(users, split).numpy()
    return set(users.numpy()[drawn])


def test_events_of_each_part_are_those_of_plain_python(kind):
    split, data = kind
    histories = data.histories
    held_out = held_out_users(split)
    times = {u.encode(): sorted(t for _, t in e) for u, e in MANY.items()}
    expected = {
        user: split_reference.counts(
            of_user, split, 0, histories.test_cut, user in held_out
        )
        for user, of_user in times.items()
    }
    train = by_user(data, histories.num_train_events)
    development = by_user(data, histories.num_development_events)
    assert {u: (train[u], development[u]) for u in train} == expected
    if split.strategy == "temporal":
        counted = pd.Series([t for e in times.values() for t in e])
        assert histories.test_cut == int(counted.quantile(0.7))
    else:
        # Time of the newest event that is not its user's last.
        newest = max(t for e in times.values() for t in e[:-1])
        assert histories.test_cut == newest
    assert histories.validation_cut == histories.test_cut


def test_catalogues_hold_what_each_part_holds(kind):
    _, data = kind
    histories = data.histories
    found = {"train": set(), "train_validation": set()}
    for user in range(histories.num_users):
        start, end = histories.offsets[user : user + 2]
        items = histories.item_ids[start:end].tolist()
        found["train"] |= set(items[: histories.num_train_events[user]])
        found["train_validation"] |= set(
            items[: histories.num_development_events[user]]
        )
    train, both = data.items("train"), data.items("train_validation")
    assert (set(train), set(both)) == (
        found["train"],
        found["train_validation"],
    )
    # A prefix, each item once, and every event has the row of its item.
    assert both[: len(train)] == train and len(set(both)) == len(both)
    rows = {item: row + 1 for row, item in enumerate(both)}
    assert histories.item_indices.tolist() == [
        rows.get(item, 0) for item in histories.item_ids
    ]


def test_users_of_each_table_are_those_fitted_on(kind):
    split, data = kind
    histories = data.histories
    for period in ("train", "train_validation"):
        users = set(data.users(user_table_period(split, period)))
        fitted = periods.period_users(histories, split, period)
        assert users >= set(histories.user_ids[fitted])
        assert (histories.user_indices[fitted] >= 0).all()
    train = periods.period_users(histories, split, "train")
    order = np.argsort(histories.user_indices[train])
    assert data.users("train") == histories.user_ids[train][order].tolist()


def test_the_share_of_users_is_held_out_by_id_and_seed():
    users = tf.constant([b"u%d" % n for n in range(20_000)])

    def drawn(**settings) -> np.ndarray:
        split = SplitConfig(validation="by_user", **settings)
        return preprocessing._held_out(users, split).numpy()

    tenth = drawn()
    assert abs(tenth.sum() - 2000) < 5 * np.sqrt(20_000 * 0.1 * 0.9)
    # A larger share holds out the same users and more.
    assert not (tenth & ~drawn(validation_user_share=0.3)).any()
    other = drawn(validation_seed=1)
    assert abs((tenth & other).sum() - 200) < 5 * np.sqrt(200)
    # Only the id counts, not the place.
    order = np.random.default_rng(0).permutation(20_000)
    split = SplitConfig(validation="by_user")
    shuffled = preprocessing._held_out(tf.gather(users, order), split)
    np.testing.assert_array_equal(shuffled, tenth[order])


def test_leave_one_out_of_single_events_has_no_development(tmp_path):
    log = {"u1": [("a", T0)], "u2": [("b", T0)]}
    split = KINDS["leave_one_out"]
    with pytest.raises(Exception, match="found no user with two events"):
        helpers.transform(log, split, tmp_path)
