"""How times are written, and what looks like a time but is none."""

import pathlib

import numpy as np
import pyarrow as pa
import pytest

from components.history_example_gen import rows
from components.history_example_gen.config import LogsConfig
from components.history_example_gen.logs import LogsError
from components.history_example_gen.times import read_times
from tests.components.ingest_helpers import run_ingest
from tests.components.log_helpers import HEADER, check_logs, read_logs

NOON = 1_709_294_400  # 2024-03-01T12:00:00Z
MIDNIGHT = NOON - 12 * 3600
SECOND = 10**9


def with_times(*times: object) -> str:
    return HEADER + "".join(
        f"u{n % 3},i{n},{time}\n" for n, time in enumerate(times)
    )


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("2024-03-01 12:00:00 UTC", NOON),
        ("2024-03-01 12:00:00.25 UTC", NOON + 0.25),
        ("2024-03-01 12:00:00UTC", NOON),
        ("2024-03-01 12:00:00 Z", NOON),
        ("2024-03-01T12:00:00z", NOON),
        ("2024-03-01t12:00:00z", NOON),
        ("2024-03-01t12:00", NOON),
        ("2024-03-01T14:00:00 +02:00", NOON),
        ("2024-03-01 14:00 +0200", NOON),
        ("2024-03-01 14:00:00.000000 +02", NOON),
        ("20240301", MIDNIGHT),
    ],
)
def test_other_ways_to_write_a_time(tmp_path: pathlib.Path, text, second):
    config = LogsConfig(time_unit="iso8601")
    plain = "2024-03-01T12:00:00Z"
    files = {"a.csv": with_times(plain, text, plain)}
    reading = read_logs(tmp_path, files, config)
    keys = [key for _, _, key in reading.events]
    assert keys == [NOON * SECOND, round(second * 1000) * 10**6, NOON * SECOND]


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-01 12:00:00 CET",
        "2024-03-01 UTC",
        "2024-03-01 +02:00",
        "20240230",
        "20241301",
        "202403",
        "03/01/2024 12:00",
        "2024-02-30 12:00:00 UTC",
        "2024-03-01  12:00:00 UTC",
    ],
)
def test_what_is_no_time_names_what_is(tmp_path: pathlib.Path, text: str):
    config = LogsConfig(time_unit="iso8601")
    files = {"a.csv": with_times(text)}
    reading = read_logs(tmp_path, files, config)
    assert reading.bad == [(2, "timestamp", rows.UNREADABLE_TIME)]
    with pytest.raises(LogsError) as raised:
        check_logs(tmp_path, files, config)
    message = str(raised.value)
    for form in ("20240301", "2024-03-01 12:00:00.123", "UTC", "+0200"):
        assert form in message
    with pytest.raises(LogsError, match="a number of seconds since 1970"):
        check_logs(tmp_path, {"a.csv": with_times("soon")})


@pytest.mark.parametrize("broken", [[], ["soon"]])
def test_nanoseconds_keep_all_their_digits(tmp_path: pathlib.Path, broken):
    config = LogsConfig(time_unit="nanoseconds")
    times = [NOON * SECOND + n for n in (3, 1, 2)]
    files = {"a.csv": with_times(*times, *broken)}
    reading = read_logs(tmp_path, files, config)
    assert [key for _, _, key in reading.events] == times
    assert len(reading.bad) == len(broken)


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.float64()])
def test_dates_that_are_numbers(kind: pa.DataType):
    column = pa.array([20240301, 20240230, 5]).cast(kind)
    times = read_times(column, "iso8601")
    assert times.keys.tolist() == [MIDNIGHT * SECOND, 0, 0]
    assert times.unreadable.tolist() == [False, True, True]


@pytest.mark.parametrize("unit", ["seconds", "milliseconds", "nanoseconds"])
def test_dates_as_numbers_are_no_seconds(tmp_path: pathlib.Path, unit: str):
    days = np.arange("2023-12-01", "2024-03-01", dtype="datetime64[D]")
    dates = [str(day).replace("-", "") for day in days]
    config = LogsConfig(time_unit=unit, max_bad_row_share=1.0)
    for written in (dates, [f"{date}.0" for date in dates]):
        files = {"a.csv": with_times(*written, 1, 20241399)}
        with pytest.raises(LogsError) as raised:
            check_logs(tmp_path, files, config)
        message = str(raised.value)
        assert "91 of 93 times are dates written as numbers" in message
        assert f"`logs.time_unit` is {unit}." in message
        assert "Set `logs.time_unit: iso8601`, which reads such" in message
    check_logs(
        tmp_path,
        {"a.csv": with_times(*dates)},
        LogsConfig(time_unit="iso8601"),
    )


def test_days_of_spreadsheets_are_no_seconds(tmp_path: pathlib.Path):
    serials = [45352.5 + n / 7 for n in range(100)]
    files = {"a.csv": with_times(*serials), "b.csv": with_times(*serials, 7)}
    for unit in ("seconds", "iso8601"):
        config = LogsConfig(time_unit=unit, max_bad_row_share=1.0)
        with pytest.raises(LogsError) as raised:
            check_logs(tmp_path, files, config)
        message = str(raised.value)
        assert "if they are read as days since 1900" in message
        assert "Write the column as dates" in message
    # A clock of one's own may come along there, too.
    files["b.csv"] = with_times(*range(30_000, 40_000, 100))
    check_logs(tmp_path, files)
    (tmp_path / "b.csv").unlink()
    check_logs(tmp_path, {"a.csv": with_times(*range(0, 73_000, 700))})


def test_the_period_of_the_used_events_is_told(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
    files = {
        "a.csv": with_times(NOON + 9, NOON, NOON + 5),
        "b.csv": with_times(NOON + 3, "soon", NOON + 400 * 86_400 * 365),
    }
    counts = run_ingest(tmp_path, files).counts
    assert counts["times"] == {
        "first": "2024-03-01 12:00:00",
        "last": "2024-03-01 12:00:09",
        "before_1980": 0,
    }
    told = capsys.readouterr().out
    assert "; from 2024-03-01 12:00:00 to 2024-03-01 12:00:09 UTC." in told
    assert "warning" not in told


def test_times_before_1980_are_told(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
    run_ingest(tmp_path, {"a.csv": with_times(NOON, 0, 315_532_799, NOON)})
    told = capsys.readouterr().out
    assert "; from 1970-01-01 00:00:00 to 2024-03-01 12:00:00 UTC." in told
    assert "2 of 4 used events (50.00%) lie before 1980" in told
    assert "`logs.time_unit` (now seconds)" in told
    assert "`logs.earliest_time: 1980-01-01`" in told


def test_times_beyond_the_year_9999(tmp_path: pathlib.Path):
    config = LogsConfig(latest_time=None)
    files = {"a.csv": with_times(4 * 10**11)}
    counts = run_ingest(tmp_path, files, config).counts
    assert counts["times"]["last"] == "14645-06-30 15:06:40"
