"""Time limits, units of time, event types and weights of single rows."""

import dataclasses
import pathlib

import numpy as np
import pyarrow as pa
import pytest

from components.history_example_gen import rows, rules, verdict
from components.history_example_gen.config import (
    ColumnsConfig,
    KeepConfig,
    LogsConfig,
)
from components.history_example_gen.layouts import find_logs
from components.history_example_gen.readers import LogsError
from components.history_example_gen.times import read_times
from tests.components.log_helpers import (
    HEADER,
    LIKES,
    REVIEWS,
    check_logs,
    read_logs,
    write_logs,
)

DAY = 86_400
NOW = 1_400_000_000  # 2014-05-13


def with_times(*times: object) -> str:
    return HEADER + "".join(f"ann,tea,{time}\n" for time in times)


def test_future_times_are_dead_letters(tmp_path: pathlib.Path):
    files = {"a.csv": with_times(NOW, NOW + DAY, NOW + DAY + 1, 10**11)}
    reading = read_logs(tmp_path, files, now=NOW + 0.7)
    assert [key // 10**6 for _, _, key in reading.events] == [NOW, NOW + DAY]
    assert reading.bad == [
        (4, "timestamp", rows.FUTURE_TIME),
        (5, "timestamp", rows.FUTURE_TIME),
    ]
    config = LogsConfig(latest_time=None)
    assert len(read_logs(tmp_path, files, config, now=NOW).events) == 4
    with pytest.raises(LogsError) as raised:
        check_logs(tmp_path, files, now=NOW)
    message = str(raised.value)
    assert "column `timestamp`, 2 rows (50.00% of all" in message
    assert "time after logs.latest_time: 2" in message
    assert f"a.csv:4: ann,tea,{NOW + DAY + 1}" in message
    assert "`logs.latest_time` (now)" in message


def test_now_is_the_same_moment_for_all_files(tmp_path: pathlib.Path):
    write_logs(tmp_path, {"a": with_times(1), "b": with_times(2)})
    config = LogsConfig(path=str(tmp_path), pattern="*")
    limits = {log.latest_key for log in find_logs(config, now=NOW)}
    assert limits == {(NOW + DAY) * 10**6}
    (limit,) = {log.latest_key for log in find_logs(config)}
    assert limit > (NOW + 10 * 365 * DAY) * 10**6  # the clock's now


@pytest.mark.parametrize("unit", ["seconds", "milliseconds", "iso8601"])
def test_limits_by_date(tmp_path: pathlib.Path, unit: str):
    dates = ["2013-12-31", "2014-01-01", "2014-02-01", "2014-02-02"]
    moments = np.array(dates, "datetime64[s]").astype(np.int64)
    texts = {
        "seconds": moments,
        "milliseconds": moments * 1000,
        "iso8601": dates,
    }
    config = LogsConfig(
        time_unit=unit, earliest_time="2014-01-01", latest_time="2014-02-01"
    )
    reading = read_logs(tmp_path, {"a": with_times(*texts[unit])}, config)
    assert len(reading.events) == 2
    assert reading.bad == [
        (2, "timestamp", rows.TOO_EARLY_TIME),
        (5, "timestamp", rows.FUTURE_TIME),
    ]


def test_negative_times_stay_impossible(tmp_path: pathlib.Path):
    config = LogsConfig(earliest_time="1990-01-01")
    reading = read_logs(tmp_path, {"a": with_times(-1, 0, NOW)}, config)
    assert reading.bad == [
        (2, "timestamp", rows.IMPOSSIBLE_TIME),
        (3, "timestamp", rows.TOO_EARLY_TIME),
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"latest_time": "1.3.2014"}, "`latest_time` must be an ISO-8601"),
        ({"earliest_time": "now"}, "`earliest_time` must be an ISO-8601"),
        (
            {"earliest_time": "2014-03-02", "latest_time": "2014-03-01"},
            "`earliest_time` must not lie after `latest_time`",
        ),
        ({"time_unit": "hours"}, "nanoseconds or iso8601, found 'hours'"),
    ],
)
def test_settings_of_times(changes, words):
    with pytest.raises(ValueError, match=words):
        LogsConfig(**changes)


