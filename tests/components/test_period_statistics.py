"""PeriodStatistics against numbers by hand, pandas, numpy and scipy."""

import json
import types as python_types

import apache_beam as beam
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.spatial.distance
import scipy.stats
import tensorflow as tf
import tensorflow_data_validation as tfdv
from hypothesis import given, settings
from hypothesis import strategies as st

from components.event_parts import PERIODS
from components.histories import parse_histories
from components.period_statistics import counts as counting
from components.period_statistics import (
    drift,
    drift_json,
    events,
    features,
    numbers,
)
from components.period_statistics.build import (
    STATISTICS_FILE,
    build_statistics,
    tfdv_options,
)
from components.period_statistics.config import DriftConfig
from components.ranking_evaluator.report import drift_section
from models.settings import to_json

DAY = events.DAY_SECONDS
HOUR = 3_600
# Thursday, 2024-02-01, 00:00 UTC.
START = 1_706_745_600

# User -> (events as (item, seconds after START)), in the order of time.
# The validation cut lies at 10 days, the test cut at 20 days.
CUTS = (10 * DAY, 20 * DAY)
LOG = {
    # 3 train, 1 validation, 1 test event.
    "u1": [
        ("a", 0),
        ("b", 0),
        ("a", 2 * DAY),
        ("c", 11 * DAY),
        ("d", 21 * DAY),
    ],
    # 1 train, 1 test event.
    "u2": [("a", DAY), ("c", 25 * DAY)],
    # New in validation, so known in test.
    "u3": [("b", 12 * DAY), ("b", 12 * DAY + 30), ("e", 22 * DAY)],
    # New in test.
    "u4": [("a", 23 * DAY), ("e", 23 * DAY + HOUR)],
}
NEVER = DriftConfig(
    item_id=None,
    popularity=None,
    gap=None,
    hour_of_day=None,
    day_of_week=None,
)


