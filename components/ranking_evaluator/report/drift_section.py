"""The section "Periods and drift" of the report: words, table, pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from components.event_parts import PERIODS
from components.ranking_evaluator.report import drift_plots

_DAY_SECONDS = 86_400
_ABSENT = "–"
# With a space that no line breaks at.
_PERCENT_SIGN = "\N{NO-BREAK SPACE}%"


def section(
    drift: Mapping[str, Any], cuts: Mapping[str, int]
) -> dict[str, Any]:
    """What the template shows.

    Args:
        drift: content of PeriodStatistics' drift.json.
        cuts: name to unix seconds of the cuts in time that the split has.

    Returns:
        `headline`; `moved` and `held`, each a list of what happened and the
        figures; `table` rows (label and a
        text per period) and `figures` (`svg`, `caption`).
    """
    comparisons = drift["comparisons"]
    return {
        "headline": _headline(drift),
        "moved": [_verdict(c) for c in comparisons if c["moved"]],
        "held": [_verdict(c) for c in comparisons if not c["moved"]],
        "table": _table(drift),
        "figures": _figures(drift, sorted(cuts.values())),
    }


def _headline(drift: Mapping[str, Any]) -> str:
    comparisons = drift["comparisons"]
    empty = [n for n, p in drift["periods"].items() if not p["events"]]
    missing = f"No {' and no '.join(empty)} events. " if empty else ""
    if not comparisons:
        return f"{missing}Nothing was compared."
    moved = len(drift["warnings"])
    return (
        f"{missing}Compared with train, {moved or 'none'} of "
        f"{len(comparisons)} distances exceed{'' if moved > 1 else 's'} the "
        "threshold."
    )


def _verdict(comparison: Mapping[str, Any]) -> tuple[str, str]:
    """What happened, and the figures."""
    words = comparison["words"].replace(" %", _PERCENT_SIGN)
    what, _, figures = words.partition(": ")
    return what, figures


def _table(drift: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    periods = [drift["periods"][name] for name in PERIODS]
    shifts = [drift["popularity_shift"].get(name) for name in PERIODS]

    def row(label: str, values: list[Any], text: Callable[[Any], str]) -> Any:
        cells = [_ABSENT if v is None else text(v) for v in values]
        return label, cells

    def of(*path: str) -> list[Any]:
        return [_get(period, path) for period in periods]

    def shift(*path: str) -> list[Any]:
        return [_get(value, path) for value in shifts]

    rows = [
        row("Events", of("events"), _count),
        row("Users", of("users"), _count),
        row("Items", of("items"), _count),
        row("Days", of("days"), _number),
        row("Events per day", of("events_per_day"), _number),
        row("Events per user", of("events_per_user", "mean"), _number),
    ]
    for quantile in (10, 50, 90):
        label = f"Gap, {quantile}{_PERCENT_SIGN}"
        rows.append(row(label, of("gap_days", f"p{quantile}"), duration))
    for kind, what in (("users", "Events by"), ("items", "Events of")):
        share, events = of(f"new_{kind}", "share"), f"{what} new {kind}"
        rows.append(row(f"New {kind}", share, _percent))
        rows.append(row(events, of(f"new_{kind}", "event_share"), _percent))
    moved, chance = shift("total_variation"), shift("by_chance")
    rows += [
        row("Popularity moved", moved, _percent),
        row("… by chance", chance, lambda v: _percent(v["total_variation"])),
        row("Top items shared", shift("top"), _overlap),
        row("Rank correlation", shift("spearman"), lambda v: f"{v:.2f}"),
    ]
    return rows


def _get(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = None if value is None else value[key]
    return value


def _figures(
    drift: Mapping[str, Any], cuts: Sequence[int]
) -> list[dict[str, str]]:
    data = drift["pictures"]
    figures = []
    if data["activity"]:
        figures.append(
            _figure(
                drift_plots.activity(data["activity"], cuts),
                _activity_caption(data["activity"]["width"], len(cuts)),
            )
        )
    if data["popularity"]:
        figures.append(
            _figure(
                drift_plots.popularity(data["popularity"]),
                _popularity_caption(drift["popularity_shift"]["test"]),
            )
        )
    if any(data["shares"]["gap"]["periods"].values()):
        figures.append(
            _figure(
                drift_plots.shares("gap", data["shares"]["gap"]),
                _gap_caption(drift["periods"]),
            )
        )
    if data["newcomers"]:
        figures.append(
            _figure(
                drift_plots.newcomers(data["newcomers"], cuts),
                _newcomers_caption(drift["periods"]),
            )
        )
    moved = {c["feature"] for c in drift["comparisons"] if c["moved"]}
    for name, label in (
        ("hour_of_day", "hour of the day"),
        ("day_of_week", "day of the week"),
    ):
        if name in moved:
            caption = (
                f"Events by {label} (UTC); each period is "
                f"100{_PERCENT_SIGN}. Shown because it moved."
            )
            svg = drift_plots.shares(name, data["shares"][name])
            figures.append(_figure(svg, caption))
    return figures


def _figure(svg: str, caption: str) -> dict[str, str]:
    return {"svg": svg, "caption": caption}


def _activity_caption(width: int, num_cuts: int) -> str:
    days = "day by day" if width == 1 else f"means of {width} days"
    dotted = ("", "; dotted: the cut", "; dotted: the cuts")[num_cuts]
    return (
        f"Events per day ({days}){dotted}. Periods of unlike length or pace "
        "are of unlike seasons."
    )


def _popularity_caption(shift: Mapping[str, Any]) -> str:
    return (
        "Items by their share of the events; larger dots are more items. "
        "Dotted: no change. Most popular in train and still so in test: "
        f"{_overlap(shift['top'])}."
    )


def _gap_caption(periods: Mapping[str, Any]) -> str:
    medians = ", ".join(
        f"{name} {duration(periods[name]['gap_days']['p50'])}"
        for name in PERIODS
        if periods[name]["gap_days"]["p50"] is not None
    )
    return (
        "Time since the user's event before; each period is "
        f"100{_PERCENT_SIGN}. Medians: "
        f"{medians}."
    )


def _newcomers_caption(periods: Mapping[str, Any]) -> str:
    texts = [
        f"in {name} {_percent(periods[name]['new_items']['event_share'])} are "
        "of new items and "
        f"{_percent(periods[name]['new_users']['event_share'])} by new users"
        for name in ("validation", "test")
        if periods[name]["events"]
    ]
    return (
        "Events of items, and by users, that no period before has: "
        f"{'; '.join(texts)}. No model can recommend a new item."
    )


def _overlap(top: Mapping[str, int]) -> str:
    return f"{top['shared']} of {top['size']}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _number(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _percent(share: float) -> str:
    percent = 100 * share
    text = f"{percent:.1f}" if percent >= 0.1 else f"{percent:.2g}"
    return text + _PERCENT_SIGN


def duration(days: float) -> str:
    """Days in the largest unit that gives at least 1."""
    seconds = days * _DAY_SECONDS
    for unit, size in (("d", _DAY_SECONDS), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{_number(seconds / size)} {unit}"
    return f"{_number(seconds)} s"