def test_microseconds(tmp_path: pathlib.Path):
    config = LogsConfig(time_unit="microseconds")
    files = {"a": with_times(NOW * 10**6 + 1, "5.0", 10**18)}
    reading = read_logs(tmp_path, files, config)
    assert [key for _, _, key in reading.events] == [NOW * 10**6 + 1, 5]
    assert reading.bad == [(4, "timestamp", rows.FUTURE_TIME)]


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.float64()])
@pytest.mark.parametrize(
    ("unit", "scale"),
    [
        ("seconds", 10**6),
        ("milliseconds", 10**3),
        ("microseconds", 1),
        ("nanoseconds", 1),
    ],
)
def test_times_that_are_numbers(kind: pa.DataType, unit: str, scale: int):
    edge = (2**63 - 1024) // scale
    numbers = [0, 5, 10**9, edge, 2**63 - 1024]
    times = read_times(pa.array(numbers).cast(kind, safe=False), unit)
    expected = [0, 5 * scale, 10**9 * scale]
    assert times.keys[:3].tolist() == expected
    assert times.impossible[:3].tolist() == [False] * 3
    # Beyond what 64 bits hold; in microseconds nothing is.
    assert times.impossible[4] == (scale > 1)
    assert abs(int(times.keys[3]) - edge * scale) <= 1024
    assert not times.unreadable.any()


UNITS = {
    "seconds": 1,
    "milliseconds": 1000,
    "microseconds": 10**6,
    "nanoseconds": 10**9,
}


@pytest.mark.parametrize("latest", ["now", None])
@pytest.mark.parametrize("configured", [*UNITS, "iso8601"])
@pytest.mark.parametrize("written", [*UNITS, "iso8601"])
def test_times_in_another_unit_than_configured(
    tmp_path: pathlib.Path, written: str, configured: str, latest: str | None
):
    moments = NOW - np.arange(100) * DAY
    if written == "iso8601":
        texts = np.datetime_as_string(moments.astype("datetime64[s]"))
    else:
        texts = moments * UNITS[written]
    files = {"a.csv": with_times(*texts)}
    # Not even where all rows may be unusable.
    config = LogsConfig(
        time_unit=configured, latest_time=latest, max_bad_row_share=1.0
    )
    if written == configured:
        check_logs(tmp_path, files, config)
        return
    with pytest.raises(LogsError) as raised:
        check_logs(tmp_path, files, config)
    message = str(raised.value)
    assert f"{tmp_path / 'a.csv'}: 100 of 100 times" in message
    assert f"but `logs.time_unit` is {configured}" in message
    assert f"Set `logs.time_unit: {written}`." in message


@pytest.mark.parametrize("config", [REVIEWS, LIKES])
def test_other_units_in_other_formats(tmp_path: pathlib.Path, config):
    names = dataclasses.astuple(config.columns)[:3]
    values = ["ann", "tea", NOW * 1000]
    table = pa.table({n: [v] for n, v in zip(names, values, strict=True)})
    content = table
    if config is REVIEWS:
        content = '{"reviewerID": "ann", "asin": "b", "unixReviewTime": '
        content += f"{NOW * 1000}}}\n"
    with pytest.raises(LogsError, match="`logs.time_unit: milliseconds`"):
        check_logs(tmp_path, {"a": content}, config)


def test_one_file_of_several_in_another_unit(tmp_path: pathlib.Path):
    config = LogsConfig(time_unit="milliseconds")
    files = {
        "a.csv": with_times(*[NOW * 1000] * 9),
        "b.csv": with_times(*[NOW] * 5, *[NOW * 1000] * 4),
    }
    with pytest.raises(LogsError) as raised:
        check_logs(tmp_path, files, config)
    message = str(raised.value)
    assert f"{tmp_path / 'b.csv'}: 5 of 9 times lie between 1990" in message
    assert "1 of 2 files" in message
    assert "bring them to one unit" in message
    # Half of a file is not most of it.
    files["b.csv"] = with_times(*[NOW] * 5, *[NOW * 1000] * 5)
    check_logs(tmp_path, files, config)


def test_made_up_small_times_are_fine(tmp_path: pathlib.Path):
    for unit in UNITS:
        config = LogsConfig(time_unit=unit)
        check_logs(tmp_path, {"a": with_times(*range(50))}, config)


RATED = LogsConfig(
    columns=ColumnsConfig(event_type="what", weight="stars"),
    keep=KeepConfig(event_types=("buy", "ünd, so"), min_weight=3),
)
LINES = [
    ("buy", "3"),
    ("buy", " 4.5 "),
    ("buy", "2.9"),
    ("view", "5"),
    ("view", ""),
    ("", "5"),
    ("Buy", "5"),
    ('"ünd, so"', "3e0"),
    ("buy", ""),
    ("buy", "good"),
    ("buy", "nan"),
    ("buy", "inf"),
]


