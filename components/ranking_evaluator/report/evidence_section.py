"""The sections of the report on rivals and slices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.ranking_evaluator.config import MODEL
from components.ranking_evaluator.report import evidence_plots
from components.ranking_evaluator.words import (
    SLICES,
    date,
    metric_label,
    name_of,
    percent,
    signed,
    where_known,
)


def section(
    evaluation: Mapping[str, Any], main: tuple[str, str], cutoff: int
) -> dict[str, Any]:
    """What the template shows of comparisons and slices.

    Args:
        evaluation: content of metrics.json.
        main: target rule and seen setting.
        cutoff: K of the metrics shown.

    Returns:
        `metric`, `rows` (a rival each), `figure` or None, `slices` (name,
        figure, rows) and `others`, a sentence for each compared model.
    """
    rule, seen = main
    metric = f"ndcg_at_{cutoff}"
    rivals = evaluation["comparisons"][rule][seen]
    # From the nearest rival to the farthest.
    pairs = sorted(
        ((name_of(name), found[metric]) for name, found in rivals.items()),
        key=lambda pair: pair[1]["difference"],
    )
    return {
        "metric": metric_label(metric),
        "rows": [_row(name, found) for name, found in pairs],
        "figure": evidence_plots.differences(pairs) if pairs else None,
        "slices": [
            _slice(name, groups, evaluation, metric)
            for name, groups in evaluation["slices"][rule].items()
            if len(groups) > 1
        ],
        "others": [
            _other(name, facts, where_known(evaluation["splits"]))
            for name, facts in evaluation["compared"].items()
        ],
    }


def _row(name: str, found: Mapping[str, Any]) -> dict[str, str]:
    low, high = found["interval"]
    return {
        "name": name,
        "difference": signed(found["difference"]),
        "interval": f"{signed(low)} to {signed(high)}",
        "state": "pass" if low > 0 else "fail" if high < 0 else "",
        "better": f"{100 * found['better']:.1f}",
        "worse": f"{100 * found['worse']:.1f}",
    }


def _slice(
    name: str, groups: Any, evaluation: Mapping[str, Any], metric: str
) -> dict[str, Any]:
    rival = evaluation["best_baseline"]
    models = [MODEL, *([rival] if rival else [])]
    return {
        "name": SLICES[name],
        "models": [name_of(model) for model in models],
        "rows": [
            {
                "group": group["group"],
                "users": group["users"],
                "interval": [
                    percent(v)
                    for v in group["metrics"][MODEL]["intervals"][metric]
                ],
                "values": [
                    percent(group["metrics"][model][metric]) for model in models
                ],
            }
            for group in groups
        ],
        "figure": evidence_plots.groups(
            name,
            groups,
            metric,
            rival,
            (name_of(MODEL), name_of(rival) if rival else ""),
        ),
    }


def _other(name: str, facts: Mapping[str, Any], known: str) -> str:
    until = facts["fitted_until"]
    learned = "does not say up to when it has learned"
    if until is not None:
        learned = f"has learned from events up to {date(until)}"
    return (
        f"{name_of(name)} ({facts['directory']}) knows {facts['num_items']:,} "
        f"items, {100 * facts['known_share']:.0f} % of what the test users "
        f"had {known}, and {learned}."
    )