def serialize(user, history, cuts=CUTS):
    """A transformed tf.Example."""

    def ints(*values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def strings(*values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    stamps = [START + seconds for _, seconds in history]
    cut, test_cut = (START + seconds for seconds in cuts)
    values = {
        "user_id": strings(user.encode()),
        "user_index": ints(0),
        "item_ids": strings(*[item.encode() for item, _ in history]),
        "item_indices": ints(*[1] * len(history)),
        "timestamps": ints(*stamps),
        "num_train_events": ints(sum(s <= cut for s in stamps)),
        "num_development_events": ints(sum(s <= test_cut for s in stamps)),
        "validation_cut": ints(cut),
        "test_cut": ints(test_cut),
    }
    return tf.train.Example(
        features=tf.train.Features(feature=values)
    ).SerializeToString()


def histories_of(log, cuts=CUTS):
    return parse_histories([serialize(u, h, cuts) for u, h in log.items()])


def drift_of(histories, statistics=None, config=NEVER):
    """drift.json without Beam, and without TFDV's statistics by default."""
    rows = events.event_rows(histories)
    counts = counting.merge([counting.count(histories, rows)])
    items = features.make_items(counts["items"])
    days = counting.add_up_days([features.split_rows(rows, items)[1]])
    nothing = dict.fromkeys(PERIODS, drift.Statistics())
    return drift_json.make(counts, days, statistics or nothing, config)


def write(directory, log, cuts=CUTS, shards=1):
    directory.mkdir(parents=True, exist_ok=True)
    users = list(log)
    for shard in range(shards):
        path = str(directory / f"transformed_examples-{shard}.gz")
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for user in users[shard::shards]:
                writer.write(serialize(user, log[user], cuts))


def run(directory, log, config=None, cuts=CUTS, shards=1, **arguments):
    """The Beam pipeline; returns drift.json and TFDV's statistics."""
    write(directory / "examples", log, cuts, shards)
    folders = {p: str(directory / f"Split-{p}") for p in PERIODS}
    with beam.Pipeline() as pipeline:
        build_statistics(
            pipeline,
            str(directory / "examples" / "*"),
            folders,
            str(directory),
            config or DriftConfig(position=0.5),
            **arguments,
        )
    content = json.loads((directory / "drift.json").read_text())
    return content, {
        period: tfdv.load_stats_binary(f"{folder}/{STATISTICS_FILE}")
        for period, folder in folders.items()
    }


def feature(statistics, name):
    (dataset,) = statistics.datasets
    (found,) = [f for f in dataset.features if list(f.path.step) == [name]]
    return found


def random_log(seed, num_users=60, num_items=40):
    """Popular items change after the first cut, and some are new."""
    generator = np.random.default_rng(seed)
    log = {}
    for user in range(num_users):
        times = np.sort(generator.integers(0, 40 * DAY, 12))
        item = generator.zipf(1.5, 12) % num_items
        item = np.where(times > 10 * DAY, item * 3 % (num_items + 5), item)
        log[f"u{user}"] = [
            (f"i{i}", int(t)) for i, t in zip(item, times, strict=True)
        ]
    return log


def frame(log, cuts=CUTS):
    """The same log in pandas, one row per event."""
    rows = pd.DataFrame(
        [(u, i, START + s) for u, h in log.items() for i, s in h],
        columns=["user", "item", "time"],
    )
    edges = [-np.inf, *(START + s for s in cuts), np.inf]
    rows["period"] = pd.cut(rows.time, edges, labels=PERIODS)
    rows["gap"] = rows.groupby("user").time.diff()
    return rows


# --- events -----------------------------------------------------------------


def test_event_rows_by_hand():
    rows = events.event_rows(histories_of(LOG)).to_pydict()
    assert b"".join(rows["item_id"]) == b"abacdacbbeae"
    assert rows["period"] == [0, 0, 0, 1, 2, 0, 2, 1, 1, 2, 2, 2]
    assert rows["position"] == [1, 2, 3, 4, 5, 1, 2, 1, 2, 3, 1, 2]
    assert rows["gap"] == [
        *(None, 0, 2 * DAY, 9 * DAY, 10 * DAY),
        *(None, 24 * DAY),
        *(None, 30, 10 * DAY - 30),
        *(None, HOUR),
    ]
    assert rows["new_user"] == [
        *(None, None, None, False, False),
        *(None, False),
        *(True, True, False),
        *(True, True),
    ]


def test_clock_and_calendar_agree_with_pandas():
    stamps = np.random.default_rng(0).integers(-(10**9), 2 * 10**9, 500)
    expected = pd.to_datetime(stamps, unit="s")
    np.testing.assert_array_equal(events.hours(stamps), expected.hour)
    np.testing.assert_array_equal(events.weekdays(stamps), expected.dayofweek)
    assert events.WEEKDAYS[events.weekdays(np.array([START]))[0]] == "Thu"


def test_gap_buckets_begin_at_their_names():
    gaps = np.array([0, 1, 59, 60, HOUR - 1, HOUR, DAY, 7 * DAY, 365 * DAY])
    names = [events.GAP_NAMES[i] for i in events.gap_buckets(gaps)]
    assert names == [
        "same second",
        "< 1 min",
        "< 1 min",
        "< 10 min",
        "< 1 hour",
        "< 6 hours",
        "< 1 week",
        "< 30 days",
        ">= 1 year",
    ]


# --- the few numbers --------------------------------------------------------


def test_numbers_by_hand():
    found = drift_of(histories_of(LOG))
    train, validation, test = (found["periods"][p] for p in PERIODS)
    assert [p["events"] for p in (train, validation, test)] == [4, 3, 5]
    assert [p["users"] for p in (train, validation, test)] == [2, 2, 4]
    assert [p["items"] for p in (train, validation, test)] == [2, 2, 4]
    assert train["events_per_user"] == {"mean": 2.0, "median": 1.0}
    assert train["first"] == START and train["last"] == START + 2 * DAY
    assert train["days"] == 2.0 and train["events_per_day"] == 2.0
    assert train["new_users"] is None and train["new_items"] is None
    # u1 has 1 of 3 events, u3 2 of 3; c is new, b is not.
    assert validation["new_users"] == {
        "number": 1,
        "share": 1 / 2,
        "event_share": 2 / 3,
    }
    assert validation["new_items"] == {
        "number": 1,
        "share": 1 / 2,
        "event_share": 1 / 3,
    }
    # Of d, c, e, a, e in test the items d and e are new; of u1 to u4 only u4.
    assert test["new_users"] == {
        "number": 1,
        "share": 1 / 4,
        "event_share": 2 / 5,
    }
    assert test["new_items"] == {
        "number": 2,
        "share": 2 / 4,
        "event_share": 3 / 5,
    }
    # Gaps in train: 0 and 2 days.
    assert train["gap_days"]["p50"] == 0.0
    assert train["gap_days"]["p90"] == pytest.approx(2.0, rel=1e-3)
    # Train a 3/4, b 1/4; test a, c, d 1/5 each, e 2/5.
    shift = found["popularity_shift"]["test"]
    assert shift["total_variation"] == pytest.approx(0.55 + 0.25)
    assert shift["l_infinity"] == pytest.approx(0.55)
    assert shift["items_in_both"] == 1 and shift["spearman"] is None
    assert shift["top"] == {"size": 2, "shared": 1}  # a b; e a


@pytest.mark.parametrize("seed", [0, 1])
def test_numbers_agree_with_pandas(seed):
    log = random_log(seed)
    found, rows = drift_of(histories_of(log)), frame(log)
    seen_users, seen_items = set(), set()
    for period in PERIODS:
        part = rows[rows.period == period]
        values = found["periods"][period]
        assert values["events"] == len(part)
        assert values["users"] == part.user.nunique()
        assert values["items"] == part.item.nunique()
        lengths = part.groupby("user").size()
        assert values["events_per_user"]["mean"] == pytest.approx(
            lengths.mean()
        )
        assert values["events_per_user"]["median"] == np.quantile(
            lengths, 0.5, method="inverted_cdf"
        )
        for percent in (10, 50, 90):
            expected = np.quantile(
                part.gap.dropna(), percent / 100, method="inverted_cdf"
            )
            assert values["gap_days"][f"p{percent}"] == pytest.approx(
                expected / DAY, rel=1e-3
            )
        if period != "train":
            for key, column, seen in (
                ("new_users", "user", seen_users),
                ("new_items", "item", seen_items),
            ):
                new = ~part[column].isin(seen)
                assert values[key] == {
                    "number": part[column][new].nunique(),
                    "share": pytest.approx(
                        part[column][new].nunique() / part[column].nunique()
                    ),
                    "event_share": pytest.approx(new.mean()),
                }
        seen_users |= set(part.user)
        seen_items |= set(part.item)


@pytest.mark.parametrize("period", ["validation", "test"])
def test_popularity_shift_agrees_with_scipy(period):
    log = random_log(2)
    found = drift_of(histories_of(log))["popularity_shift"][period]
    table = pd.crosstab(frame(log)["item"], frame(log)["period"])
    shares = table / table.sum()
    assert found["total_variation"] == pytest.approx(
        scipy.spatial.distance.cityblock(shares["train"], shares[period]) / 2
    )
    assert found["l_infinity"] == pytest.approx(
        scipy.spatial.distance.chebyshev(shares["train"], shares[period])
    )
    both = table[(table["train"] > 0) & (table[period] > 0)]
    assert found["items_in_both"] == len(both)
    assert found["spearman"] == pytest.approx(
        scipy.stats.spearmanr(both["train"], both[period]).statistic
    )


def test_top_overlap_counts_the_hundred_most_popular():
    before = np.arange(300, 0, -1)
    after = np.roll(before, 30)  # the 30 rarest become the most popular
    assert numbers.popularity_shift(before, after)["top"] == {
        "size": 100,
        "shared": 70,
    }


def test_chance_is_what_two_samples_of_one_distribution_differ_by():
    generator = np.random.default_rng(1)
    weights = 1.0 / np.arange(1, 2001)
    weights /= weights.sum()
    before = generator.multinomial(20_000, weights)
    after = generator.multinomial(5_000, weights)
    found = numbers.popularity_shift(before, after)
    chance = found["by_chance"]
    assert chance["total_variation"] == pytest.approx(
        found["total_variation"], rel=0.05
    )
    assert chance["l_infinity"] == pytest.approx(found["l_infinity"], rel=0.8)
    # And a real shift stands out from it.
    moved = numbers.popularity_shift(before, np.roll(after, 5))
    assert moved["total_variation"] > 1.5 * chance["total_variation"]


def test_chance_is_drawn_for_more_events_than_numpy_deals(monkeypatch):
    """`Generator.multivariate_hypergeometric` takes fewer than 10**9."""
    before, after = np.full(50, 30_000_000), np.full(50, 10_000_000)
    found = numbers.popularity_shift(before, after)["by_chance"]
    # By hand: of a share p each period's estimate has the variance
    # p (1 - p) / events, and E|x| of a normal x is sd * sqrt(2 / pi).
    spread = np.sqrt(0.02 * 0.98 * (1 / before.sum() + 1 / after.sum()))
    expected = 50 * spread * np.sqrt(2 / np.pi) / 2
    assert found["total_variation"] == pytest.approx(expected, rel=0.1)
    # Where both can be drawn they say the same.
    generator = np.random.default_rng(1)
    before, after = generator.integers(1, 500, (2, 400))
    dealt = numbers.popularity_shift(before, after)["by_chance"]
    monkeypatch.setattr(numbers, "_MOST_DEALT", 0)
    drawn = numbers.popularity_shift(before, after)["by_chance"]
    assert drawn == pytest.approx(dealt, rel=0.05)


@given(st.lists(st.integers(0, 2**50), min_size=1, max_size=50))
def test_rounded_gaps_are_close_and_exact_where_small(gaps):
    exact = np.array(gaps)
    found = counting.round_gaps(exact)
    assert np.all(found <= exact)
    assert np.all(exact - found <= exact / 1024)
    np.testing.assert_array_equal(found[exact < 2048], exact[exact < 2048])


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=60),
    st.sampled_from([0.1, 0.5, 0.9, 1.0]),
)
def test_quantile_is_numpys_inverted_cdf(values, share):
    distinct, counts = np.unique(values, return_counts=True)
    assert numbers.quantile(distinct, counts, share) == np.quantile(
        values, share, method="inverted_cdf"
    )


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_mean_ranks_are_scipys(values):
    np.testing.assert_array_equal(
        features.mean_ranks(np.array(values)), scipy.stats.rankdata(values)
    )


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_counts_add_up_however_the_users_are_cut(data):
    log = random_log(data.draw(st.integers(0, 99)), num_users=8, num_items=6)
    users = data.draw(st.permutations(list(log)))
    size = data.draw(st.integers(1, 8))
    parts = []
    for start in range(0, len(users), size):
        histories = histories_of(
            {u: log[u] for u in users[start : start + size]}
        )
        parts.append(counting.count(histories, events.event_rows(histories)))
    whole = histories_of(log)
    expected = counting.merge([counting.count(whole, events.event_rows(whole))])
    for name, table in counting.merge(parts).items():
        assert table.equals(expected[name]), name
    assert sum(expected["items"]["count"].to_pylist()) == 8 * 12


