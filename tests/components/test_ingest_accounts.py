"""Whole ingests: every row is accounted for, however the work is spread."""

import dataclasses
import gzip
import os
import pathlib
import pickle

import numpy as np
import pandas as pd
import pytest

from components.history_example_gen import accounts, letters, rows, rules
from components.history_example_gen.config import (
    ColumnsConfig,
    KeepConfig,
    LogsConfig,
)
from components.history_example_gen.executor import ReadEvents
from components.history_example_gen.layouts import find_logs
from components.history_example_gen.readers import LogsError
from components.history_example_gen.verdict import describe
from tests.components.ingest_helpers import (
    HEADER,
    read_letters,
    run_executor,
    run_ingest,
    write_files,
)
from tests.components.log_helpers import read_logs

EVERY_RULE = LogsConfig(
    columns=ColumnsConfig(event_type="event", weight="stars"),
    keep=KeepConfig(
        event_types=("buy", "view"),
        min_weight=3,
        until="1970-01-01T00:26:10",
        user_share=0.7,
        duplicates="one",
        consecutive_repeats=False,
        min_user_events=2,
        min_item_events=3,
        max_user_events=8,
    ),
    max_bad_row_share=0.5,
    num_buckets=3,
)
DATA_ROOT = os.environ.get("CREATE_DATA_ROOT")


def a_log(seed: int, size: int = 600) -> list[str]:
    random = np.random.default_rng(seed)
    lines = [
        f"u{int(60 * random.random() ** 3)},i{int(30 * random.random() ** 2)},"
        # All times differ but those of copies, so the order of the files means
        # nothing.
        f"{1000 + number},{random.choice(['buy', 'view', 'rate'])},"
        f"{random.integers(1, 6)}"
        if random.random() > 0.05
        else "u1,,7,buy,5"
        for number in range(size)
    ]
    return lines + lines[:30]


def as_files(lines: list[str], number: int) -> dict[str, str]:
    head = "user_id,item_id,timestamp,event,stars\n"
    return {
        f"{part}.csv": head + "".join(f"{x}\n" for x in lines[part::number])
        for part in range(number)
    }


def expected_events(lines: list[str], sample: set[str]) -> pd.DataFrame:
    """The rules of `EVERY_RULE` in their order, by pandas on single rows."""
    frame = pd.DataFrame(
        [x.split(",") for x in lines if ",," not in x],
        columns=["user", "item", "time", "event", "stars"],
    ).astype({"time": int, "stars": int})
    frame = frame[frame.event.isin(["buy", "view"]) & (frame.stars >= 3)]
    frame = frame[frame.time <= 26 * 60 + 10]
    frame = frame[frame.user.isin(sample)].sort_values(["user", "time"])
    frame = frame.drop_duplicates(["user", "item", "time"])
    before = frame.groupby("user").item.shift()
    frame = frame[frame.item != before]
    while True:
        size = len(frame)
        frame = frame[frame.groupby("item").item.transform("size") >= 3]
        frame = frame[frame.groupby("user").user.transform("size") >= 2]
        if len(frame) == size:
            return frame.groupby("user").head(8)


@pytest.mark.parametrize("seed", range(2))
def test_all_rules_in_their_order(tmp_path: pathlib.Path, seed: int):
    lines = a_log(seed)
    result = run_ingest(tmp_path, as_files(lines, 2), EVERY_RULE)
    only_sample = dataclasses.replace(
        EVERY_RULE, keep=KeepConfig(user_share=0.7)
    )
    sample = set(
        run_ingest(tmp_path, as_files(lines, 2), only_sample).histories
    )
    expected = expected_events(lines, sample)
    found = {u: list(zip(*h, strict=True)) for u, h in result.histories.items()}
    assert found == {
        user: list(zip(rows_.item, rows_.time, strict=True))
        for user, rows_ in expected.groupby("user")
    }
    counts = result.counts
    assert counts["rows"] == len(lines) == 630
    assert counts["used"] == len(expected) > 50
    assert counts["items"] == expected.item.nunique()
    assert counts["users"] == expected.user.nunique()
    assert counts["dead"] == {rows.EMPTY_FIELD: lines.count("u1,,7,buy,5")}
    assert list(counts["dropped"]) == list(rules.MEANING)  # each did something
    kinds = [x.split(",")[3] for x in lines if ",," not in x]
    assert counts["event_types"] == pd.Series(kinds).value_counts().to_dict()
    lengths = expected.groupby("user").size()
    user = min(lengths.index[lengths == lengths.max()])
    assert counts["longest"] == {"user": user, "events": lengths.max()}
    gone = sum(counts["dropped"].values()) + sum(counts["dead"].values())
    assert counts["used"] + gone == counts["rows"]
    told = describe(counts)
    assert f"630 rows of 2 files: {counts['used']} used, " in told
    for rule, number in counts["dropped"].items():
        assert f"{rules.MEANING[rule]}: {number}" in told