def test_event_types_and_weights(tmp_path: pathlib.Path):
    text = "stars,item_id,what,user_id,timestamp\n"
    text += "".join(
        f"{stars},i{n},{what},ann,{n}\n"
        for n, (what, stars) in enumerate(LINES)
    )
    text += "5,,view,ann,1\n"
    reading = read_logs(tmp_path, {"a": text}, RATED)
    assert [item for _, item, _ in reading.events] == ["i0", "i1", "i7"]
    assert reading.dropped == {rules.EVENT_TYPE: 4, rules.MIN_WEIGHT: 1}
    assert reading.bad == [
        (10, "stars", rows.UNREADABLE_WEIGHT),
        (11, "stars", rows.UNREADABLE_WEIGHT),
        (12, "stars", rows.UNREADABLE_WEIGHT),
        (13, "stars", rows.UNREADABLE_WEIGHT),
        (14, "item_id", rows.EMPTY_FIELD),
    ]
    assert reading.ingest["rows"] == 13
    with pytest.raises(LogsError) as raised:
        check_logs(tmp_path, {"a": text}, RATED)
    assert "column `stars`, 4 rows" in str(raised.value)
    assert "`logs.columns.weight`" in str(raised.value)
    # Without rules the columns mean nothing.
    config = dataclasses.replace(RATED, keep=KeepConfig())
    reading = read_logs(tmp_path, {"a": text}, config)
    assert len(reading.events) == 12
    assert reading.dropped == {}


@pytest.mark.parametrize("extra", ["", "[]\n"])
def test_rules_in_json_lines(tmp_path: pathlib.Path, extra: str):
    config = LogsConfig(
        format="json_lines",
        columns=ColumnsConfig(event_type="kind", weight="overall"),
        keep=KeepConfig(event_types=("1",), min_weight=4),
    )
    lines = "".join(
        f'{{"user_id": 1, "item_id": {n}, "timestamp": 1{rest}}}\n'
        for n, rest in enumerate(
            [
                ', "kind": 1, "overall": 4.0',
                ', "kind": 1.0, "overall": 5',
                ', "kind": 2, "overall": 5',
                ', "overall": 5',
                ', "kind": null',
                ', "kind": 1, "overall": 3.5',
                ', "kind": 1',
                ', "kind": 1, "overall": null',
            ]
        )
    )
    reading = read_logs(tmp_path, {"a": lines + extra}, config)
    assert [item for _, item, _ in reading.events] == ["0", "1"]
    assert reading.dropped == {"event_type": 3, "min_weight": 1}
    assert reading.bad[:2] == [
        (7, "overall", rows.UNREADABLE_WEIGHT),
        (8, "overall", rows.UNREADABLE_WEIGHT),
    ]


@pytest.mark.parametrize(
    "weights",
    [
        pa.array([3, 4, None, 5], pa.int8()),
        pa.array([3, 4, None, 5], pa.float32()),
        pa.array(["3", "4", None, "5"]),
        pa.array(["3", "4", None, "5"]).dictionary_encode(),
    ],
)
def test_rules_in_parquet(tmp_path: pathlib.Path, weights: pa.Array):
    config = dataclasses.replace(
        LIKES,
        columns=ColumnsConfig(
            "uid", "item_id", "timestamp", "is_organic", "stars"
        ),
        keep=KeepConfig(event_types=("1",), min_weight=4),
    )
    table = pa.table(
        {
            "uid": [1, 2, 3, 4],
            "item_id": [1, 2, 3, 4],
            "timestamp": [1, 2, 3, 4],
            "is_organic": pa.array([1, 1, 1, 0], pa.uint8()),
            "stars": weights,
        }
    )
    reading = read_logs(tmp_path, {"a": table}, config)
    assert [user for user, _, _ in reading.events] == ["2"]
    assert reading.dropped == {"event_type": 1, "min_weight": 1}
    assert reading.bad == [(3, "stars", rows.UNREADABLE_WEIGHT)]


@pytest.mark.parametrize("others", [[], ["good"]])
def test_weights_written_as_text(others: list[str]):
    good = {"3": 3.0, " -4.50 ": -4.5, "1e2": 100.0, ".5": 0.5, "2.": 2.0}
    texts = [*good, "nan", "-inf", "1e999", *others]
    weights, unreadable = rules.read_weights(pa.array(texts).cast(pa.binary()))
    assert weights[:5].tolist() == list(good.values())
    assert unreadable.tolist() == [False] * 5 + [True] * (3 + len(others))
    _, unreadable = rules.read_weights(pa.array(["+1", "1 2", "0x1", None, ""]))
    assert unreadable.all()