# --- TFDV -------------------------------------------------------------------


@pytest.fixture(scope="module")
def random_run(tmp_path_factory):
    log = random_log(3, num_users=150)
    content, statistics = run(tmp_path_factory.mktemp("random"), log)
    return python_types.SimpleNamespace(
        log=log, rows=frame(log), content=content, statistics=statistics
    )


def values_of(content, name):
    """Distances of a feature from train: to validation, to test."""
    found = {
        c["to"]: c["value"]
        for c in content["comparisons"]
        if c["feature"] == name
    }
    return [found["validation"], found["test"]]


def shares_of(column, periods):
    """Shares of each value in train, validation and test."""
    table = pd.crosstab(column, periods)
    return [(table / table.sum())[period] for period in PERIODS]


def test_l_infinity_is_the_largest_change_of_a_share(random_run):
    rows = random_run.rows
    train, *others = shares_of(rows["item"], rows["period"])
    expected = [np.abs(train - other).max() for other in others]
    found = values_of(random_run.content, "item_id")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert min(expected) > 0.01  # moved, and so it is said
    assert [
        c["moved"]
        for c in random_run.content["comparisons"]
        if c["feature"] == "item_id"
    ] == [True, True]


@pytest.mark.parametrize("name", ["gap", "hour_of_day", "day_of_week"])
def test_jensen_shannon_of_names_is_scipys(random_run, name):
    rows = random_run.rows
    moment = pd.to_datetime(rows["time"], unit="s")
    column = {
        "gap": pd.cut(
            rows["gap"],
            [0, *events.GAP_ENDS.values(), np.inf],
            right=False,
        ),
        "hour_of_day": moment.dt.hour,
        "day_of_week": moment.dt.dayofweek,
    }[name]
    train, *others = shares_of(column, rows["period"])
    expected = [
        scipy.spatial.distance.jensenshannon(train, other, base=2) ** 2
        for other in others
    ]
    found = values_of(random_run.content, name)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_jensen_shannon_of_percentiles_is_scipys():
    """Where samples end at the same two values their buckets agree."""
    generator = np.random.default_rng(4)
    samples = [
        np.append(100 * generator.beta(a, b, 4_000), [0.0, 100.0])
        for a, b in ((3, 1), (3, 1), (2, 2))
    ]
    statistics = {
        period: tfdv.generate_statistics_from_dataframe(
            pd.DataFrame({"popularity": sample.astype(np.float32)}),
            tfdv_options(),
        )
        for period, sample in zip(PERIODS, samples, strict=True)
    }
    edges = np.linspace(0, 100, 51)
    train, *others = (np.histogram(s, edges)[0] for s in samples)
    expected = [
        scipy.spatial.distance.jensenshannon(train, other, base=2) ** 2
        for other in others
    ]
    config = DriftConfig(
        item_id=None, gap=None, hour_of_day=None, day_of_week=None
    )
    found = drift.measure(statistics, config)
    # TFDV's buckets come from approximate quantiles.
    np.testing.assert_allclose(
        [c["value"] for c in found], expected, rtol=0.05, atol=0.001
    )
    assert [c["moved"] for c in found] == [False, True]


