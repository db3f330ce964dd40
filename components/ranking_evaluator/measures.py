"""Numbers of the evaluation: split sizes, item universe, metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from components import event_parts, periods, splits
from components.histories import Histories
from components.ranking_evaluator.config import EvaluationConfig
from components.targets import (
    ALL,
    SUCCESSIVE,
    Targets,
    measured_targets,
    select_targets,
)
from models.metrics import ranking as ranking_metrics
from models.metrics import sets as set_metrics
from models.metrics.bootstrap import metrics_with_intervals

# (target rule, seen setting) to a value.
Settings = dict[tuple[str, str], Any]


@dataclasses.dataclass(frozen=True)
class Universe:
    """The items that coverage divides by and that Random draws from.

    Attributes:
        items: [num_items] bytes objects, sorted.
        rows: [num_rows] position in `items` of each event of the histories,
            -1 where its item is not part of the universe.
    """

    items: np.ndarray
    rows: np.ndarray


@dataclasses.dataclass
class Rankings:
    """One ranker's result for one target rule and seen setting.

    Attributes:
        ranks: [num_targets] from 1, `UNRANKED` beyond the largest cutoff.
        distinct: cutoff to number of distinct items recommended within it.
        top_items: [num_requests, TOP_ITEMS] universe positions, -1 pads; None
            where not kept, as for all but the main setting of a baseline.
    """

    ranks: np.ndarray
    distinct: Mapping[int, int]
    top_items: np.ndarray | None = None


def build_universe(histories: Histories, kind: str) -> Universe:
    """Numbers the items of the whole `log` or of the `catalogue`.

    The catalogue holds the items with an event up to the test cut.
    """
    rows, items = pd.factorize(histories.item_ids, sort=True)
    if kind == "catalogue":
        known = np.zeros(len(items), bool)
        known[rows[histories.item_indices > 0]] = True
        renumbered = np.where(known, np.cumsum(known) - 1, -1)
        rows, items = renumbered[rows], items[known]
    return Universe(items, rows)


def fit_counts(
    histories: Histories,
    universe: Universe,
    split: splits.SplitConfig,
    max_length: int,
) -> np.ndarray:
    """[num_items] events of each item in the data of the final fit."""
    fit = periods.fit_windows(
        histories, split, periods.TRAIN_VALIDATION, max_length
    )
    return np.bincount(universe.rows[fit.rows], minlength=len(universe.items))


def measure(
    rankings: Settings,
    targets: Mapping[str, Targets],
    universe_size: int,
    config: EvaluationConfig,
) -> dict[str, dict[str, Any]]:
    """Metrics per target rule and seen setting, as in metrics.json."""
    result: dict[str, dict[str, Any]] = {}
    for (rule, seen), ranking in rankings.items():
        metrics = metrics_with_intervals(
            user_values(ranking.ranks, rule, targets[rule], config.cutoffs),
            config.bootstrap_samples,
            config.seed,
        )
        for cutoff, distinct in ranking.distinct.items():
            metrics[f"coverage_at_{cutoff}"] = ranking_metrics.coverage(
                distinct, universe_size
            )
        result.setdefault(rule, {})[seen] = metrics
    return result


def user_values(
    ranks: np.ndarray, rule: str, targets: Targets, cutoffs: Sequence[int]
) -> dict[str, np.ndarray]:
    """Each measured user's contribution to each metric.

    Args:
        ranks: [num_targets] from 1, `UNRANKED` beyond the largest cutoff.
        rule: `all` measures a user's list against the set of targets, the
            others each target alone; a user's `successive` ones are averaged.
        targets: whose they are.
        cutoffs: values of k.

    Returns:
        Metric name to [num_measured_users] float64, users ascending.
    """
    if rule == ALL:
        return set_metrics.set_values(ranks, targets.owners, cutoffs)
    values = ranking_metrics.per_user_values(ranks, cutoffs)
    if rule == SUCCESSIVE:
        return set_metrics.mean_by_owner(values, targets.owners)
    return values


def summarize_splits(
    histories: Histories, split: splits.SplitConfig, config: EvaluationConfig
) -> dict[str, Any]:
    """Users and events of each period.

    The rows of a period are those of its users: `train` their train events,
    `validation` the other development events, `train_validation` (the final
    fit) all development events, `test` the rest. `excluded` are the events in
    none of train, validation and test, by rule. Cut times are unix seconds
    (`Histories` says what they mean with other splits than by time).
    """
    train = histories.num_train_events
    development = histories.num_development_events
    masks = {
        "train": (splits.train_users(histories, split), train),
        "validation": (
            splits.validation_users(histories, split),
            development - train,
        ),
        "train_validation": (
            splits.refit_users(histories, split),
            development,
        ),
        "test": (
            splits.test_users(histories, split),
            histories.num_events - development,
        ),
    }
    summary: dict[str, Any] = {
        name: {"users": int(mask.sum()), "rows": int(events[mask].sum())}
        for name, (mask, events) in masks.items()
    }
    counts = _count_targets(histories.select(masks["test"][0]), config)
    summary["test"]["targets"] = counts
    summary["test"]["cold_target_share"] = {
        rule: count["cold"] / (count["targets"] + count["dropped"])
        for rule, count in counts.items()
    }
    return summary | {
        "excluded": event_parts.count_excluded(histories, split),
        "validation_cut": histories.validation_cut,
        "test_cut": histories.test_cut,
        "strategy": split.strategy,
        "validation_rule": split.validation_rule,
        "leaks_future": split.leaks_future,
        "note": split.note,
    }


def _count_targets(
    test: Histories, config: EvaluationConfig
) -> dict[str, dict[str, int]]:
    """Per rule: measured `users` and `targets`, `cold` and `dropped` ones.

    `cold` are the targets without a development event, measured or not.
    """
    counts = {}
    for rule in config.targets:
        chosen = select_targets(test, rule, config.seed)
        measured = measured_targets(test, rule, config.seed, config.cold_items)
        counts[rule] = {
            "users": len(np.unique(measured.owners)),
            "targets": len(measured.positions),
            "cold": int(chosen.are_cold(test).sum()),
            "dropped": len(chosen.positions) - len(measured.positions),
        }
    return counts
