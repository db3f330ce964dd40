"""Is the model good enough to be served? Checks in numbers and words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.ranking_evaluator.config import (
    MODEL,
    SERVED,
    EvaluationConfig,
    ThresholdConfig,
)
from components.ranking_evaluator.words import metric_label
from components.targets import label


def bless(
    metrics: Mapping[str, Any],
    config: EvaluationConfig,
    leaks_future: bool = False,
) -> dict[str, Any]:
    """Checks the model's metrics in the main setting of the profile.

    Args:
        metrics: model name to target rule to seen setting to metrics.
        config: thresholds, and which seen setting is the main one.
        leaks_future: whether the model has learned from events after those
            it was tested on; such metrics bless nothing.

    Returns:
        {"blessed": bool, "checks": [{"check", "value", "required",
        "passed"}]}; value and required are None where a check is about no
        metric. Without any threshold the model is not blessed: nobody
        has said what is good enough.
    """
    checks = []
    for threshold in config.thresholds:
        checks += _checks(metrics, threshold, config)
    if not checks:
        checks.append(
            _failed("`evaluation.thresholds` names at least one condition")
        )
    if leaks_future:
        checks.append(
            _failed(
                "the metrics do not leak the future, as those of "
                "`split.strategy: leave_one_out` do"
            )
        )
    return {"blessed": all(c["passed"] for c in checks), "checks": checks}


def _checks(
    metrics: Mapping[str, Any],
    threshold: ThresholdConfig,
    config: EvaluationConfig,
) -> list[dict[str, Any]]:
    seen = config.seen_items
    value = metrics[MODEL][threshold.target][seen][threshold.metric]
    name = metric_label(threshold.metric)
    name = f"{name} ({label(threshold.target)}, seen items {seen})"
    checks = []
    if value <= 0:
        # As good as a baseline that finds nothing either is not good enough.
        checks.append(
            {
                "check": f"{name} is above zero",
                "value": value,
                "required": 0.0,
                "passed": False,
            }
        )
    if threshold.min_value > 0:
        checks.append(
            _at_least(f"{name} reaches the minimum", value, threshold.min_value)
        )
    if threshold.min_ratio_to_baseline > 0:
        if config.compare_with.get(threshold.baseline) == SERVED and (
            threshold.baseline not in metrics
        ):
            return [
                *checks,
                _at_least(
                    f"{name} has no {threshold.baseline} to be compared with: "
                    "no other model has been pushed yet",
                    value,
                    0.0,
                ),
            ]
        baseline = metrics[threshold.baseline][threshold.target][seen]
        ratio = threshold.min_ratio_to_baseline
        checks.append(
            _at_least(
                f"{name} is {_at_least_times(ratio)} {threshold.baseline}",
                value,
                ratio * baseline[threshold.metric],
            )
        )
    return checks


def _at_least_times(ratio: float) -> str:
    if ratio == 1:
        return "not below that of"
    return f"at least {ratio:g} times that of"


def _failed(check: str) -> dict[str, Any]:
    return {"check": check, "value": None, "required": None, "passed": False}


def _at_least(check: str, value: float, required: float) -> dict[str, Any]:
    return {
        "check": check,
        "value": value,
        "required": required,
        "passed": bool(value >= required),
    }