def test_statistics_describe_one_row_per_event(random_run):
    rows, periods = random_run.rows, random_run.content["periods"]
    for period in PERIODS:
        statistics = random_run.statistics[period]
        part = rows[rows.period == period]
        (dataset,) = statistics.datasets
        assert dataset.num_examples == len(part)
        assert {f.path.step[0] for f in dataset.features} == set(
            features.FEATURES
        )
        item = feature(statistics, "item_id").string_stats
        assert item.unique == part.item.nunique()
        top = part.groupby("item").size().max()
        assert item.rank_histogram.buckets[0].sample_count == top
        gap = feature(statistics, "gap_days").num_stats
        assert gap.common_stats.num_missing == part.gap.isna().sum()
        assert gap.mean == pytest.approx(part.gap.mean() / DAY, rel=1e-5)
        if period != "train":
            new = feature(statistics, "new_item").num_stats.mean
            assert new == pytest.approx(
                periods[period]["new_items"]["event_share"]
            )
        else:
            assert feature(statistics, "new_item").num_stats.mean == 0


def test_batches_files_and_order_do_not_matter(random_run, tmp_path):
    users = list(random_run.log)
    np.random.default_rng(0).shuffle(users)
    shuffled = {user: random_run.log[user] for user in users}
    found, statistics = run(tmp_path, shuffled, shards=3, batch_users=7)
    assert found == random_run.content
    for period, expected in random_run.statistics.items():
        for name in ("item_id", "hour_of_day"):
            one, other = (
                feature(s, name).string_stats.rank_histogram
                for s in (statistics[period], expected)
            )
            assert sorted(map(str, one.buckets)) == sorted(
                map(str, other.buckets)
            )