def test_rules_that_drop_everything_are_an_error(tmp_path: pathlib.Path):
    text = "user_id,item_id,timestamp,what\n" + "ann,tea,1,view\n" * 3
    config = LogsConfig(
        columns=ColumnsConfig(event_type="what"),
        keep=KeepConfig(event_types=("buy",)),
    )
    with pytest.raises(LogsError) as raised:
        check_logs(tmp_path, {"a": text}, config)
    message = str(raised.value)
    assert "`logs.keep` dropped 3 of them (event type not kept: 3)" in message
    assert "`logs.columns.event_type`" in message
    assert message.endswith("Event types found: 'view' 3.")


def with_types(tmp_path: pathlib.Path, kinds: list[str], kept: list[str]):
    """What is said of a log with a row for each of `kinds`, in blocks."""
    rows = "".join(f"ann,tea,{n},{kind}\n" for n, kind in enumerate(kinds))
    config = LogsConfig(
        columns=ColumnsConfig(event_type="what"),
        keep=KeepConfig(event_types=tuple(kept)),
    )
    text = "user_id,item_id,timestamp,what\n" + rows
    reading = read_logs(tmp_path, {"a": text}, config, block_bytes=500)
    return reading.ingest["event_types"], verdict.notes(reading.ingest, config)


def test_event_types_are_counted_over_blocks_and_named(tmp_path: pathlib.Path):
    kinds = ["view", "buy", "view", "", "cart"] * 30
    found, notes = with_types(tmp_path, kinds, ["cart", "buy"])
    assert list(found.items()) == [
        ("view", 60),
        ("", 30),
        ("buy", 30),
        ("cart", 30),
    ]
    assert notes[0] == (
        "HistoryExampleGen: event types, kept: 'buy' 30, 'cart' 30; left out: "
        "'view' 60, empty 30."
    )


def test_a_kept_event_type_that_no_row_has_is_named(tmp_path: pathlib.Path):
    _, notes = with_types(
        tmp_path, ["view", "addtocart"], ["view", "add_to_cart"]
    )
    assert notes[1] == (
        "HistoryExampleGen: warning: no row has the event type 'add_to_cart' "
        "of `logs.keep.event_types`. Found: 'addtocart' 1, 'view' 1. Did you "
        "mean 'addtocart'?"
    )


def test_ids_in_the_place_of_event_types_stay_a_short_list(
    tmp_path: pathlib.Path,
):
    kinds = [f"t{n:04}" for n in range(2000)]
    found, notes = with_types(tmp_path, kinds, ["t1999"])
    assert len(found) == 50
    # `t1999` is there, beyond the types that are counted.
    assert len(notes) == 1
    assert "the 50 most frequent event types, kept: none; left" in notes[0]
    assert notes[0].endswith(", 42 more.")


def test_every_reason_has_words():
    reasons = {
        value
        for name, value in vars(rows).items()
        if name.isupper() and isinstance(value, str)
    } - {rows.WHOLE_ROW}
    assert len(reasons) == 13
    for reason in reasons:
        ingest = {
            "files": 1,
            "rows": 1,
            "used": 0,
            "dropped": {},
            "dead": {reason: 1},
            "users": 0,
            "items": 0,
            "dead_columns": {"x": {reason: 1}},
            "samples": {"x": [{"where": "a:1", "row": "text"}]},
            "event_types": {},
            "longest": None,
            "wrong_units": [],
            "times": {"first": None, "last": None, "before_1980": 0},
        }
        assert " set aside (" in verdict.describe(ingest)
        with pytest.raises(LogsError, match="column `x`, 1 rows"):
            verdict.check(ingest, LogsConfig())


def test_rules_need_their_columns():
    with pytest.raises(ValueError, match="`columns.event_type` is null"):
        LogsConfig(keep=KeepConfig(event_types=("buy",)))
    with pytest.raises(ValueError, match="`columns.weight` is null"):
        LogsConfig(keep=KeepConfig(min_weight=0.0))
    with pytest.raises(ValueError, match="`columns.weight`: 'stars'"):
        LogsConfig(header=False, columns=ColumnsConfig(0, 1, 2, None, "stars"))


def test_a_missing_rule_column_is_an_error(tmp_path: pathlib.Path):
    with pytest.raises(LogsError, match="`logs.columns.event_type`"):
        read_logs(tmp_path, {"a": with_times(1)}, RATED)
