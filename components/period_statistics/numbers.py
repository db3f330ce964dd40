"""The few numbers about the periods that people ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.period_statistics import events as ev
from components.period_statistics.counts import Counts, by_period
from components.period_statistics.features import Items, mean_ranks

TOP = 100
# What chance alone does is drawn so often, always from the same seed.
_DRAWS = 10
_SEED = 0
# NumPy deals no more events than this exactly.
_MOST_DEALT = 10**9 - 1


def period_numbers(counts: Counts, items: Items, period: int) -> dict[str, Any]:
    """Numbers about one period.

    Args:
        counts: of all users.
        items: all items.
        period: index into `event_parts.PERIODS`.

    Returns:
        `events`, `users`, `items`; `events_per_user` (mean, median); `first`
        and `last` (unix seconds), `days` between them and `events_per_day`;
        `gap_days` (p10, p50, p90, at most 0.1 % too small); `new_users` and
        `new_items` (number, and share of the users or distinct items and of
        the events). None where there is nothing to say.
    """
    users = by_period(counts["users"], period)
    lengths = by_period(counts["lengths"], period)
    gaps = by_period(counts["gaps"], period)
    events, num_users = int(users["events"].sum()), int(users["count"].sum())
    first = int(users["first"].min()) if events else None
    last = int(users["last"].max()) if events else None
    seconds = last - first if first is not None and last is not None else 0
    gap_days = {
        f"p{percent}": _scaled(
            quantile(gaps["gap"], gaps["count"], percent / 100),
            1 / ev.DAY_SECONDS,
        )
        for percent in (10, 50, 90)
    }
    return {
        "events": events,
        "users": num_users,
        "items": int((items.counts[:, period] > 0).sum()),
        "events_per_user": {
            "mean": ratio(events, num_users),
            "median": quantile(lengths["length"], lengths["count"], 0.5),
        },
        "first": first,
        "last": last,
        "days": seconds / ev.DAY_SECONDS if events else None,
        "events_per_day": ratio(events * ev.DAY_SECONDS, seconds),
        "gap_days": gap_days,
        "new_users": _new_users(users, period),
        "new_items": _new_items(items, period),
    }


def _new_users(
    users: Mapping[str, np.ndarray], period: int
) -> dict[str, Any] | None:
    if period == ev.TRAIN:
        return None
    new = users["new"].astype(bool)
    number = int(users["count"][new].sum())
    return {
        "number": number,
        "share": ratio(number, users["count"].sum()),
        "event_share": ratio(users["events"][new].sum(), users["events"].sum()),
    }


def _new_items(items: Items, period: int) -> dict[str, Any] | None:
    if period == ev.TRAIN:
        return None
    now = items.counts[:, period]
    new = items.counts[:, :period].sum(axis=1) == 0
    number = int((now[new] > 0).sum())
    return {
        "number": number,
        "share": ratio(number, (now > 0).sum()),
        "event_share": ratio(now[new].sum(), now.sum()),
    }


def popularity_shift(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """How far the items' shares of the events moved.

    Args:
        before: [num_items] events in the one period.
        after: [num_items] events in the other; both have some.

    Returns:
        `total_variation`: half the sum of the absolute changes, 0 (same
        shares) to 1 (no item in common); `l_infinity`: the largest one.
        `by_chance`: the means of both if all events were dealt to the two
        periods at random. `spearman`: rank correlation of the counts of
        `items_in_both`, None where it is not defined. `top`: how many of the
        most popular `size` items of the one period are among those of the
        other.
    """
    total_variation, l_infinity = _distances(before, after)
    both = (before > 0) & (after > 0)
    return {
        "total_variation": total_variation,
        "l_infinity": l_infinity,
        "by_chance": _by_chance(before, after),
        "items_in_both": int(both.sum()),
        "spearman": _spearman(before[both], after[both]),
        "top": _top_overlap(before, after),
    }


def _distances(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    change = np.abs(before / before.sum() - after / after.sum())
    return float(change.sum() / 2), float(change.max())


def _by_chance(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """Two samples of one distribution differ as well: by so much."""
    generator = np.random.default_rng(_SEED)
    pooled = before + after
    size, total = before.sum(), pooled.sum()
    draws = []
    for _ in range(_DRAWS):
        if total <= _MOST_DEALT:
            drawn = generator.multivariate_hypergeometric(pooled, size)
        else:
            # Each event for itself: of so many the first period gets its
            # number all the same, to a thousandth or so.
            drawn = generator.binomial(pooled, size / total)
        draws.append(_distances(drawn, pooled - drawn))
    total_variation, l_infinity = np.mean(draws, axis=0)
    return {
        "total_variation": float(total_variation),
        "l_infinity": float(l_infinity),
    }


def _spearman(before: np.ndarray, after: np.ndarray) -> float | None:
    ranks = [mean_ranks(values) for values in (before, after)]
    if any(len(r) < 2 or np.ptp(r) == 0 for r in ranks):
        return None
    return float(np.corrcoef(ranks)[0, 1])


def _top_overlap(before: np.ndarray, after: np.ndarray) -> dict[str, int]:
    """Of the `TOP` items of each; among equals the smaller id wins."""
    tops = []
    for values in (before, after):
        order = np.argsort(-values, kind="stable")[:TOP]
        tops.append(order[values[order] > 0])
    size = min(map(len, tops))
    return {
        "size": size,
        "shared": len(np.intersect1d(tops[0][:size], tops[1][:size])),
    }


def quantile(
    values: np.ndarray, counts: np.ndarray, share: float
) -> float | None:
    """Smallest value that at least `share` of the counts reach up to.

    Args:
        values: ascending.
        counts: how often each occurs.
        share: in (0, 1].

    Returns:
        numpy's quantile of method `inverted_cdf`; None for no values.
    """
    if not len(values):
        return None
    ends = np.cumsum(counts)
    # 0.1 * 30 is a little more than 3 in binary.
    target = np.round(share * ends[-1], 6)
    return float(values[np.searchsorted(ends, target)])


def ratio(part: float, whole: float) -> float | None:
    """None where the whole is 0."""
    return float(part / whole) if whole else None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
