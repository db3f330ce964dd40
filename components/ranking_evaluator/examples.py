"""Test users to look at in the report."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from components import splits
from components.histories import Histories
from components.ranking_evaluator.config import EvaluationConfig
from components.ranking_evaluator.measures import Settings, Universe
from components.ranking_evaluator.ranking import text

NUM_EXAMPLES = 10
SHOWN_HISTORY = 10


def choose(
    histories: Histories,
    test: np.ndarray,
    universe: Universe,
    rows: pd.DataFrame,
    most_popular: Settings,
    config: EvaluationConfig,
) -> list[dict[str, Any]]:
    """Draws test users at random: hits and misses as they come.

    Args:
        histories: of all users.
        test: [num_users] bool, the test users.
        universe: names of the items in `most_popular`.
        rows: rankings of the model.
        most_popular: rankings of that baseline.
        config: the first target rule and the main seen setting are shown.

    Returns:
        One mapping per user: `user`, `history` (the newest before the
        target), `history_length`, `target`, `cold`, `rank` (None: not among
        the largest cutoff), `model` and `most_popular` (top items).
    """
    key = (config.targets[0], config.seen_items)
    chosen = rows[
        (rows["target_rule"] == key[0]) & (rows["seen_items"] == key[1])
    ].set_index("user_id")
    users = histories.select(test)
    targets = splits.target_positions(users, key[0])
    popular = most_popular[key].top_items
    generator = np.random.default_rng(config.seed)
    number = min(NUM_EXAMPLES, users.num_users)
    picks = generator.choice(users.num_users, number, replace=False)
    result = []
    for pick in np.sort(picks):
        start = users.offsets[pick]
        end = start + targets[pick]
        row = chosen.loc[text(users.user_ids[pick])]
        past = users.item_ids[max(start, end - SHOWN_HISTORY) : end]
        result.append(
            {
                "user": row.name,
                "history": [text(i) for i in past],
                "history_length": int(targets[pick]),
                "target": row["target_item"],
                "cold": bool(row["target_is_cold"]),
                "rank": None if pd.isna(row["rank"]) else int(row["rank"]),
                "model": list(row["top_items"]),
                "most_popular": [
                    text(universe.items[i]) for i in popular[pick] if i >= 0
                ],
            }
        )
    return result