def test_the_same_bytes_however_the_rows_are_spread(tmp_path: pathlib.Path):
    lines = a_log(5)
    results = [
        run_ingest(tmp_path / name, as_files(order, number), EVERY_RULE)
        for name, order, number in (
            ("one", lines, 1),
            ("reversed", lines[::-1], 1),
            ("many", lines, 7),
        )
    ]
    first = results[0]
    assert len(first.files()) == 3
    for other in results[1:]:
        assert other.files() == first.files()
        for name in set(first.counts) - {"files", "samples"}:
            assert other.counts[name] == first.counts[name], name


@pytest.mark.parametrize("unit", ["seconds", "milliseconds", "iso8601"])
def test_until_is_the_log_as_it_was_then(tmp_path: pathlib.Path, unit: str):
    """The event of the moment itself is kept, the next one is not."""

    def written(second):
        if unit == "iso8601":
            return f"1970-01-01T00:{second // 60:02}:{second % 60:02}Z"
        return second * (1000 if unit == "milliseconds" else 1)

    head = "user_id,item_id,timestamp\n"
    lines = [f"u{n % 3},i{n % 7},{written(n)}\n" for n in range(60, 180)]
    whole, early = head + "".join(lines), head + "".join(lines[:41])
    config = LogsConfig(time_unit=unit, earliest_time=None)
    until = dataclasses.replace(
        config, keep=KeepConfig(until="1970-01-01T00:01:40")
    )
    found = run_ingest(tmp_path / "until", {"a.csv": whole}, until)
    then = run_ingest(tmp_path / "then", {"a.csv": early}, config)
    assert found.histories == then.histories
    assert found.counts["dropped"] == {rules.UNTIL: 79}


def test_until_must_be_a_date():
    with pytest.raises(ValueError, match="`until` must be an ISO-8601 date"):
        KeepConfig(until="yesterday")


