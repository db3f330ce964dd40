"""Results of a study: one small JSON file per run, tables and plots of all."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from benchmarks.experiments import paired
from benchmarks.experiments.study import Run, StudyConfig, runs

RESULTS = Path(__file__).parents[1] / "results" / "experiments"
_COLORS = ("#3b82c4", "#d9730d")


def read(folder: Path, run: Run) -> dict[str, Any] | None:
    """The result of a run, None where there is none."""
    path = folder / run.file_name
    return json.loads(path.read_text()) if path.exists() else None


def of_other_studies(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name of the study and result of every run beside this study's.

    Args:
        folder: of this study.
    """
    for path in sorted(folder.parent.glob("*/*.json")):
        if path.parent != folder:
            yield path.parent.name, json.loads(path.read_text())


def write(folder: Path, run: Run, content: dict[str, Any]) -> None:
    """Keeps the result of a run; a kill leaves no half of it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / run.file_name
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    temporary.replace(path)


def page(name: str, study: StudyConfig, folder: Path) -> str:
    """The study as Markdown: a table per dataset, beside the paper's values.

    Figures are percent on test: mean and standard deviation over seeds; in
    brackets the 95 % interval over users, of the first seed. Where results
    have them, the same without the items that a user has seen, or with them,
    follows: protocols differ in it.
    """
    lines = [f"# {study.title}", ""]
    lines += [f"    python -m benchmarks.experiments {name}", ""]
    if study.mean:
        lines += _means(study, folder)
    for dataset in study.datasets:
        found = {
            run: result
            for run in runs(study)
            if run.dataset == dataset
            and (result := read(folder, run)) is not None
        }
        rows = list(
            dict.fromkeys(r.row for r in runs(study) if r.dataset == dataset)
        )
        lines += [f"## {dataset}", "", *_tables(study, dataset, rows, found)]
        others = {
            run: result["other_seen"]
            for run, result in found.items()
            if "other_seen" in result
        }
        if others:
            # One way for all: a study has one configuration per dataset.
            (seen,) = {result["seen_items"] for result in others.values()}
            lines += [f"The same runs with seen items {seen}:", ""]
            measured = {run.row for run in others}
            shown = [row for row in rows if row in measured]
            lines += _tables(study, dataset, shown, others)
    if study.vary is not None:
        lines += [f"![{study.vary.label}]({name}.svg)", ""]
    if study.source:
        lines += [f"*Paper*: {study.source}.", ""]
    if study.reading:
        lines += [study.reading.strip(), ""]
    return "\n".join(lines)


def _tables(
    study: StudyConfig,
    dataset: str,
    rows: Sequence[str],
    found: Mapping[Run, Mapping[str, Any]],
) -> list[str]:
    """The table of a dataset's results, and of differences if asked for."""
    first = study.vary.label if study.vary else "model"
    head = [first, "seeds"]
    head += [metric.replace("_at_", "@") for metric in study.metrics]
    lines = [_row(head), _row(["---"] * len(head))]
    for row in rows:
        metrics = [r["metrics"] for run, r in found.items() if run.row == row]
        cells = [_cell(metrics, metric) for metric in study.metrics]
        lines.append(_row([row, str(len(metrics)), *cells]))
        paper = study.paper.get(dataset, {}).get(row)
        if paper:
            values = [
                f"*{paper[m]:.2f}*" if m in paper else "" for m in study.metrics
            ]
            lines.append(_row([f"*{row}, paper*", "", *values]))
    lines += [""]
    if study.paired_with is not None:
        lines += _differences(study, study.paired_with, found)
    return lines


