"""Pictures of differences to rivals and of slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from components.ranking_evaluator.report.plots import INK, STYLE, to_svg

_MODEL, _RIVAL, _WORSE = "#3b82c4", "#d9730d", "#c2413a"
_SAME = "#8a8f98"


def differences(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The model's lead over each rival, with intervals, zero marked.

    Args:
        rows: name and comparison (`difference`, `interval`) as fractions.

    Returns:
        An <svg> element without a fixed size.
    """
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "differences"}):
        figure = Figure(figsize=(5.6, 0.9 + 0.34 * len(rows)))
        figure.set_layout_engine("constrained")
        axes = figure.add_subplot()
        for place, (_, found) in enumerate(rows):
            low, high = (100 * value for value in found["interval"])
            color = _MODEL if low > 0 else _WORSE if high < 0 else _SAME
            axes.plot([low, high], [place, place], color=color, lw=2.5)
            axes.plot(100 * found["difference"], place, "o", color=color)
        axes.axvline(0.0, color=INK, lw=0.8, ls=":")
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel("percentage points")
        return to_svg(figure)


def groups(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    metric: str,
    rival: str | None,
    labels: tuple[str, str],
) -> str:
    """One slice: the model with intervals, and the best baseline.

    Args:
        name: keeps the ids of several figures on a page apart.
        rows: groups as in metrics.json.
        metric: that is shown.
        rival: name of the baseline, or None.
        labels: of the model and of the baseline.

    Returns:
        An <svg> element without a fixed size.
    """
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": f"slice-{name}"}):
        figure = Figure(figsize=(5.6, 1.3 + 0.4 * len(rows)))
        figure.set_layout_engine("constrained")
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            ours = row["metrics"]["model"]
            low, high = (100 * v for v in ours["intervals"][metric])
            axes.plot([low, high], [place, place], color=_MODEL, lw=2.5)
            axes.plot(
                100 * ours[metric],
                place,
                "o",
                color=_MODEL,
                clip_on=False,
                label=labels[0] if not place else None,
            )
            if rival is not None:
                axes.plot(
                    100 * row["metrics"][rival][metric],
                    place,
                    "D",
                    color=_RIVAL,
                    ms=5,
                    clip_on=False,
                    label=labels[1] if not place else None,
                )
        axes.set_yticks(
            range(len(rows)),
            [f"{row['group']}\n{row['users']:,} users" for row in rows],
        )
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("NDCG, %")
        figure.legend(loc="outside upper left", ncols=2, frameon=False)
        return to_svg(figure)
