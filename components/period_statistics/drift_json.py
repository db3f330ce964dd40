"""Everything about the periods in one JSON file, drift.json."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from components.event_parts import PERIODS
from components.period_statistics import drift, numbers, pictures
from components.period_statistics import events as ev
from components.period_statistics.config import DriftConfig
from components.period_statistics.counts import Counts
from components.period_statistics.features import Items, make_items


def make(
    counts: Counts,
    day_counts: pa.Table,
    statistics: Mapping[str, drift.Statistics],
    config: DriftConfig,
) -> dict[str, Any]:
    """The content of drift.json.

    Args:
        counts: of all users.
        day_counts: of `counts.DAYS_SCHEMA`.
        statistics: TFDV's, by period.
        config: thresholds.

    Returns:
        `periods` (numbers of each), `popularity_shift` (from train, by
        period), `comparisons` (TFDV's), `warnings` (sentences about what
        moved), `pictures` (data for them) and `config`.
    """
    items = make_items(counts["items"])
    data = pictures.picture_data(counts, day_counts, items)
    shift = {
        name: numbers.popularity_shift(
            items.counts[:, ev.TRAIN], items.counts[:, period]
        )
        for period, name in enumerate(PERIODS)
        if period != ev.TRAIN
        and items.counts[:, ev.TRAIN].any()
        and items.counts[:, period].any()
    }
    comparisons = drift.measure(statistics, config)
    for entry in comparisons:
        detail = _detail(entry, items, data["shares"], shift)
        entry["words"] = drift.words(entry, detail)
    return {
        "periods": {
            name: numbers.period_numbers(counts, items, period)
            for period, name in enumerate(PERIODS)
        },
        "popularity_shift": shift,
        "comparisons": comparisons,
        "warnings": [e["words"] for e in comparisons if e["moved"]],
        "pictures": data,
        "config": dataclasses.asdict(config),
    }


def to_json(content: Mapping[str, Any]) -> str:
    """As text; the same content gives the same bytes."""
    return json.dumps(content, allow_nan=False, indent=1, sort_keys=True) + "\n"


def _detail(
    entry: Mapping[str, Any],
    items: Items,
    shares: Mapping[str, Any],
    shift: Mapping[str, Any],
) -> str:
    """What changed most, in words; nothing where it has no name."""
    name, period = entry["feature"], entry["to"]
    if name == "item_id":
        chance = shift[period]["by_chance"]["l_infinity"]
        before, after = (
            items.counts[:, PERIODS.index(p)] for p in ("train", period)
        )
        text = _most_changed(
            before / before.sum(),
            after / after.sum(),
            lambda row: (
                "item " + items.ids[row].as_py().decode("utf-8", "replace")
            ),
        )
        return f"{text} of the events (chance alone gives {chance:.2g})"
    if name == "popularity":
        known = items.counts[:, ev.TRAIN] > 0
        ranks, counts = items.popularity[known], items.counts[known]
        before, after = (
            np.average(ranks, weights=counts[:, PERIODS.index(p)])
            for p in ("train", period)
        )
        return f"mean percentile from {before:.3g} to {after:.3g}"
    if name in shares:
        before, after = (
            np.array(shares[name]["periods"][p]) for p in ("train", period)
        )
        return _most_changed(before, after, shares[name]["names"].__getitem__)
    return ""


def _most_changed(
    before: np.ndarray, after: np.ndarray, label: Callable[[int], str]
) -> str:
    row = int(np.argmax(np.abs(after - before)))
    return (
        f"most of all {label(row)}, from {100 * before[row]:.3g} % to "
        f"{100 * after[row]:.3g} %"
    )
