"""The baselines on the same targets, ranked as the model is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from components import periods, splits
from components.histories import Histories
from components.ranking_evaluator import collected
from components.ranking_evaluator.config import (
    ITEM_KNN,
    MOST_POPULAR,
    MOST_POPULAR_RECENT,
    POPULAR_RANDOM,
    PURE_SVD,
    RANDOM_ITEMS,
    EvaluationConfig,
)
from components.ranking_evaluator.measures import (
    Settings,
    Universe,
    fit_counts,
)
from components.ranking_evaluator.personal import fit_matrix, rank_personal
from components.ranking_evaluator.ranking import SEEN_SETTINGS
from components.targets import Targets
from models.baselines import lists
from models.baselines.item_knn import ItemKNN
from models.baselines.personal import PersonalBaseline
from models.baselines.popularity import MostPopular, PopularRandom
from models.baselines.pure_svd import PureSVD
from models.baselines.random_items import RandomItems

_DAY = 24 * 60 * 60

# Of the lists of a block (128 MiB): 2048 users and 16,384 items each.
_MAX_LIST_ENTRIES = 32 * 1024 * 1024


def rank_all(
    histories: Histories,
    targets: Mapping[str, Targets],
    universe: Universe,
    split: splits.SplitConfig,
    max_length: int,
    config: EvaluationConfig,
) -> dict[str, Settings]:
    """Ranks the targets of the test users by the configured baselines.

    Args:
        histories: of all users.
        targets: target rule to what is ranked, of the test users.
        universe: items that are ranked.
        split: which users and events the baselines are fitted on.
        max_length: newest events of each user that they are fitted on; they
            recommend from one known item less, as the model does.
        config: which baselines, their settings, cutoffs and seed.

    Returns:
        Name of the baseline to its rankings.
    """
    test = splits.test_users(histories, split)
    chosen = histories.select(test)
    rows = universe.rows[np.repeat(test, histories.num_events)]
    rankings = {}
    for name in config.baselines:
        baseline = make_baseline(
            name, histories, universe, split, max_length, config
        )
        arguments = (chosen, rows, len(universe.items), targets, config)
        if isinstance(baseline, PersonalBaseline):
            rankings[name] = rank_personal(
                baseline, *arguments, max(max_length - 1, 1)
            )
        else:
            rankings[name] = rank_baseline(baseline, *arguments)
    return rankings


def make_baseline(
    name: str,
    histories: Histories,
    universe: Universe,
    split: splits.SplitConfig,
    max_length: int,
    config: EvaluationConfig,
) -> lists.Baseline | PersonalBaseline:
    """Fits the baseline of that name on the data of the final fit."""
    if name == RANDOM_ITEMS:
        return RandomItems(len(universe.items), config.seed)
    if name in (PURE_SVD, ITEM_KNN):
        matrix = fit_matrix(histories, universe, split, max_length)
        if name == PURE_SVD:
            svd = config.pure_svd
            return PureSVD(matrix, svd.rank, svd.scaling, config.seed)
        knn = config.item_knn
        return ItemKNN(matrix, knn.neighbors, knn.weighting)
    counts = fit_counts(histories, universe, split, max_length)
    if name == POPULAR_RANDOM:
        return PopularRandom(counts, config.seed)
    if name == MOST_POPULAR_RECENT:
        days = config.most_popular_recent.days
        recent = recent_counts(histories, universe, split, max_length, days)
        return MostPopular(counts, recent)
    assert name == MOST_POPULAR, name
    return MostPopular(counts)


def recent_counts(
    histories: Histories,
    universe: Universe,
    split: splits.SplitConfig,
    max_length: int,
    days: float,
) -> np.ndarray:
    """[num_items] events of the final fit in the `days` up to the test cut."""
    fit = periods.fit_windows(
        histories, split, periods.TRAIN_VALIDATION, max_length
    )
    after = histories.timestamps[fit.rows] > histories.test_cut - days * _DAY
    return np.bincount(
        universe.rows[fit.rows[after]], minlength=len(universe.items)
    )


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
    found = collected.Collected(targets, num_items, config)
    longest = max(config.cutoffs)
    lengths = np.minimum(longest + test.num_events, num_items)
    for start, stop in _blocks(lengths):
        drawn = baseline.rank(stop - start, int(lengths[start:stop].max()))
        for rule, part in collected.parts(targets, start, stop):
            # no more can be dropped than the longest input of the part has
            needed = longest + int(part.ends.max(initial=0))
            of_part = drawn[part.users - start, :needed]
            wanted = rows[part.rows(test)]
            requests, events = collected.input_events(test, part)
            nothing = np.zeros(0, np.int64)
            barred = {
                "kept": (nothing, nothing),
                "filtered": (requests, rows[events]),
            }
            for seen in SEEN_SETTINGS:
                answers = lists.without(of_part, *barred[seen], longest)
                found.add((rule, seen), answers, part, wanted)
    return found.rankings()


def _blocks(lengths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Cuts the users into blocks whose lists fit into memory.

    Blocks are `BLOCK_USERS`, as the draws depend on them; only one that a
    very long history makes too large is cut further.

    Args:
        lengths: [num_users] of the list that each user needs.

    Yields:
        the first user of a block, and the first one after it.
    """
    for start in range(0, len(lengths), collected.BLOCK_USERS):
        left = lengths[start : start + collected.BLOCK_USERS]
        while len(left):
            entries = np.maximum.accumulate(left) * np.arange(1, len(left) + 1)
            size = max(1, np.count_nonzero(entries <= _MAX_LIST_ENTRIES))
            yield start, start + size
            start, left = start + size, left[size:]
