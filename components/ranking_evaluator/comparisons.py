"""The model against each rival, user by user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.ranking_evaluator import measures
from components.ranking_evaluator.config import MODEL, EvaluationConfig
from components.ranking_evaluator.measures import Settings
from components.targets import Targets
from models.metrics.bootstrap import column_intervals


def compare(
    rankings: Mapping[str, Settings],
    targets: Mapping[str, Targets],
    config: EvaluationConfig,
) -> dict[str, Any]:
    """Differences of the model's metrics to those of all others.

    Args:
        rankings: of the model, baselines and compared models, by name, on
            the same targets.
        targets: target rule to what was ranked.
        config: cutoffs, samples and seed of the bootstrap.

    Returns:
        Target rule to seen setting to rival to metric to `difference` (model
        minus rival, mean over users), `interval` (95 %, paired bootstrap over
        users), `better` and `worse` (shares of the users).
    """
    result: dict[str, Any] = {}
    for rule, chosen in targets.items():
        seen_settings = [s for r, s in rankings[MODEL] if r == rule]
        places, columns = [], []
        for seen in seen_settings:
            values = {
                name: measures.user_values(
                    settings[rule, seen].ranks, rule, chosen, config.cutoffs
                )
                for name, settings in rankings.items()
            }
            own = values.pop(MODEL)
            for rival, of_rival in values.items():
                for metric, value in of_rival.items():
                    places.append((seen, rival, metric))
                    columns.append(own[metric] - value)
        found: dict[str, Any] = {seen: {} for seen in seen_settings}
        for (seen, rival, metric), summary in zip(
            places, _summaries(columns, config), strict=True
        ):
            found[seen].setdefault(rival, {})[metric] = summary
        result[rule] = found
    return result


def best(
    metrics: Mapping[str, Any], names: Sequence[str], config: EvaluationConfig
) -> str | None:
    """Of `names` the one with the best NDCG in the main setting, if any.

    Args:
        metrics: model name to target rule to seen setting to metrics.
        names: of models; the first of equal ones.
        config: says what is the main setting; the smallest cutoff counts.
    """
    metric = f"ndcg_at_{min(config.cutoffs)}"
    rule, seen = config.targets[0], config.seen_items
    return max(
        names,
        key=lambda name: metrics[name][rule][seen][metric],
        default=None,
    )


def _summaries(
    columns: list[np.ndarray], config: EvaluationConfig
) -> list[dict[str, Any]]:
    """One for each [num_users] differences."""
    if not columns:
        return []
    differences = np.stack(columns, axis=1)
    low, high = column_intervals(
        differences, config.bootstrap_samples, config.seed
    )
    return [
        {
            "difference": float(differences[:, column].mean()),
            "interval": [float(low[column]), float(high[column])],
            "better": float((differences[:, column] > 0).mean()),
            "worse": float((differences[:, column] < 0).mean()),
        }
        for column in range(len(columns))
    ]