@pytest.mark.parametrize(
    ("log", "cuts", "empty"),
    [
        (LOG, (10 * DAY, 30 * DAY), ["test"]),
        (LOG, (-2 * DAY, -DAY), ["train", "validation"]),
        ({}, CUTS, ["train", "validation", "test"]),
    ],
    ids=["no-test", "only-test", "nothing"],
)
def test_empty_periods_are_not_compared(log, cuts, empty, tmp_path):
    found, statistics = run(tmp_path, log, cuts=cuts)
    compared = {c["to"] for c in found["comparisons"]}
    expected = {"validation", "test"} - set(empty)
    assert compared == (set() if "train" in empty else expected)
    for period in PERIODS:
        number = sum(d.num_examples for d in statistics[period].datasets)
        assert (number == 0) == (period in empty)
    assert_readable(found, cuts, empty)


@pytest.mark.parametrize(
    ("log", "cuts", "empty"),
    [
        (LOG, (20 * DAY, 20 * DAY), ["validation"]),
        (LOG, (30 * DAY, 31 * DAY), ["validation", "test"]),
        ({"u": [("a", 0), ("b", 11 * DAY), ("a", 21 * DAY)]}, CUTS, []),
        ({f"u{n}": [("a", n * 8 * DAY)] for n in range(4)}, CUTS, []),
        ({"u": [("a", 0)]}, CUTS, ["validation", "test"]),
    ],
    ids=["no-validation", "only-train", "one-user", "one-item", "one-event"],
)
def test_logs_of_next_to_nothing(log, cuts, empty):
    assert_readable(drift_of(histories_of(log, cuts)), cuts, empty)


