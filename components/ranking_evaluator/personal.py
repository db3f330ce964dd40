"""Ranks the test targets by baselines that see the user's history."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse

from components import periods, splits
from components.histories import Histories
from components.ranking_evaluator import collected
from components.ranking_evaluator.config import EvaluationConfig
from components.ranking_evaluator.measures import Settings, Universe
from components.ranking_evaluator.ranking import SEEN_SETTINGS
from components.targets import Targets
from models.baselines.personal import PersonalBaseline


def fit_matrix(
    histories: Histories,
    universe: Universe,
    split: splits.SplitConfig,
    max_length: int,
) -> scipy.sparse.csr_matrix:
    """[num_fit_users, num_items] events in the data of the final fit."""
    fit = periods.fit_windows(
        histories, split, periods.TRAIN_VALIDATION, max_length
    )
    items = universe.rows[fit.rows]
    shape = (len(fit.user_positions), len(universe.items))
    # Every event up to the cut is one of the universe's.
    return scipy.sparse.csr_matrix(
        (np.ones(len(items), np.float32), items, fit.offsets), shape
    )


def rank_personal(
    baseline: PersonalBaseline,
    test: Histories,
    rows: np.ndarray,
    num_items: int,
    targets: Mapping[str, Targets],
    config: EvaluationConfig,
    newest: int,
) -> Settings:
    """Ranks the test targets by a baseline, as the model is ranked.

    Args:
        baseline: over the items of the universe.
        test: histories of the test users.
        rows: [num_rows] universe position of each event of `test`.
        num_items: size of the universe.
        targets: target rule to what is ranked.
        config: cutoffs.
        newest: known items at the end of an input that are its history, as
            many as the model sees.

    Returns:
        (target rule, seen setting) to `Rankings`.
    """
    found = collected.Collected(targets, num_items, config)
    longest = max(config.cutoffs)
    for start in range(0, test.num_users, collected.BLOCK_USERS):
        stop = min(start + collected.BLOCK_USERS, test.num_users)
        for rule, part in collected.parts(targets, start, stop):
            requests, events = collected.input_events(test, part)
            shape = (len(part.ends), num_items)
            known = test.item_indices[events] > 0
            seen = _newest(requests[known], newest)
            histories = _matrix(
                requests[known][seen], rows[events[known][seen]], shape
            )
            barred = _matrix(requests, rows[events], shape)
            wanted = rows[part.rows(test)]
            lists = baseline.rank(histories, [None, barred], longest)
            for setting, answers in zip(SEEN_SETTINGS, lists, strict=True):
                found.add((rule, setting), answers, part, wanted)
    return found.rankings()


def _newest(requests: np.ndarray, number: int) -> np.ndarray:
    """[n] bool: the last events of each request, at most `number`.

    Args:
        requests: [n] ascending.
        number: of events.
    """
    ends = np.searchsorted(requests, requests, side="right")
    return ends - np.arange(len(requests)) <= number


def _matrix(
    requests: np.ndarray, items: np.ndarray, shape: tuple[int, int]
) -> scipy.sparse.csr_matrix:
    inside = items >= 0
    places = (requests[inside], items[inside])
    return scipy.sparse.csr_matrix(
        (np.ones(inside.sum(), np.float32), places), shape
    )
