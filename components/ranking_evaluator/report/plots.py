"""Pictures as inline SVG that follow light and dark mode; training curves."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

# Drawn in this colour, then replaced by the text colour of the page.
INK = "#010203"
_LOSS = "#3b82c4"
_METRIC = "#d9730d"

STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.labelcolor": INK,
}


def training_curves(
    name: str,
    epochs: Sequence[Mapping[str, Any]],
    best_epoch: int | None = None,
) -> str:
    """Total loss and validation NDCG@10 over epochs, as the paper's Figure 2.

    Args:
        name: keeps the ids of several figures on a page apart.
        epochs: of training.json: `epoch`, `phase`, `loss` and
            `validation_ndcg_at_10` (None or missing where not validated).
        best_epoch: is marked; None marks nothing.

    Returns:
        An <svg> element without a fixed size.
    """
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(5.6, 3.2), layout="constrained")
        axes = figure.add_subplot()
        _shade_warmup(axes, epochs)
        numbers = [e["epoch"] for e in epochs]
        marker = "o" if len(numbers) == 1 else None
        axes.plot(
            numbers, [e["loss"] for e in epochs], color=_LOSS, marker=marker
        )
        axes.set_xlabel("epoch")
        axes.set_ylabel("total loss", color=_LOSS)
        axes.tick_params(axis="y", colors=_LOSS)
        whole_numbers(axes.xaxis)
        _plot_metric(axes, epochs, best_epoch)
        return to_svg(figure)


def whole_numbers(axis: Axis) -> None:
    """Only whole numbers on an axis, also where there is one only."""
    axis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def to_svg(figure: Figure) -> str:
    """An <svg> element; call it within the style the figure was drawn in."""
    buffer = io.StringIO()
    figure.savefig(
        buffer,
        format="svg",
        transparent=True,
        metadata={"Date": None, "Creator": None},
    )
    return _inline(buffer.getvalue())


def _shade_warmup(axes: Axes, epochs: Sequence[Mapping[str, Any]]) -> None:
    warmup = [e["epoch"] for e in epochs if e.get("phase") == "warmup"]
    if not warmup:
        return
    axes.axvspan(
        warmup[0] - 0.5, warmup[-1] + 0.5, color="#808080", alpha=0.2, lw=0
    )
    axes.text(
        (warmup[0] + warmup[-1]) / 2,
        1.0,
        "warm-up",
        ha="center",
        va="bottom",
        transform=axes.get_xaxis_transform(),
    )


def _plot_metric(
    axes: Axes, epochs: Sequence[Mapping[str, Any]], best_epoch: int | None
) -> None:
    points = [
        (e["epoch"], 100 * e["validation_ndcg_at_10"])
        for e in epochs
        if e.get("validation_ndcg_at_10") is not None
    ]
    if not points:
        return
    right = axes.twinx()
    right.spines["right"].set_visible(True)
    right.plot(*zip(*points, strict=True), color=_METRIC)
    right.set_ylabel("validation NDCG@10, %", color=_METRIC)
    right.tick_params(axis="y", colors=_METRIC)
    right.set_ylim(bottom=0)
    value = dict(points).get(best_epoch)
    if best_epoch is None or value is None:
        return
    axes.axvline(best_epoch, color=INK, lw=0.8, ls=":")
    right.plot(best_epoch, value, "o", color=_METRIC)
    right.annotate(
        f"epoch {best_epoch}: {value:.2f} %",
        (best_epoch, value),
        textcoords="offset points",
        xytext=(0, 7),
        ha=_towards_the_middle(best_epoch, [e["epoch"] for e in epochs]),
    )
    right.margins(y=0.15)
    right.set_ylim(0, max(v for _, v in points) * 1.2 or 1.0)


def _towards_the_middle(place: int, places: Sequence[int]) -> str:
    """Where a text at one of the places on an axis stands to stay inside."""
    third = (places[-1] - places[0]) / 3
    if place > places[-1] - third:
        return "right"
    return "left" if place < places[0] + third else "center"


def _inline(svg: str) -> str:
    """Only the <svg> element; size from the page, ink from its text."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1, flags=re.DOTALL
    )
    svg = re.sub(
        r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1, flags=re.DOTALL
    )
    # matplotlib numbers its groups the same way in every figure; what is
    # referred to (clip paths, markers) is named by the hash salt.
    svg = re.sub(r'<g id="[\w.]+"', "<g", svg)
    return svg.replace(INK, "currentColor").strip()