def _differences(
    study: StudyConfig, rival: str, found: Mapping[Run, Mapping[str, Any]]
) -> list[str]:
    """A table of differences to one row, empty without ranks of both."""
    of_row: dict[str, dict[int, Mapping[str, Any]]] = {}
    for run, result in found.items():
        of_row.setdefault(run.row, {})[run.seed] = result
    rivals = of_row.pop(rival, {})
    lines, head = [], ["model", "seeds"]
    for row, own in of_row.items():
        seeds, differences = paired.compare(own, rivals, study.metrics)
        if not seeds:
            continue
        if not lines:
            head += [metric.replace("_at_", "@") for metric in differences]
            lines = [
                f"Less {rival}, user by user (means over seeds "
                "and, in brackets, 95 % intervals over users):",
                "",
                _row(head),
                _row(["---"] * len(head)),
            ]
        cells = [
            f"{100 * mean:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
            for mean, low, high in differences.values()
        ]
        lines.append(_row([row, str(len(seeds)), *cells]))
    return [*lines, ""] if lines else []


def _means(study: StudyConfig, folder: Path) -> list[str]:
    """A table of means over the datasets that all have a result of a model."""
    head = ["model", "runs"]
    head += [metric.replace("_at_", "@") for metric in study.metrics]
    lines = ["## Mean", "", _row(head), _row(["---"] * len(head))]
    for row in dict.fromkeys(run.row for run in runs(study)):
        found: dict[str, list[dict[str, Any]]] = {d: [] for d in study.datasets}
        for run in runs(study):
            result = read(folder, run)
            if run.row == row and result is not None:
                found[run.dataset].append(result["metrics"])
        if not all(found.values()):
            continue
        values = [
            statistics.mean(
                statistics.mean(m[metric] for m in seeds)
                for seeds in found.values()
            )
            for metric in study.metrics
        ]
        count = sum(map(len, found.values()))
        cells = [f"{100.0 * value:.2f}" for value in values]
        lines.append(_row([row, str(count), *cells]))
    return [*lines, ""]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(found: list[dict[str, Any]], metric: str) -> str:
    values = [100.0 * metrics[metric] for metrics in found]
    if not values:
        return "–"
    text = f"{statistics.mean(values):.2f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values):.2f}"
    interval = found[0].get("intervals", {}).get(metric)
    if interval:
        low, high = (100.0 * end for end in interval)
        text += f" [{low:.2f}, {high:.2f}]"
    return text


def plot(study: StudyConfig, folder: Path) -> Figure | None:
    """NDCG@10 over the varied setting, ours beside the paper's.

    None where nothing is varied. Points are means over seeds, bars the
    standard deviation.
    """
    if study.vary is None:
        return None
    metric = study.metrics[0]
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure = Figure(
            figsize=(5.6 * len(study.datasets), 3.4), layout="constrained"
        )
        panels = figure.subplots(1, len(study.datasets), squeeze=False)[0]
        for axes, dataset in zip(panels, study.datasets, strict=True):
            for label, color, points in (
                ("ours", _COLORS[0], _ours(study, dataset, folder, metric)),
                ("paper", _COLORS[1], _papers(study, dataset, metric)),
            ):
                if points:
                    x, y, error = zip(*points, strict=True)
                    axes.errorbar(
                        x, y, error, fmt="o-", color=color, label=label
                    )
            axes.set_title(dataset)
            axes.set_xlabel(study.vary.label)
            axes.set_ylabel(f"{metric.replace('_at_', '@')}, %")
            axes.legend()
    return figure


def _ours(
    study: StudyConfig, dataset: str, folder: Path, metric: str
) -> list[tuple[float, float, float]]:
    assert study.vary is not None
    points = []
    for value in study.vary.values:
        found = [
            100.0 * result["metrics"][metric]
            for run in runs(study)
            if (run.dataset, run.row) == (dataset, str(value))
            and (result := read(folder, run)) is not None
        ]
        if found:
            spread = statistics.stdev(found) if len(found) > 1 else 0.0
            points.append((float(value), statistics.mean(found), spread))
    return points


def _papers(
    study: StudyConfig, dataset: str, metric: str
) -> list[tuple[float, float, float]]:
    return [
        (float(row), values[metric], 0.0)
        for row, values in study.paper.get(dataset, {}).items()
        if metric in values
    ]
