"""Test users to look at in the report."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from components.histories import Histories
from components.ranking_evaluator.measures import Rankings, Universe
from components.raw_ids import text
from components.targets import Targets

NUM_EXAMPLES = 10
SHOWN_HISTORY = 10
SHOWN_TARGETS = 20


def choose(
    test: Histories,
    targets: Targets,
    universe: Universe,
    rows: pa.Table,
    baseline: Rankings | None,
    seed: int,
) -> list[dict[str, Any]]:
    """Draws requests at random: hits and misses as they come.

    Args:
        test: histories of the test users.
        targets: of the rule that is shown.
        universe: names of the items in `baseline`.
        rows: rankings of the model, one per target.
        baseline: rankings of the best baseline, None without any.
        seed: of the draw.

    Returns:
        One mapping per request: `user`, `history` (the newest of the input),
        `history_length`, `targets` (the first SHOWN_TARGETS of `num_targets`,
        each with `item`, `cold` and `rank`, None: not among the largest
        cutoff), `model` and `baseline` (top items).
    """
    theirs = None if baseline is None else baseline.top_items
    generator = np.random.default_rng(seed)
    number = min(NUM_EXAMPLES, len(targets.users))
    picks = generator.choice(len(targets.users), number, replace=False)
    result = []
    for pick in np.sort(picks):
        user, length = targets.users[pick], targets.ends[pick]
        start = test.offsets[user]
        end = start + length
        low, high = np.searchsorted(targets.requests, [pick, pick + 1])
        wanted = rows.slice(low, high - low).to_pylist()
        past = test.item_ids[max(start, end - SHOWN_HISTORY) : end]
        result.append(
            {
                "user": text(test.user_ids[user]),
                "history": [text(i) for i in past],
                "history_length": int(length),
                "targets": [
                    {
                        "item": row["target_item"],
                        "cold": row["target_is_cold"],
                        "rank": row["rank"],
                    }
                    for row in wanted[:SHOWN_TARGETS]
                ],
                "num_targets": len(wanted),
                "model": wanted[0]["top_items"],
                "baseline": [
                    text(universe.items[i])
                    for i in ([] if theirs is None else theirs[pick])
                    if i >= 0
                ],
            }
        )
    return result
