"""Times, numbers and names as people read them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from components.ranking_evaluator import config
from components.splits import BY_TIME, TEMPORAL

_NAMES = {
    config.MODEL: "This model",
    config.RANDOM_ITEMS: "Random",
    config.POPULAR_RANDOM: "PopRnd",
    config.MOST_POPULAR: "Most popular",
    config.MOST_POPULAR_RECENT: "Most popular of late",
    config.PURE_SVD: "PureSVD",
    config.ITEM_KNN: "Item neighbours",
}

# The parts that `slices` cuts the test users or their targets into.
SLICES = {
    "history_length": "events in the history",
    "users": "kind of user",
    "target_popularity": "popularity of the target",
    "items": "kind of target item",
    "days_since_cut": "days since the cut",
}


def date(seconds: int) -> str:
    """ISO-8601 UTC; the time of day only where it is not midnight."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    if moment.time() == datetime.time():
        return moment.date().isoformat()
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def cuts_of(summary: Mapping[str, Any]) -> dict[str, int]:
    """The cuts in time that a split has, first to last: name to seconds.

    The cut times of `splits` in metrics.json are those of the events even
    where nothing is cut at them.

    Args:
        summary: `splits` of metrics.json.
    """
    cuts = {}
    if summary["validation_rule"] == BY_TIME:
        cuts["Validation"] = summary["validation_cut"]
    if summary["strategy"] == TEMPORAL:
        cuts["Test"] = summary["test_cut"]
    return cuts


def where_known(summary: Mapping[str, Any]) -> str:
    """Where an item has an event that the model may have learned from.

    Args:
        summary: `splits` of metrics.json.
    """
    if summary["strategy"] == TEMPORAL:
        return "before the test cut"
    return "in the development events"


def name_of(model: str) -> str:
    """A model's name as tables have it; those of other runs are quoted."""
    return _NAMES.get(
        model,
        f"\N{LEFT DOUBLE QUOTATION MARK}{model}\N{RIGHT DOUBLE QUOTATION MARK}",
    )


def metric_label(metric: str) -> str:
    """A metric's name in the field's spelling, such as NDCG@10."""
    name, cutoff = metric.split("_at_")
    label = {"ndcg": "NDCG", "mrr": "MRR"}.get(name, name.capitalize())
    return f"{label}@{cutoff}"


def percent(value: float) -> str:
    """A fraction in percent, without the sign."""
    return f"{100 * value:.2f}"


def signed(value: float) -> str:
    """A difference of fractions in percentage points, with its sign."""
    text = f"{100 * value:+.2f}"
    if float(text) == 0:
        return "0.00"
    return text.replace("-", "\N{MINUS SIGN}")
