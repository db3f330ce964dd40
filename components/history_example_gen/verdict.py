"""What the counts of an ingest mean: a line for people, and the verdict."""

from __future__ import annotations

from typing import Any

from components.history_example_gen import event_types, rules
from components.history_example_gen import rows as reasons
from components.history_example_gen.config import LogsConfig
from components.history_example_gen.logs import (
    LogsError,
    count_files,
    nested_fix,
)
from components.history_example_gen.time_units import describe_wrong_units

_MEANING = {
    reasons.WRONG_COLUMNS: "wrong number of columns",
    reasons.UNCLOSED_QUOTE: "quote not closed on its line",
    reasons.EMPTY_FIELD: "empty field",
    reasons.NOT_UTF8: "not UTF-8",
    reasons.UNREADABLE_TIME: "unreadable time",
    reasons.IMPOSSIBLE_TIME: "time before 1970, too late or not finite",
    reasons.TOO_EARLY_TIME: "time before logs.earliest_time",
    reasons.FUTURE_TIME: "time after logs.latest_time",
    reasons.NOT_JSON: "no JSON object",
    reasons.MISSING_VALUE: "missing or null value",
    reasons.NESTED_VALUE: "nested value",
    reasons.LINE_BREAK: "line break in an id",
    reasons.UNREADABLE_WEIGHT: "missing or unreadable weight",
}

# A history so long, and such a share of all events, is no person's. The longest
# of MovieLens-1M has 2,314 events, 0.23 %.
_LONG = 5_000
_LONG_SHARE = 0.01


def describe(ingest: dict[str, Any]) -> str:
    """One line of counts; every row is in it once."""
    parts = [f"{ingest['used']:,} used"]
    for name, counts, meaning in (
        ("dropped", ingest["dropped"], rules.MEANING),
        ("set aside", ingest["dead"], _MEANING),
    ):
        why = "; ".join(f"{meaning[k]}: {n:,}" for k, n in counts.items())
        if why or name == "set aside":
            parts.append(
                f"{sum(counts.values()):,} {name}{f' ({why})' if why else ''}"
            )
    times = ingest["times"]
    when = f"; from {times['first']} to {times['last']} UTC"
    return (
        f"HistoryExampleGen: {ingest['rows']:,} rows of "
        f"{count_files(ingest['files'])}: {', '.join(parts)}; "
        f"{ingest['users']:,} users, {ingest['items']:,} items"
        f"{when if times['first'] else ''}."
    )


def notes(ingest: dict[str, Any], config: LogsConfig) -> list[str]:
    """A line each on event types, and on what looks wrong and may be right."""
    found, kept = ingest["event_types"], config.keep.event_types
    lines = (
        event_types.describe(found, kept),
        event_types.warn(found, kept),
        _warn_of_early_times(ingest, config),
        _warn_of_long_history(ingest, config),
    )
    return [line for line in lines if line]


def _warn_of_early_times(
    ingest: dict[str, Any], config: LogsConfig
) -> str | None:
    """One line where used events lie before there were such logs."""
    early, used = ingest["times"]["before_1980"], ingest["used"]
    if not early:
        return None
    return (
        f"HistoryExampleGen: warning: {early:,} of {used:,} used events "
        f"({early / used:.2%}) lie before 1980, as times that are missing (0) "
        "or no numbers of seconds do. Check `logs.columns.timestamp` and "
        f"`logs.time_unit` (now {config.time_unit}); `logs.earliest_time: "
        "1980-01-01` sets such rows aside."
    )


def _warn_of_long_history(
    ingest: dict[str, Any], config: LogsConfig
) -> str | None:
    """One line where one user has much of the log."""
    longest, used = ingest["longest"], ingest["used"]
    if not longest or longest["events"] <= max(_LONG, _LONG_SHARE * used):
        return None
    events, most = longest["events"], config.keep.max_user_events
    cap = "null, no limit" if most is None else f"{most:,}"
    return (
        f"HistoryExampleGen: warning: user {longest['user']!r} has "
        f"{events:,} of {used:,} used events ({events / used:.2%}), as robots "
        "and accounts of many people do. `logs.keep.max_user_events` (now "
        f"{cap}) is how many of a user's events are kept."
    )


