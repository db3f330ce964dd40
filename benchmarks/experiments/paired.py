"""Models beside one of them, user by user.

Two models are measured on the same users, so the interval of their difference
is far narrower than the two intervals of their means: what is hard for one is
hard for the other. A user's value is the mean over the seeds that both have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset
import pyarrow.parquet

from models.metrics.bootstrap import column_intervals
from models.metrics.ranking import UNRANKED, per_user_values

_SAMPLES = 2000
_COLUMNS = ["user_id", "target_rule", "seen_items", "target_item", "rank"]


def read_ranks(rankings: Path, rule: str, seen: str) -> dict[str, Any]:
    """The ranks of a run's targets, small enough to be kept with its result.

    Args:
        rankings: folder of the evaluation's Parquet files.
        rule: which target of a user.
        seen: whether seen items were kept.

    Returns:
        `users`, how many; `targets`, a hash of users and their targets in the
        order of user ids: ranks of equal hashes belong together; `ranks`,
        "place:rank" of those found, places from 0 in that order.
    """
    table = pyarrow.dataset.dataset(rankings, format="parquet").to_table(
        columns=_COLUMNS,
        filter=(pyarrow.dataset.field("target_rule") == rule)
        & (pyarrow.dataset.field("seen_items") == seen),
    )
    rows = sorted(table.to_pylist(), key=lambda row: row["user_id"])
    targets = "\n".join(f"{r['user_id']}\t{r['target_item']}" for r in rows)
    return {
        "users": len(rows),
        "targets": hashlib.sha256(targets.encode()).hexdigest()[:16],
        "ranks": " ".join(
            f"{place}:{row['rank']}"
            for place, row in enumerate(rows)
            if row["rank"] is not None
        ),
    }


def ranks(kept: Mapping[str, Any]) -> np.ndarray:
    """[users] int64 of what `read_ranks` returned."""
    result = np.full(kept["users"], UNRANKED, np.int64)
    for entry in kept["ranks"].split():
        place, rank = entry.split(":")
        result[int(place)] = int(rank)
    return result


def compare(
    own: Mapping[int, Mapping[str, Any]],
    rival: Mapping[int, Mapping[str, Any]],
    metrics: Sequence[str],
) -> tuple[list[int], dict[str, tuple[float, float, float]]]:
    """Differences own minus rival.

    Args:
        own: seed to result of a run.
        rival: the same of the other model.
        metrics: as `ndcg_at_10`; those without a value per user (coverage)
            are left out.

    Returns:
        The seeds used, and metric to mean difference and both ends of its 95 %
        interval (bootstrap over users), as fractions.

    Raises:
        ValueError: the two were not measured on the same targets.
    """
    seeds = [
        seed
        for seed in own
        if "ranking" in own[seed] and "ranking" in rival.get(seed, {})
    ]
    if not seeds:
        return [], {}
    found = {
        (r["ranking"]["targets"], r["ranking"]["users"])
        for seed in seeds
        for r in (own[seed], rival[seed])
    }
    if len(found) > 1:
        raise ValueError(
            f"Runs were measured on different targets: {sorted(found)}. Fix: "
            "remove the results of the older ones and run them again."
        )
    cutoffs = sorted({int(metric.rpartition("_")[2]) for metric in metrics})
    differences = []
    for seed in seeds:
        ours, theirs = (
            per_user_values(ranks(r[seed]["ranking"]), cutoffs)
            for r in (own, rival)
        )
        names = [metric for metric in metrics if metric in ours]
        differences.append(
            np.stack([ours[name] - theirs[name] for name in names], axis=1)
        )
    values = np.mean(differences, axis=0)
    low, high = column_intervals(values, _SAMPLES, seed=0)
    means = values.mean(axis=0)
    return seeds, {
        name: (float(means[i]), float(low[i]), float(high[i]))
        for i, name in enumerate(names)
    }
