"""The pictures of "Periods and drift"."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.dates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.event_parts import PERIODS
from components.ranking_evaluator.report.plots import INK, STYLE, to_svg

_COLORS = {"train": "#3b82c4", "validation": "#d9730d", "test": "#2b9a66"}
_BOTH = "#8a8f98"
_ITEMS, _USERS = "#b3568f", "#7a6fd0"
_DAY_SECONDS = 86_400
_BAR = 0.27


class _Picture:
    """Axes to draw on, and the SVG once the drawing is done."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.svg = ""


@contextlib.contextmanager
def _picture(name: str, height: float = 3.0) -> Iterator[_Picture]:
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": f"drift-{name}"}):
        figure = Figure(figsize=(5.6, height), layout="constrained")
        picture = _Picture(figure.add_subplot())
        yield picture
        picture.svg = to_svg(figure)


def activity(data: Mapping[str, Any], cuts: Sequence[int]) -> str:
    """Events per day over time, stacked by period.

    Args:
        data: `pictures.activity` of drift.json.
        cuts: unix seconds; marked where they lie within the data.
    """
    starts = np.array(data["starts"])
    edges = np.append(starts, starts[-1] + data["width"])
    with _picture("activity") as picture:
        axes, floor = picture.axes, np.zeros(len(starts))
        for period in PERIODS:
            top = floor + data["periods"][period]
            axes.stairs(
                top,
                edges,
                baseline=floor,
                fill=True,
                color=_COLORS[period],
                label=period,
                lw=0,
            )
            floor = top
        axes.set_ylabel("events per day")
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.set_ylim(bottom=0)
        _time_axis(axes, edges, cuts)
        _legend(axes)
    return picture.svg


def newcomers(data: Mapping[str, Any], cuts: Sequence[int]) -> str:
    """Share of the events by new users and of new items over time.

    Args:
        data: `pictures.newcomers` of drift.json.
        cuts: unix seconds; marked where they lie within the data.
    """
    bounds = []
    with _picture("newcomers") as picture:
        axes = picture.axes
        for number, values in enumerate(data["periods"].values()):
            edges = np.array(values["edges"])
            bounds += [edges[0], edges[-1]]
            for key, color, label in (
                ("new_users", _USERS, "by new users"),
                ("new_items", _ITEMS, "of new items"),
            ):
                # None where a bin has no event at all: a gap in the line.
                shares = np.array(values[key], dtype=float)
                axes.stairs(
                    100 * shares,
                    edges,
                    baseline=None,
                    color=color,
                    lw=1.8,
                    label=None if number else label,
                )
        axes.set_ylabel("events, %")
        axes.set_ylim(bottom=0)
        _time_axis(axes, np.sort(bounds), cuts)
        _legend(axes)
    return picture.svg


def popularity(data: Mapping[str, Any]) -> str:
    """Items' shares of the events, train against test, on log axes.

    Args:
        data: `pictures.popularity` of drift.json.
    """
    before, after = (100 * np.array(data[name]) for name in ("train", "test"))
    items = np.array(data["items"])
    size = 6 + 90 * np.sqrt(items / items.max())
    known = np.concatenate([before[before > 0], after[after > 0]])
    # Items of one period only stand before the lowest share of any.
    absent = known.min() / 3
    with _picture("popularity", 3.9) as picture:
        axes = picture.axes
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.axline((1e-3, 1e-3), (1, 1), color=INK, lw=0.8, ls=":")
        for chosen, color, label in (
            ((before > 0) & (after > 0), _BOTH, "in both"),
            (before == 0, _COLORS["test"], "only in test"),
            (after == 0, _COLORS["train"], "only in train"),
        ):
            if not chosen.any():
                continue
            axes.scatter(
                np.maximum(before[chosen], absent),
                np.maximum(after[chosen], absent),
                size[chosen],
                color=color,
                alpha=0.7,
                lw=0,
            )
            # Of one size in the legend, whatever the first dot's is.
            axes.scatter([], [], 30, color=color, lw=0, label=label)
        axes.set_xlabel("share of the train events, %")
        axes.set_ylabel("share of the test events, %")
        _legend(axes)
    return picture.svg


def shares(name: str, data: Mapping[str, Any]) -> str:
    """Shares of the events by bucket, the periods side by side.

    Args:
        name: of the feature.
        data: its entry in `pictures.shares` of drift.json.
    """
    names, place = data["names"], np.arange(len(data["names"]))
    with _picture(name) as picture:
        axes = picture.axes
        for number, period in enumerate(PERIODS):
            values = data["periods"][period]
            if values is None:
                continue
            axes.bar(
                place + (number - 1) * _BAR,
                100 * np.array(values),
                _BAR,
                color=_COLORS[period],
                label=period,
            )
        axes.set_ylabel("events, %")
        long = max(map(len, names)) > 3
        every = 3 if len(names) > 12 else 1
        axes.set_xticks(
            place[::every],
            names[::every],
            rotation=40 if long else 0,
            ha="right" if long else "center",
            rotation_mode="anchor",
        )
        _legend(axes)
    return picture.svg


def _time_axis(axes: Axes, edges: np.ndarray, cuts: Sequence[int]) -> None:
    """Dates below days since 1970, and the cuts as dotted lines."""
    locator = matplotlib.dates.AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        matplotlib.dates.ConciseDateFormatter(locator)
    )
    axes.set_xlim(edges[0], edges[-1])
    days = [cut / _DAY_SECONDS for cut in cuts]
    shown = [day for day in days if edges[0] <= day <= edges[-1]]
    for number, day in enumerate(shown):
        label = None if number else "cut"
        axes.axvline(day, color=INK, lw=1, ls=":", label=label)


def _legend(axes: Axes) -> None:
    axes.figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside upper left",
        ncols=4,
        frameon=False,
        handlelength=1.2,
        columnspacing=1.2,
    )