def check(
    ingest: dict[str, Any], config: LogsConfig, letters: str | None = None
) -> None:
    """Raises where the logs are empty or too many rows are unusable.

    Args:
        ingest: what `summarize` returned.
        config: how the logs were read.
        letters: path of the dead letters, for the message.

    Raises:
        LogsError: the times of a file seem to be in another unit; or too
            many rows are unusable: then it names the worst column, its count
            and share, and shows three of its rows.
    """
    num_rows, num_dead = ingest["rows"], sum(ingest["dead"].values())
    if not num_rows:
        raise LogsError(
            "The log is empty: there is no row in the "
            f"{count_files(ingest['files'])} matching `logs.pattern` "
            f"{config.pattern!r} in `logs.path` {config.path!r}. Point these "
            "keys to files with events."
        )
    if ingest["wrong_units"]:
        raise LogsError(
            describe_wrong_units(
                ingest["wrong_units"], config.time_unit, ingest["files"]
            )
            + (f" All unusable rows: {letters}" if letters else "")
        )
    if num_dead <= config.max_bad_row_share * num_rows:
        if ingest["used"]:
            return
        if ingest["dropped"]:
            raise LogsError(
                rules.describe_all_dropped(
                    ingest["dropped"], num_rows, ingest["event_types"]
                )
            )
    worst, counts = max(
        ingest["dead_columns"].items(), key=lambda c: sum(c[1].values())
    )
    count = sum(counts.values())
    why = ", ".join(
        f"{_MEANING[reason]}: {n:,}" for reason, n in sorted(counts.items())
    )
    samples = "\n".join(
        f"  {s['where']}: {s['row']}" for s in ingest["samples"][worst]
    )
    name = worst if worst == reasons.WHOLE_ROW else f"column `{worst}`"
    raise LogsError(
        f"{num_dead:,} of {num_rows:,} log rows ({num_dead / num_rows:.2%}) "
        "cannot be used; `logs.max_bad_row_share` allows "
        f"{config.max_bad_row_share:.2%}. Worst: {name}, {count:,} rows "
        f"({count / num_rows:.2%} of all; {why}), such as\n{samples}\n"
        f"{_advice(worst, counts, config)}"
        + (f" All of them, with their reasons: {letters}" if letters else "")
    )


def _advice(column: str, counts: dict[str, int], config: LogsConfig) -> str:
    """What to do about the most frequent reason of the worst column."""
    raise_share = "or raise `logs.max_bad_row_share` to go on without them."
    match max(counts, key=lambda reason: counts[reason]):
        case reasons.UNREADABLE_TIME | reasons.IMPOSSIBLE_TIME:
            return (
                f"Expected: {_time_forms(config)}. Check `logs.time_unit` "
                f"(now {config.time_unit}) and `logs.columns.timestamp`, "
                f"repair the rows, {raise_share}"
            )
        case reasons.TOO_EARLY_TIME | reasons.FUTURE_TIME:
            return (
                f"Check `logs.time_unit` (now {config.time_unit}), "
                f"`logs.earliest_time` ({config.earliest_time}) and "
                f"`logs.latest_time` ({config.latest_time}), {raise_share}"
            )
        case reasons.NOT_JSON:
            return (
                "Check `logs.format` (now json_lines: one object a line), "
                f"repair the rows, {raise_share}"
            )
        case reasons.UNREADABLE_WEIGHT:
            return (
                "Check `logs.columns.weight`, set `logs.keep.min_weight: "
                f"null`, repair the rows, {raise_share}"
            )
        case reasons.WRONG_COLUMNS:
            return (
                f"Check `logs.separator` (now {config.separator!r}), repair "
                f"the rows, {raise_share}"
            )
        case reasons.UNCLOSED_QUOTE:
            return (
                "Set `logs.quotes: false` where a quote is a character like "
                "any other, join fields broken over several lines, "
                f"{raise_share}"
            )
        case reasons.NOT_UTF8:
            return f"Convert the files to UTF-8, {raise_share}"
        case reasons.NESTED_VALUE:
            return f"{nested_fix(column)} Repair the rows, {raise_share}"
    return f"Repair the rows, {raise_share}"


def _time_forms(config: LogsConfig) -> str:
    """What a time may look like."""
    if config.time_unit != "iso8601":
        return f"a number of {config.time_unit} since 1970 (UTC)"
    return (
        "2024-03-01, 20240301, 2024-03-01T12:00, 2024-03-01T12:00:00 or "
        "2024-03-01 12:00:00.123, then nothing or Z or UTC (UTC), or +02:00, "
        "+0200 or +02, with or without a space before it"
    )
