"""The tables of metrics in the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.ranking_evaluator.words import metric_label, name_of, percent
from components.targets import label


def _ordered(metrics: Mapping[str, Any]) -> list[str]:
    """Metric names by cutoff, NDCG, Recall, Coverage, MRR."""
    kinds = ["ndcg", "recall", "coverage", "mrr"]

    def key(name: str) -> tuple[int, int]:
        kind, cutoff = name.split("_at_")
        return (kinds.index(kind) == 3, int(cutoff) * 10 + kinds.index(kind))

    return sorted((m for m in metrics if m != "intervals"), key=key)


def tables(
    metrics: Mapping[str, Any], main: tuple[str, str]
) -> list[dict[str, Any]]:
    """One table per target rule and seen setting, the main one first."""
    pairs = [(t, s) for t, by_seen in metrics["model"].items() for s in by_seen]
    pairs.sort(key=lambda pair: (pair[0] != main[0], pair[1] != main[1]))
    return [
        {
            "target": label(target),
            "seen": seen,
            "main": (target, seen) == main,
            **_table({m: v[target][seen] for m, v in metrics.items()}),
        }
        for target, seen in pairs
    ]


def _table(by_model: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    columns = _ordered(by_model["model"])
    best = {
        c: max(v[c] for v in by_model.values())
        for c in columns
        # Random covers nearly everything: no achievement.
        if not c.startswith("coverage")
    }
    rows = []
    for model, values in by_model.items():
        cells = []
        for column in columns:
            interval = values["intervals"].get(column)
            cells.append(
                {
                    "value": percent(values[column]),
                    "interval": interval and [percent(v) for v in interval],
                    "best": values[column] == best.get(column),
                }
            )
        rows.append({"name": name_of(model), "cells": cells})
    return {"columns": [metric_label(c) for c in columns], "rows": rows}
