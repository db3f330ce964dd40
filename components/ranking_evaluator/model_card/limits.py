"""What to be careful about, found in the numbers of the evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.ranking_evaluator.config import MODEL
from components.ranking_evaluator.words import (
    SLICES,
    name_of,
    percent,
    where_known,
)
from components.splits import LEAK_WARNING
from components.targets import label

# Fewer users say nothing about a slice.
_LEAST_USERS = 50


def limits(
    evaluation: Mapping[str, Any],
    drift: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> list[str]:
    """Sentences; the first ones are found, the last ones always hold.

    Args:
        evaluation: content of metrics.json.
        drift: content of drift.json.
        settings: of the evaluation.
    """
    rule = settings["targets"][0]
    found = [LEAK_WARNING] if evaluation["leaks_future"] else []
    cold = evaluation["splits"]["test"]["cold_target_share"][rule]
    if cold:
        found.append(
            f"{100 * cold:.1f} % of the targets ({label(rule)}) were unknown "
            f"{where_known(evaluation['splits'])}: no model of this catalogue "
            "can hit them."
        )
    found += _weak_slices(evaluation, settings)
    number = len(drift["warnings"])
    if number:
        found.append(
            f"The periods differ in {number} way{'s' if number > 1 else ''} "
            "beyond the thresholds for drift; the report has them."
        )
    return [
        *found,
        "Measured on what people did while other recommendations were shown: "
        "an item that nobody was shown cannot be a hit. Only a live test says "
        "what it does to users.",
        "One seed: another one gives other numbers, which the intervals over "
        "users do not hold.",
        "Whether it serves groups of people equally well has not been "
        "measured: the log has no such attributes.",
    ]


def _weak_slices(
    evaluation: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[str]:
    """Slices in which the best baseline has the higher NDCG."""
    rival = evaluation["best_baseline"]
    if rival is None:
        return []
    metric = f"ndcg_at_{min(settings['cutoffs'])}"
    weak = []
    for name, groups in evaluation["slices"][settings["targets"][0]].items():
        for group in groups:
            ours, theirs = (
                group["metrics"][model][metric] for model in (MODEL, rival)
            )
            if group["users"] >= _LEAST_USERS and ours < theirs:
                weak.append(
                    f"{SLICES[name]}: {group['group']} "
                    f"({percent(ours)} against {percent(theirs)} %, "
                    f"{group['users']:,} users)"
                )
    if not weak:
        return []
    return [
        f"{name_of(rival)} has the higher NDCG in these parts: "
        f"{'; '.join(weak)}."
    ]
