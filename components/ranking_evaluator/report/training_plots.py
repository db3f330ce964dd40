"""Training by part of the loss: what each part did, beside the total."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.ranking_evaluator.report.plots import (
    STYLE,
    to_svg,
    whole_numbers,
)

# Parts of the loss in the order of eq. 5, then the gradient.
_COLORS = {
    "local": "#3b82c4",
    "global": "#2a9d6f",
    "alignment": "#a0569e",
    "gradient": "#808080",
}
_PANEL_INCHES = 1.25


def parts(name: str, epochs: Sequence[Mapping[str, Any]]) -> str | None:
    """Each part of the loss over epochs, unweighted, in a panel of its own.

    Args:
        name: keeps the ids of several figures on a page apart.
        epochs: of training.json: `epoch`, `phase`, `losses`, `gradient_norm`.

    Returns:
        An <svg> element without a fixed size, None where no part was
        recorded. A part is drawn where it was trained.
    """
    series = {
        label: points for label in _COLORS if (points := _points(label, epochs))
    }
    if not series:
        return None
    size = (5.6, _PANEL_INCHES * len(series) + 0.5)
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": f"{name}-parts"}):
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(series), sharex=True, squeeze=False)
        for axes, (label, points) in zip(
            panels[:, 0], series.items(), strict=True
        ):
            _panel(axes, label, points)
            _mark_switch(axes, epochs)
        panels[-1, 0].set_xlabel("epoch")
        whole_numbers(panels[-1, 0].xaxis)
        return to_svg(figure)


def _points(
    label: str, epochs: Sequence[Mapping[str, Any]]
) -> list[tuple[int, float]]:
    """(epoch, value) where the part was trained."""
    if label == "gradient":
        return [
            (e["epoch"], e["gradient_norm"])
            for e in epochs
            if e.get("gradient_norm") is not None
        ]
    return [
        (e["epoch"], e["losses"][label])
        # what a phase does not train is exactly 0
        for e in epochs
        if e.get("losses", {}).get(label, 0.0) != 0.0
    ]


def _panel(axes: Axes, label: str, points: list[tuple[int, float]]) -> None:
    marker = "o" if len(points) == 1 else None
    axes.plot(*zip(*points, strict=True), color=_COLORS[label], marker=marker)
    axes.set_ylabel(label, color=_COLORS[label])
    axes.tick_params(axis="y", colors=_COLORS[label])


def _mark_switch(axes: Axes, epochs: Sequence[Mapping[str, Any]]) -> None:
    warmup = [e["epoch"] for e in epochs if e.get("phase") == "warmup"]
    if warmup:
        axes.axvspan(
            warmup[0] - 0.5, warmup[-1] + 0.5, color="#808080", alpha=0.2, lw=0
        )
