"""The baselines on the same targets, ranked as the model is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from components import splits
from components.histories import Histories
from components.ranking_evaluator.config import EvaluationConfig
from components.ranking_evaluator.measures import (
    Rankings,
    Settings,
    Universe,
    fit_counts,
)
from components.ranking_evaluator.ranking import SEEN_SETTINGS, TOP_ITEMS
from components.targets import Targets
from models import ranking_metrics
from models.baselines import lists
from models.baselines.popularity import MostPopular, PopularRandom
from models.baselines.random_items import RandomItems

# Users ranked at a time: bounds the lists, which are as long as the largest
# cutoff plus the longest history of the block, or all items.
_BLOCK_USERS = 2048

# Events of the requests worked on at a time, padded to the longest.
_MAX_BATCH_EVENTS = 8 * 1024 * 1024


def rank_all(
    histories: Histories,
    targets: Mapping[str, Targets],
    universe: Universe,
    split: splits.SplitConfig,
    max_length: int,
    config: EvaluationConfig,
) -> dict[str, Settings]:
    """Ranks the targets of the test users by every baseline.

    Args:
        histories: of all users.
        targets: target rule to what is ranked, of the test users.
        universe: items that are ranked.
        split: which users and events the baselines are fitted on.
        max_length: newest events of each user that they are fitted on.
        config: cutoffs and seed.

    Returns:
        Name of the baseline to its rankings.
    """
    counts = fit_counts(histories, universe, split, max_length)
    test = splits.test_users(histories, split)
    rows = universe.rows[np.repeat(test, histories.num_events)]
    return {
        name: rank_baseline(
            baseline,
            histories.select(test),
            rows,
            len(universe.items),
            targets,
            config,
        )
        for name, baseline in make_baselines(counts, config.seed).items()
    }


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
    targets: Mapping[str, Targets],
    config: EvaluationConfig,
) -> Settings:
    """Ranks the test targets by a baseline, as the model is ranked.

    Args:
        baseline: draws one list per user; the answers to all requests of the
            user are cut from it.
        test: histories of the test users.
        rows: [num_rows] universe position of each event of `test`.
        num_items: size of the universe.
        targets: target rule to what is ranked.
        config: cutoffs.

    Returns:
        (target rule, seen setting) to `Rankings`.
    """
    keys = [(rule, seen) for rule in targets for seen in SEEN_SETTINGS]
    ranks: dict[tuple[str, str], list[np.ndarray]] = {k: [] for k in keys}
    tops: dict[tuple[str, str], list[np.ndarray]] = {k: [] for k in keys}
    best = {key: np.full(num_items, ranking_metrics.UNRANKED) for key in keys}
    longest = max(config.cutoffs)
    for start in range(0, test.num_users, _BLOCK_USERS):
        stop = min(start + _BLOCK_USERS, test.num_users)
        history = int(test.num_events[start:stop].max())
        drawn = baseline.rank(stop - start, min(longest + history, num_items))
        for rule, part in _parts(targets, start, stop):
            of_part = drawn[part.users - start]
            wanted = rows[part.rows(test)]
            for seen in SEEN_SETTINGS:
                barred = _barred(test, rows, part) if seen == "filtered" else ()
                answers = _answers(of_part, barred, longest)
                key = (rule, seen)
                ranks[key].append(_ranks(answers[part.requests], wanted))
                tops[key].append(answers[:, :TOP_ITEMS])
                _note_best(best[key], answers)
    return {
        key: Rankings(
            np.concatenate(ranks[key]),
            {k: int((best[key] <= k).sum()) for k in config.cutoffs},
            np.concatenate(tops[key]),
        )
        for key in keys
    }


def _parts(
    targets: Mapping[str, Targets], start: int, stop: int
) -> Iterator[tuple[str, Targets]]:
    """Requests of the users start..stop - 1, each rule's in a few batches."""
    for rule, chosen in targets.items():
        block = chosen.part(*np.searchsorted(chosen.users, [start, stop]))
        for part in block.batches(_BLOCK_USERS, _MAX_BATCH_EVENTS):
            yield rule, part


def _barred(
    test: Histories, rows: np.ndarray, targets: Targets
) -> tuple[np.ndarray, np.ndarray]:
    """Requests, and items in their inputs, of all events in the inputs."""
    requests = np.repeat(np.arange(len(targets.ends)), targets.ends)
    before = np.cumsum(targets.ends) - targets.ends
    starts = test.offsets[targets.users] - before
    return requests, rows[np.arange(len(requests)) + starts[requests]]


def _answers(
    drawn: np.ndarray, barred: tuple[np.ndarray, ...], longest: int
) -> np.ndarray:
    """[num_requests, longest] the drawn items that are not barred."""
    if not barred:
        nothing = np.zeros(0, np.int64)
        barred = (nothing, nothing)
    return lists.without(drawn, barred[0], barred[1], longest)


def _ranks(answers: np.ndarray, targets: np.ndarray) -> np.ndarray:
    hits = (answers == targets[:, np.newaxis]) & (answers >= 0)
    return np.where(
        hits.any(axis=1), hits.argmax(axis=1) + 1, ranking_metrics.UNRANKED
    )


def _note_best(best: np.ndarray, answers: np.ndarray) -> None:
    """Lowers the best position, from 1, of each item in place."""
    for column in range(answers.shape[1]):
        items = answers[:, column]
        items = items[items >= 0]
        best[items] = np.minimum(best[items], column + 1)