def assert_readable(found, cuts, empty):
    """Numbers and section say what there is and what there is not."""
    for period, values in found["periods"].items():
        assert (values["events"] == 0) == (period in empty)
    section = drift_section.section(
        json.loads(drift_json.to_json(found)),
        {"validation_cut": START + cuts[0], "test_cut": START + cuts[1]},
    )
    for period in empty:
        assert f"no {period}" in section["headline"].lower()
    columns = zip(*(cells for _, cells in section["table"]), strict=True)
    for period, column in zip(PERIODS, columns, strict=True):
        assert (column[0] == "0") == (period in empty)
        assert not any("nan" in cell for cell in column)
    drawn = " ".join(figure["caption"] for figure in section["figures"])
    assert ("Events per day" in drawn) == (len(empty) < 3)
    both = not {"train", "test"} & set(empty)
    assert ("share of the events" in drawn) == both


# --- warnings ---------------------------------------------------------------


def test_a_distance_at_its_threshold_is_none_above_it(random_run):
    """The verdict is TFDV's; a feature without a threshold has none."""
    gap = max(values_of(random_run.content, "gap"))
    for threshold, moved in ((gap + 1e-4, False), (gap - 1e-4, True)):
        config = DriftConfig(item_id=None, popularity=None, gap=threshold)
        found = drift.measure(random_run.statistics, config)
        assert {c["feature"] for c in found} == {
            "gap",
            "hour_of_day",
            "day_of_week",
        }
        assert any(c["moved"] for c in found if c["feature"] == "gap") == moved


def test_sentences_say_feature_distance_threshold_and_what_changed():
    # Train a 3/4 and b 1/4; test a, c, d 1/5 each and e 2/5.
    log, values = LOG, {}
    table = pd.crosstab(frame(log)["item"], frame(log)["period"])
    for period in PERIODS:
        column = pa.array(
            [[i.encode()] for i, n in table[period].items() for _ in range(n)]
        )
        values[period] = tfdv.generate_statistics_from_dataframe(
            pd.DataFrame({"item_id": [v[0].as_py() for v in column]})
        )
    config = DriftConfig(
        popularity=None, gap=None, hour_of_day=None, day_of_week=None
    )
    found = drift_of(histories_of(log), values, config)
    assert found["warnings"][1].startswith(
        "Item popularity moved from train to test: L-infinity 0.55 against a "
        "threshold of 0.01; most of all item a, from 75 % to 20 % of the "
        "events (chance alone gives "
    )


@pytest.mark.parametrize("value", [0.0, -0.1, 1.5])
def test_thresholds_out_of_range_are_named(value):
    with pytest.raises(ValueError, match="`gap` must be null or lie in"):
        DriftConfig(gap=value)


def execute(tmp_path, config):
    """The artifact, and how the executor failed."""
    from tfx.types import standard_artifacts

    from components.period_statistics.executor import Executor
    from tests.components.beam_helpers import beam_context

    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path / "examples")
    examples.split_names = '["all"]'
    examples.span = 7
    write(tmp_path / "examples" / "Split-all", LOG)
    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri = str(tmp_path / "statistics")
    context = beam_context(tmp_path / "tmp")
    with pytest.raises(ValueError) as error:
        Executor(context).Do(
            {"examples": [examples]},
            {"statistics": [statistics]},
            {"config": to_json(config), "code_fingerprint": ""},
        )
    return statistics, error.value