def test_no_worker_holds_all_dead_letters(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """A wrong unit makes dead letters of all rows of a log, however large."""
    sizes = []
    summarize = accounts.summarize

    def watched(num_files, blocks, buckets):
        sizes.append(len(pickle.dumps(blocks)))
        return summarize(num_files, blocks, buckets)

    monkeypatch.setattr(accounts, "summarize", watched)
    for number in (1000, 20_000):
        lines = [f"u{n},i,{1_700_000_000_000 + n}" for n in range(number)]
        folder = tmp_path / str(number)
        with pytest.raises(LogsError, match="`logs.time_unit: milliseconds`"):
            run_ingest(
                folder, {"a.csv": HEADER + "\n".join(lines)}, LogsConfig()
            )
        kept = read_letters(folder / "dead" / "1-failed")
        assert [letter["row"] for letter in kept] == lines
        assert [letter["line"] for letter in kept] == [
            line for line in range(2, number + 2)
        ]
    assert sizes[0] < 2000
    assert sizes[1] < sizes[0] + 100


def test_dead_letters_of_many_files_are_one_file(tmp_path: pathlib.Path):
    """In the order of the log, whether or not a file has any."""
    files = {
        f"{n:02}.csv": HEADER + f"u,i,{n}\n" + f"u,,{n}\nu,i,x\n" * (n % 3)
        for n in range(14)
    }
    result = run_ingest(tmp_path, files)
    assert [
        (pathlib.Path(letter["file"]).name, letter["line"])
        for letter in result.letters
    ] == [
        (f"{n:02}.csv", line)
        for n in range(14)
        for line in range(3, 3 + 2 * (n % 3))
    ]
    assert {path.name for path in (tmp_path / "dead" / "1").iterdir()} == {
        "dead_letters.jsonl.gz",
        "ingest.json",
    }


def test_a_part_is_whole_or_not_there(tmp_path: pathlib.Path):
    """A reading that breaks off leaves none; one that is repeated the same."""
    write_files(tmp_path, {"a.csv": HEADER + "u,i,x\n" * 99 + "u,i,1\n"})
    (log,) = find_logs(LogsConfig(path=str(tmp_path), pattern="a.csv"))
    folder = pathlib.Path(letters.parts_folder(str(tmp_path)))
    folder.mkdir()
    read = ReadEvents(LogsConfig(), str(tmp_path), block_bytes=50)
    broken = read.process(log)
    next(broken)
    broken.close()
    assert not list(folder.glob("part-*"))
    found = set()
    for _ in range(2):
        list(read.process(log))
        (part,) = folder.glob("part-*")
        found.add(part.read_bytes())
    assert len(found) == 1
    letters.join_parts(str(tmp_path), [0])
    assert len(read_letters(tmp_path)) == 99
    part.unlink()
    with pytest.raises(RuntimeError, match=part.name):
        letters.join_parts(str(tmp_path), [0])


@pytest.mark.parametrize("block_bytes", [1, 30])
def test_blocks_change_no_count_and_no_sample(
    tmp_path: pathlib.Path, block_bytes: int
):
    lines = ["u,,1", "u,i", "u,i,x", "u,i,-1", "u,i,1", ",i,1"] * 4
    files = {"a.csv": HEADER + "\n".join(lines)}
    found = read_logs(tmp_path, files, block_bytes=block_bytes).ingest
    assert found == read_logs(tmp_path, files).ingest
    assert found["dead"] == {
        rows.EMPTY_FIELD: 8,
        rows.IMPOSSIBLE_TIME: 4,
        rows.UNREADABLE_TIME: 4,
        rows.WRONG_COLUMNS: 4,
    }
    assert [
        (sample["where"].rpartition(":")[2], sample["row"])
        for sample in found["samples"]["timestamp"]
    ] == [("3", "u,i"), ("4", "u,i,x"), ("5", "u,i,-1")]


@pytest.mark.slow
def test_threads_and_processes_write_the_same_bytes(tmp_path: pathlib.Path):
    lines = a_log(6)
    found = [
        run_ingest(
            tmp_path / mode,
            as_files(lines, 4),
            EVERY_RULE,
            (
                "--runner=DirectRunner",
                f"--direct_running_mode={mode}",
                f"--direct_num_workers={workers}",
            ),
        )
        for mode, workers in (
            ("in_memory", 1),
            ("multi_threading", 3),
            ("multi_processing", 2),
        )
    ]
    assert found[0].files()
    for other in found[1:]:
        assert other.files() == found[0].files()


def test_rules_that_leave_nothing_are_an_error(tmp_path: pathlib.Path):
    config = LogsConfig(keep=KeepConfig(min_user_events=3))
    with pytest.raises(LogsError) as raised:
        run_ingest(
            tmp_path, {"a.csv": HEADER + "ann,tea,1\nbob,tea,2\n"}, config
        )
    assert "No event is left of 2 log rows" in str(raised.value)
    assert "user or item with too few events: 2" in str(raised.value)
    assert "`logs.keep`" in str(raised.value)


def test_one_user_with_a_million_events(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
    number = 1_000_000
    body = "".join(f"bot,i{n % 1000},{n + 1}\n" for n in range(number))
    files = {"a.csv.gz": HEADER + body + "ann,i7,5\n"}
    result = run_ingest(tmp_path, files)
    items, times = result.histories["bot"]
    # The documented cap: the oldest 100,000.
    assert times == list(range(1, 100_001))
    assert items[:3] == ["i0", "i1", "i2"]
    assert result.histories["ann"] == (["i7"], [5])
    assert result.counts["dropped"] == {rules.USER_CAP: number - 100_000}
    assert (
        "warning: user 'bot' has 100,000 of 100,001 used events (100.00%)"
    ) in capsys.readouterr().out


def test_a_history_of_a_person_is_no_warning(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
    """5,000 events are nothing yet, and beyond them 1 % of the log is not."""
    for length, others, told in (
        (5000, 1, 0),
        (5001, 495_099, 0),
        (5001, 9, 1),
    ):
        body = "".join(f"ann,i{n % 9},{n + 1}\n" for n in range(length))
        body += "".join(f"u{n % 999},i1,{n}\n" for n in range(others))
        run_ingest(tmp_path / str(others), {"a.csv": HEADER + body})
        assert capsys.readouterr().out.count("warning: user") == told


@pytest.mark.data
@pytest.mark.skipif(not DATA_ROOT, reason="CREATE_DATA_ROOT is not set")
def test_the_core_of_movielens_1m(tmp_path: pathlib.Path):
    """3,416 items: the published size after the iterated 5-core."""
    config = LogsConfig(
        path=f"{DATA_ROOT}/ml-1m",
        pattern="ratings.dat.gz",
        separator="::",
        header=False,
        columns=ColumnsConfig(user=0, item=1, timestamp=3),
        keep=KeepConfig(min_user_events=5, min_item_events=5),
    )
    counts = run_executor(tmp_path, config).counts
    assert (counts["items"], counts["users"]) == (3416, 6040)
    lines = gzip.open(f"{DATA_ROOT}/ml-1m/ratings.dat.gz", "rt").read()
    frame = pd.DataFrame(
        [line.split("::")[:2] for line in lines.splitlines()],
        columns=["user", "item"],
    )
    while True:
        size = len(frame)
        frame = frame[frame.groupby("item").item.transform("size") >= 5]
        frame = frame[frame.groupby("user").user.transform("size") >= 5]
        if len(frame) == size:
            break
    assert counts["used"] == len(frame)
    assert counts["dropped"] == {rules.CORE: 1_000_209 - len(frame)}
