"""Metrics by kind of user and target: where the model is good and where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.histories import Histories
from components.ranking_evaluator import measures
from components.ranking_evaluator.config import MODEL, EvaluationConfig
from components.ranking_evaluator.measures import Settings
from components.targets import ALL, Targets
from models.metrics.bootstrap import column_intervals

# Events before the target; the last group has no end.
_LENGTHS = (1, 2, 5, 10, 20, 50)
# Days from the test cut to the target.
_DAYS = (0, 1, 7, 30, 90)
_DAY = 24 * 60 * 60

# Group names and [num_targets] number of the group of each target.
Groups = tuple[Sequence[str], np.ndarray]


def measure(
    rankings: Mapping[str, Settings],
    test: Histories,
    targets: Mapping[str, Targets],
    rows: np.ndarray,
    counts: np.ndarray,
    config: EvaluationConfig,
    leaks_future: bool = False,
) -> dict[str, Any]:
    """NDCG and Recall at the smallest cutoff, slice by slice.

    Args:
        rankings: of the model, baselines and compared models, by name.
        test: histories of the test users.
        targets: target rule to what was ranked.
        rows: [num_rows] universe position of each event of `test`.
        counts: [num_items] events of each item in the final fit.
        config: cutoffs, main seen setting, samples and seed.
        leaks_future: whether there is no cut in time that test follows.

    Returns:
        Target rule to slice to groups: `group`, `users`, `targets` and, by
        model, `ndcg_at_K`, `recall_at_K` (means over the group's users; in
        `intervals` 95 % bootstrap intervals). Groups without a target are
        left out. Rule `all` asks for sets, so it has only the slices by user.
    """
    parts = popularity_parts(counts)
    # Without a cut they are what the model has learned from or has not.
    known = "known" if leaks_future else "known before the cut"
    result: dict[str, Any] = {}
    for rule, chosen in targets.items():
        slices = _by_user(test, chosen, known)
        if rule != ALL:
            slices |= _by_target(test, chosen, rows, parts, known)
            if not leaks_future:
                slices["days_since_cut"] = _by_days(test, chosen)
        result[rule] = {
            name: _groups(groups, rankings, rule, chosen, config)
            for name, groups in slices.items()
        }
    return result


def popularity_parts(counts: np.ndarray) -> np.ndarray:
    """[num_items] third of the fit events that the item belongs to.

    Items from the most popular on make up the first third of all events (0),
    then the second (1), then the last (2); 3 without an event.
    """
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    total = max(int(counts.sum()), 1)
    parts = np.empty(len(counts), np.int64)
    parts[order] = np.minimum(3 * before // total, 2)
    parts[counts == 0] = 3
    return parts


def _by_user(
    test: Histories, targets: Targets, known: str
) -> dict[str, Groups]:
    lengths = targets.ends[targets.requests]
    new = test.num_development_events[targets.owners] == 0
    return {
        "history_length": (
            _names(_LENGTHS, inclusive=True),
            np.searchsorted(_LENGTHS, lengths, side="right") - 1,
        ),
        "users": ((known, "new"), new.astype(np.int64)),
    }


def _by_target(
    test: Histories,
    targets: Targets,
    rows: np.ndarray,
    parts: np.ndarray,
    known: str,
) -> dict[str, Groups]:
    items = rows[targets.rows(test)]
    cold = targets.are_cold(test)
    return {
        "target_popularity": (
            (
                "first third of the events",
                "second third",
                "last third",
                "no event in the fit",
            ),
            np.where(items >= 0, parts[items], 3),
        ),
        "items": ((known, "new"), cold.astype(np.int64)),
    }


def _by_days(test: Histories, targets: Targets) -> Groups:
    days = (test.timestamps[targets.rows(test)] - test.test_cut) / _DAY
    return (
        _names(_DAYS, inclusive=False),
        np.clip(np.searchsorted(_DAYS, days) - 1, 0, None),
    )


def _names(starts: Sequence[int], inclusive: bool) -> list[str]:
    """Such as 1, 2-4, 5 and more (`inclusive`) or 0-1, 1-7, over 7."""
    names = []
    for start, after in zip(starts, starts[1:], strict=False):
        stop = after - 1 if inclusive else after
        names.append(str(start) if start == stop else f"{start}-{stop}")
    last = starts[-1]
    return [*names, f"{last} and more" if inclusive else f"over {last}"]


def _groups(
    groups: Groups,
    rankings: Mapping[str, Settings],
    rule: str,
    targets: Targets,
    config: EvaluationConfig,
) -> list[dict[str, Any]]:
    names, numbers = groups
    return [
        _group(name, numbers == number, rankings, rule, targets, config)
        for number, name in enumerate(names)
        if (numbers == number).any()
    ]


def _group(
    name: str,
    mask: np.ndarray,
    rankings: Mapping[str, Settings],
    rule: str,
    targets: Targets,
    config: EvaluationConfig,
) -> dict[str, Any]:
    chosen = Targets(
        targets.users,
        targets.ends,
        targets.requests[mask],
        targets.positions[mask],
    )
    cutoff = min(config.cutoffs)
    metrics = [f"{kind}_at_{cutoff}" for kind in ("ndcg", "recall")]
    columns = []
    for settings in rankings.values():
        values = measures.user_values(
            settings[rule, config.seen_items].ranks[mask],
            rule,
            chosen,
            config.cutoffs,
        )
        columns += [values[metric] for metric in metrics]
    by_user = np.stack(columns, axis=1)
    low, high = column_intervals(by_user, config.bootstrap_samples, config.seed)
    means = by_user.mean(axis=0)
    found: dict[str, Any] = {}
    for index, model in enumerate(rankings):
        place = len(metrics) * index
        found[model] = {
            metric: float(means[place + n]) for n, metric in enumerate(metrics)
        }
        if model == MODEL:
            found[model]["intervals"] = {
                metric: [float(low[place + n]), float(high[place + n])]
                for n, metric in enumerate(metrics)
            }
    return {
        "group": name,
        "users": len(np.unique(chosen.owners)),
        "targets": len(chosen.positions),
        "metrics": found,
    }