def test_artifact_is_what_tfx_reads_and_fail_stops_the_run(tmp_path):
    from tfx.components.statistics_gen import stats_artifact_utils

    from components.period_statistics.executor import DriftError, judge

    artifact, error = execute(tmp_path, DriftConfig(fail=True))
    assert json.loads(artifact.split_names) == list(PERIODS)
    assert artifact.span == 7
    for period, number in zip(PERIODS, (4, 3, 5), strict=True):
        view = stats_artifact_utils.load_statistics(artifact, period)
        (dataset,) = view.proto().datasets
        assert dataset.num_examples == number
    assert isinstance(error, DriftError)
    for text in (
        "Item popularity moved from train to test: L-infinity 0.55",
        "threshold of 0.01",
        "`drift.fail: false`",
    ):
        assert text in str(error)
    # Without `fail` the same distances are warnings.
    path = str(tmp_path / "statistics" / "drift.json")
    assert len(judge(path, DriftConfig())) == len(str(error).splitlines()) - 2


# --- the section of the report ----------------------------------------------

SPLITS = {"validation_cut": START + CUTS[0], "test_cut": START + CUTS[1]}


def test_table_by_hand():
    section = drift_section.section(drift_of(histories_of(LOG)), SPLITS)
    table = {
        label.replace("\N{NO-BREAK SPACE}", " "): [
            cell.replace("\N{NO-BREAK SPACE}", " ") for cell in cells
        ]
        for label, cells in section["table"]
    }
    assert table["Events"] == ["4", "3", "5"]
    assert table["Days"] == ["2", "1", "4"]
    assert table["Gap, 50 %"] == ["0 s", "30 s", "10 d"]
    assert table["New users"] == ["–", "50.0 %", "25.0 %"]
    assert table["Events of new items"] == ["–", "33.3 %", "60.0 %"]
    assert table["Popularity moved"][2] == "80.0 %"
    assert table["Top items shared"] == ["–", "1 of 2", "1 of 2"]
    assert section["headline"] == "Nothing was compared."


def test_hours_and_weekdays_are_drawn_where_they_moved(random_run):
    def captions(moved):
        comparisons = [
            dict(c, moved=c["feature"] in moved)
            for c in random_run.content["comparisons"]
        ]
        content = dict(random_run.content, comparisons=comparisons)
        figures = drift_section.section(content, SPLITS)["figures"]
        return " ".join(figure["caption"] for figure in figures)

    assert "hour of the day" not in captions({"day_of_week"})
    assert "day of the week" in captions({"day_of_week"})
    assert "hour of the day" in captions({"hour_of_day"})


def test_pictures_load_nothing_and_follow_the_page(random_run):
    section = drift_section.section(random_run.content, SPLITS)
    assert len(section["figures"]) >= 4
    identifiers = []
    for figure in section["figures"]:
        svg = figure["svg"]
        assert svg.startswith("<svg") and "currentColor" in svg
        assert "http" not in svg.replace("http://www.w3.org/", "")
        assert "<script" not in svg and "<image" not in svg
        identifiers += set(_ids(svg))
    # On one page: what one picture refers to is not in another.
    assert len(identifiers) == len(set(identifiers))


def _ids(svg):
    import re

    return re.findall(r'\bid="([^"]+)"', svg)


def test_pictures_hold_every_event_and_item_once(random_run):
    data, rows = random_run.content["pictures"], random_run.rows
    day = rows["time"] // DAY
    assert data["activity"]["width"] == 1
    for period in PERIODS:
        expected = day[rows.period == period].value_counts()
        found = dict(
            zip(
                data["activity"]["starts"],
                data["activity"]["periods"][period],
                strict=True,
            )
        )
        assert {k: v for k, v in found.items() if v} == expected.to_dict()
    used = rows[rows.period != "validation"].item.nunique()
    assert sum(data["popularity"]["items"]) == used
    first = rows[rows.period == "train"].item.unique()
    last = rows[rows.period == "test"].item.unique()
    absent = np.array(data["popularity"]["train"]) == 0
    assert np.array(data["popularity"]["items"])[absent].sum() == len(
        set(last) - set(first)
    )
