"""Numbers of the evaluation: split sizes, item universe, baselines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from components import periods, splits
from components.histories import Histories, windows
from components.ranking_evaluator.config import EvaluationConfig
from components.ranking_evaluator.ranking import SEEN_SETTINGS, TOP_ITEMS
from models import ranking_metrics
from models.baselines import lists
from models.baselines.popularity import MostPopular, PopularRandom
from models.baselines.random_items import RandomItems

# Users ranked at a time: bounds the lists, which are as long as the largest
# cutoff plus the longest history of the block.
_BLOCK_USERS = 2048

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
        ranks: [num_users] from 1, `UNRANKED` beyond the largest cutoff.
        distinct: cutoff to number of distinct items recommended within it.
        top_items: [num_users, TOP_ITEMS] universe positions, -1 pads; None
            where not kept.
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


def make_baselines(counts: np.ndarray, seed: int) -> dict[str, lists.Baseline]:
    """The baselines by their name in metrics.json."""
    return {
        "random": RandomItems(len(counts), seed),
        "popular_random": PopularRandom(counts, seed),
        "most_popular": MostPopular(counts),
    }


def rank_baseline(
    baseline: lists.Baseline,
    test: Histories,
    rows: np.ndarray,
    num_items: int,
    config: EvaluationConfig,
) -> Settings:
    """Ranks the test targets by a baseline, as the model is ranked.

    Args:
        baseline: draws one list per user; all settings are cut from it.
        test: histories of the test users.
        rows: [num_rows] universe position of each event of `test`.
        num_items: size of the universe.
        config: targets and cutoffs.

    Returns:
        (target rule, seen setting) to `Rankings`.
    """
    keys = [(rule, seen) for rule in config.targets for seen in SEEN_SETTINGS]
    ranks: dict[tuple[str, str], list[np.ndarray]] = {k: [] for k in keys}
    tops: dict[tuple[str, str], list[np.ndarray]] = {k: [] for k in keys}
    best = {key: np.full(num_items, ranking_metrics.UNRANKED) for key in keys}
    for start in range(0, test.num_users, _BLOCK_USERS):
        users = np.arange(start, min(start + _BLOCK_USERS, test.num_users))
        block = _rank_block(baseline, test, rows, users, config)
        for key, (answers, targets) in block.items():
            ranks[key].append(_ranks(answers, targets))
            tops[key].append(answers[:, :TOP_ITEMS])
            for column in range(answers.shape[1]):
                items = answers[:, column]
                items = items[items >= 0]
                best[key][items] = np.minimum(best[key][items], column + 1)
    return {
        key: Rankings(
            np.concatenate(ranks[key]),
            {k: int((best[key] <= k).sum()) for k in config.cutoffs},
            np.concatenate(tops[key]),
        )
        for key in keys
    }


def _rank_block(
    baseline: lists.Baseline,
    test: Histories,
    rows: np.ndarray,
    users: np.ndarray,
    config: EvaluationConfig,
) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """Answers [n, k] and targets [n] of some users, for each setting."""
    longest = max(config.cutoffs)
    offsets = test.offsets[users[0] : users[-1] + 2]
    num_events = np.diff(offsets)
    drawn = baseline.rank(len(users), longest + int(num_events.max()))
    nothing = np.zeros(0, np.int64)
    result = {}
    for rule in config.targets:
        ends = splits.target_positions(test, rule)[users]
        targets = rows[offsets[:-1] + ends]
        seen_rows, bounds = windows(offsets, ends, None)
        seen_users = np.repeat(np.arange(len(users)), np.diff(bounds))
        barred = {
            "kept": (nothing, nothing),
            "filtered": (seen_users, rows[seen_rows]),
        }
        for seen in SEEN_SETTINGS:
            of_users, items = barred[seen]
            answers = lists.without(drawn, of_users, items, longest)
            result[rule, seen] = (answers, targets)
    return result


def _ranks(answers: np.ndarray, targets: np.ndarray) -> np.ndarray:
    hits = (answers == targets[:, np.newaxis]) & (answers >= 0)
    return np.where(
        hits.any(axis=1), hits.argmax(axis=1) + 1, ranking_metrics.UNRANKED
    )


def measure(
    rankings: Settings, universe_size: int, config: EvaluationConfig
) -> dict[str, dict[str, Any]]:
    """Metrics per target rule and seen setting, as in metrics.json."""
    result: dict[str, dict[str, Any]] = {}
    for (rule, seen), ranking in rankings.items():
        metrics = ranking_metrics.metrics_with_intervals(
            ranking.ranks,
            config.cutoffs,
            config.bootstrap_samples,
            config.seed,
        )
        for cutoff, distinct in ranking.distinct.items():
            metrics[f"coverage_at_{cutoff}"] = ranking_metrics.coverage_of(
                distinct, universe_size
            )
        result.setdefault(rule, {})[seen] = metrics
    return result


def summarize_splits(
    histories: Histories, split: splits.SplitConfig, targets: tuple[str, ...]
) -> dict[str, Any]:
    """Users and events of each period.

    The rows of a period are those of its users: `train` up to the validation
    cut, `validation` between the cuts, `train_validation` (the final fit) up
    to the test cut, `test` after it. Cut times are unix seconds.
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
    test = histories.select(masks["test"][0])
    summary["test"]["cold_target_share"] = {
        rule: _cold_share(test, rule) for rule in targets
    }
    summary["validation_cut"] = histories.validation_cut
    summary["test_cut"] = histories.test_cut
    return summary


def _cold_share(test: Histories, rule: str) -> float:
    rows = test.offsets[:-1] + splits.target_positions(test, rule)
    return float((test.item_indices[rows] == 0).mean())
