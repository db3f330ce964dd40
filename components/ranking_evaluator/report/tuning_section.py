"""The search for settings in the report: what was tried, what mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from components.ranking_evaluator.report.plots import (
    STYLE,
    to_svg,
    whole_numbers,
)

_TRIAL, _BEST = "#3b82c4", "#d9730d"
_SHOWN = 5


def section(search: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What the template shows, one entry per stage.

    Args:
        search: `tuning` of the Trainer's training.json; None without Tuner.

    Returns:
        `name`; `counts`, a sentence; `best`, (setting, value) pairs;
        `trials`, the best few as (number, NDCG@10 in %, settings);
        `figures` (`svg`, `caption`).
    """
    return [_stage(stage) for stage in search["stages"]] if search else []


def _stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    trials = stage["trials"]
    trained = [trial for trial in trials if trial["value"] is not None]
    top = sorted(trained, key=lambda trial: -trial["value"])[:_SHOWN]
    figures = [
        {
            "svg": _history(stage["name"], trained),
            "caption": "Validation NDCG@10 of each trial, and the best so far.",
        }
    ]
    if stage["importances"]:
        figures.append(
            {
                "svg": _importances(stage["name"], stage["importances"]),
                "caption": "Share of each setting in how the trials differ "
                "(PED-ANOVA).",
            }
        )
    return {
        "name": stage["name"],
        "counts": _counts(trials),
        "best": [
            (name, _text(value))
            for name, value in stage["best"]["parameters"].items()
        ],
        "trials": [
            (
                trial["number"],
                f"{100 * trial['value']:.2f}",
                ", ".join(
                    f"{name.rpartition('.')[2]} {_text(value)}"
                    for name, value in trial["parameters"].items()
                ),
            )
            for trial in top
        ],
        "figures": figures,
    }


def _counts(trials: Sequence[Mapping[str, Any]]) -> str:
    states = [trial["state"] for trial in trials]
    minutes = sum(trial["seconds"] for trial in trials) / 60.0
    parts = [
        f"{states.count(state)} {words}"
        for state, words in (
            ("complete", "complete"),
            ("pruned", "stopped early"),
            ("failed", "failed"),
        )
        if states.count(state)
    ]
    number = f"{len(trials)} trial{'' if len(trials) == 1 else 's'}"
    return f"{number} ({', '.join(parts)}), {minutes:.1f} minutes of training."


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _history(name: str, trained: Sequence[Mapping[str, Any]]) -> str:
    numbers = [trial["number"] for trial in trained]
    values = [100.0 * trial["value"] for trial in trained]
    best = [max(values[: index + 1]) for index in range(len(values))]
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": f"{name}-trials"}):
        figure = Figure(figsize=(5.6, 2.6), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(numbers, values, "o", color=_TRIAL, markersize=4)
        axes.step(numbers, best, where="post", color=_BEST)
        axes.set_xlabel("trial")
        axes.set_ylabel("NDCG@10, %")
        whole_numbers(axes.xaxis)
        return to_svg(figure)


def _importances(name: str, importances: Mapping[str, float]) -> str:
    names = sorted(importances, key=lambda key: importances[key])
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": f"{name}-shares"}):
        size = (5.6, 0.35 * len(names) + 0.8)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.barh(
            [key.rpartition(".")[2] for key in names],
            [importances[key] for key in names],
            color=_TRIAL,
        )
        axes.set_xlabel("share")
        axes.set_xlim(0, 1)
        return to_svg(figure)
