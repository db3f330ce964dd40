"""The section "Training" of the report: who was trained when, and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.ranking_evaluator.report import plots, training_plots
from models.fitting.parameter_groups import NAMES
from models.fitting.schedule import GRAPH, JOINT, WARMUP

_CAPTIONS = {
    "selection": "Selection: trained on the train events; the best "
    "validation epoch is kept.",
    "refit": "Refit: trained on train and validation for the chosen number "
    "of epochs; this model is measured.",
}
_PHASES = {
    WARMUP: "Warm-up",
    JOINT: "Joint training",
    GRAPH: "Graph tower alone",
}


def section(training: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows.

    Args:
        training: content of the Trainer's training.json.

    Returns:
        `plan`: one row per phase of a fit, its keys the columns; `curves`:
        figures (`svg`, `caption`).
    """
    return {
        "plan": [
            {"fit": fit.capitalize(), **_row(phase)}
            for fit, phases in training.get("plan", {}).items()
            for phase in phases
        ],
        "curves": [
            curve
            for fit, values in training.get("phases", {}).items()
            if values.get("epochs")
            for curve in _curves(fit, values)
        ],
    }


def _row(phase: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "phase": _phase_name(phase),
        "trained": [
            {**_group(group), "rate": _rate(group)}
            for group in phase["trained"]
        ],
        "frozen": [_group(group) for group in phase["frozen"]],
        "weights": [
            f"{loss} {_change(*values)}"
            for loss, values in phase["weights"].items()
        ],
        "planned": _planned(phase["planned"]),
        "done": _done(phase),
    }


def _phase_name(phase: Mapping[str, Any]) -> str:
    if phase["phase"] == JOINT and "global" not in phase["weights"]:
        return "Sequential tower alone"
    return _PHASES[phase["phase"]]


def _group(group: Mapping[str, Any]) -> dict[str, str]:
    return {
        "name": NAMES[group["group"]],
        "parameters": f"{group['parameters']:,}",
    }


def _rate(group: Mapping[str, Any]) -> str:
    """The rate as set, and that of the last step where it was scheduled."""
    rate, last = group["learning_rate"], group["last_learning_rate"]
    # the last one comes back from single precision
    if abs(last - rate) <= 1e-6 * rate:
        return f"{rate:.4g}"
    return f"{rate:.4g} to {last:.2g}"


def _change(first: float, last: float) -> str:
    return f"{first:g}" if first == last else f"{first:g} to {last:.3g}"


def _planned(planned: Mapping[str, Any]) -> str:
    if planned["steps"] is not None:
        return _number(planned["steps"], "step")
    text = _number(planned["epochs"], "epoch")
    if planned["patience"] is None:
        return text
    return f"at most {text}, patience {planned['patience']}"


def _done(phase: Mapping[str, Any]) -> str:
    done = phase["done"]
    text = (
        f"{_number(done['epochs'], 'epoch')}, {_number(done['steps'], 'step')}"
    )
    if phase["ended_by"] == "patience":
        text += "; ended by patience"
    return text


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _curves(fit: str, values: Mapping[str, Any]) -> list[dict[str, str]]:
    """Total loss with validation, and the parts of the loss."""
    epochs: Sequence[Mapping[str, Any]] = values["epochs"]
    seconds = sum(epoch.get("seconds") or 0.0 for epoch in epochs)
    figures = [
        {
            "svg": plots.training_curves(fit, epochs, values.get("best_epoch")),
            "caption": f"{_CAPTIONS.get(fit, fit)} {len(epochs)} epochs, "
            f"{seconds:,.0f} seconds.",
        }
    ]
    svg = training_plots.parts(fit, epochs)
    if svg is not None:
        figures.append({"svg": svg, "caption": _parts_caption(fit, epochs)})
    return figures


def _parts_caption(fit: str, epochs: Sequence[Mapping[str, Any]]) -> str:
    text = f"{fit.capitalize()}: parts of the loss before weighting"
    shares = [e["clipped_share"] for e in epochs if "clipped_share" in e]
    if not shares:
        return f"{text}."
    mean = 100 * sum(shares) / len(shares)
    return (
        f"{text}, and the mean length of the gradient before clipping; "
        f"{mean:.0f} % of the steps were clipped (mean over epochs)."
    )
