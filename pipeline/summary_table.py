"""Shows a summary as text: what a person reads at the end of a run."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from components.ranking_evaluator import concentration
from components.ranking_evaluator.config import MODEL
from components.ranking_evaluator.words import date, metric_label
from components.splits import LEAK_WARNING, TEMPORAL
from components.targets import label

_SHORT = {"ndcg": "NDCG", "recall": "R", "coverage": "Cov", "mrr": "MRR"}
_ORDER = ("ndcg", "recall", "coverage")


def format_summary(summary: dict[str, Any]) -> str:
    """Returns splits, metrics, blessing and time of a run."""
    parts = [
        f"{_format_splits(summary)}\n{_format_drift(summary['drift'])}",
        format_metrics(summary),
        _format_rival(summary)
        + _format_concentration(summary)
        + _format_blessing(summary),
        _format_timings(summary),
    ]
    return "\n\n".join(parts)


def format_metrics(summary: dict[str, Any]) -> str:
    """Returns one table per target and seen-item rule, in percent.

    The rule that the profile goes by, and the model is served by, is marked.
    """
    metrics = summary["metrics"]
    main = summary["config"]["evaluation"]["seen_items"]
    columns = _columns(metrics)
    models = _best_first(metrics, summary["config"]["evaluation"])
    width = max(map(len, models))
    header = " " * width + "".join(f"{_label(column):>9}" for column in columns)
    lines = [
        f"Test metrics in %, {summary['dataset']}, profile {summary['profile']}"
    ]
    if summary["splits"].get("leaks_future"):
        lines += textwrap.wrap(LEAK_WARNING.upper(), 76)
    lines += _format_targets(summary)
    for target in summary["config"]["evaluation"]["targets"]:
        rules = metrics["model"][target]
        for rule in sorted(rules, key=lambda name: name != main):
            mark = " (main setting)" if rule == main else ""
            lines += ["", f"{label(target)}, seen items {rule}{mark}", header]
            for model in models:
                values = metrics[model][target][rule]
                lines.append(
                    f"{model:<{width}}"
                    + "".join(
                        f"{100 * values[column]:9.2f}" for column in columns
                    )
                )
    return "\n".join(lines)


def _best_first(
    metrics: dict[str, Any], evaluation: dict[str, Any]
) -> list[str]:
    """The model, then the others by NDCG in the main setting."""
    target, seen = evaluation["targets"][0], evaluation["seen_items"]
    name = f"ndcg_at_{min(evaluation['cutoffs'])}"
    return sorted(
        metrics,
        key=lambda model: (model != MODEL, -metrics[model][target][seen][name]),
    )


def _format_targets(summary: dict[str, Any]) -> list[str]:
    """Who is measured on what, and what no model can hit."""
    counts = summary["splits"].get("test", {}).get("targets", {})
    evaluation = summary["config"]["evaluation"]
    dropped = evaluation.get("cold_items") == "dropped"
    fate = "not measured" if dropped else "misses"
    return [
        f"{label(rule):<18}{counts[rule]['users']:>10,} users"
        f"{counts[rule]['targets']:>12,} targets, of these "
        f"{counts[rule]['cold']:,} unknown before the test cut: {fate}"
        for rule in evaluation["targets"]
        if rule in counts
    ]


def _columns(metrics: dict[str, Any]) -> list[str]:
    """NDCG, recall and coverage by cutoff, in the order papers use."""
    names: set[str] = set()
    for targets in metrics.values():
        for rules in targets.values():
            for values in rules.values():
                names.update(values)
    parsed = [
        (int(match.group(2)), _ORDER.index(match.group(1)), name)
        for name in names
        if (match := re.fullmatch(r"(\w+)_at_(\d+)", name))
        and match.group(1) in _ORDER
    ]
    return [name for _, _, name in sorted(parsed)]


def _label(column: str) -> str:
    metric, _, cutoff = column.partition("_at_")
    return f"{_SHORT[metric]}@{cutoff}"


def _format_splits(summary: dict[str, Any]) -> str:
    lines = []
    times = _format_cuts(summary["splits"])
    for name in ("train", "validation", "train_validation", "test"):
        value = summary["splits"].get(name)
        if value:
            lines.append(
                f"{name:<18}{value['users']:>10,} users"
                f"{value['rows']:>12,} rows{times.get(name, '')}"
            )
    for rule, number in summary["splits"].get("excluded", {}).items():
        if number:
            lines.append(f"{rule:<34}{number:>12,} rows in none of them")
    if summary["splits"].get("note"):
        lines.append(summary["splits"]["note"])
    return "\n".join(lines)


def _format_cuts(splits: dict[str, Any]) -> dict[str, str]:
    """Which part ends or begins at a time, where one time holds for all."""
    if splits.get("strategy") != TEMPORAL:
        return {}
    validation_cut, test_cut = (
        date(splits[name]) for name in ("validation_cut", "test_cut")
    )
    return {
        "train": f"  up to {validation_cut}",
        "train_validation": f"  up to {test_cut}",
        "test": f"  after {test_cut}",
    }


def _format_drift(drift: dict[str, Any]) -> str:
    """One line: what is new in the test period, and how much moved."""
    test, shift = drift["periods"]["test"], drift["popularity_shift"]
    if not test["events"]:
        return "Drift: no test events."
    users, items = (
        100 * test[key]["event_share"] for key in ("new_users", "new_items")
    )
    parts = [
        f"{users:.1f} % of the test events by new users, {items:.1f} % of new "
        "items"
    ]
    if "test" in shift:
        top = shift["test"]["top"]
        parts.append(f"{top['shared']} of the top {top['size']} items stayed")
    moved = len(drift["warnings"])
    parts.append(f"{moved} warning{'' if moved == 1 else 's'} in the report")
    return f"Drift: {'; '.join(parts)}"


def _format_rival(summary: dict[str, Any]) -> str:
    """One line: how the model stands to the best baseline."""
    rival = summary["best_baseline"]
    if rival is None:
        return ""
    settings = summary["config"]["evaluation"]
    metric = f"ndcg_at_{min(settings['cutoffs'])}"
    rivals = summary["comparisons"][settings["targets"][0]]
    found = rivals[settings["seen_items"]][rival][metric]
    low, high = found["interval"]
    verdict = "better" if low > 0 else "worse" if high < 0 else "not told apart"
    return (
        f"Beside the best baseline, {rival}: {metric_label(metric)} "
        f"{100 * found['difference']:+.2f} points ({100 * low:+.2f} to "
        f"{100 * high:+.2f}), {verdict}\n"
    )


def _format_concentration(summary: dict[str, Any]) -> str:
    """A warning where nearly all users get the same few items, or ""."""
    settings = summary["config"]["evaluation"]
    line = concentration.sentence(
        summary["metrics"],
        (settings["targets"][0], settings["seen_items"]),
        min(settings["cutoffs"]),
    )
    return textwrap.fill(f"WARNING: {line}", 76) + "\n" if line else ""


def _format_blessing(summary: dict[str, Any]) -> str:
    lines = []
    for check in summary["blessing"]["checks"]:
        verdict = "ok" if check["passed"] else "FAIL"
        line = f"{verdict:<4} {check['check']}"
        if check["value"] is not None:
            line += f": {check['value']:.4f}, required {check['required']:.4f}"
        lines.append(line)
    serving = summary["serving_validation"]
    lines += [
        f"FAIL served: {check['name']}: {check['detail']}"
        for check in serving["checks"]
        if not check["passed"]
    ]
    latency = serving.get("latency_ms")
    if latency:
        lines.append(
            f"Served in a fresh process: p50 {latency['p50']:.1f} ms, p99 "
            f"{latency['p99']:.1f} ms for one request at a time"
        )
    pushed, served = summary["pushed_model"], summary.get("served_model")
    done = summary["blessed"] and serving["passed"]
    if done and served not in (None, pushed):
        lines.append(
            f"Blessed, and pushed before; servers have {served} since, which "
            "`python -m serving.versions list` explains."
        )
    elif done:
        lines.append("Blessed, and pushed to where servers look for it.")
    elif summary["blessed"]:
        lines.append(
            "NOT PUSHED: the model is good enough, but failed as it was "
            "served (serving_validation)."
        )
    else:
        lines.append(
            "NOT BLESSED: the model was not pushed, for it failed the checks "
            "above (evaluation.thresholds)."
        )
    return "\n".join(lines)


def _format_timings(summary: dict[str, Any]) -> str:
    timings = summary["timings"]
    cached = set(summary["cached"])
    spent = ", ".join(
        f"{name} {'cached' if name in cached else f'{seconds:.1f}'}"
        for name, seconds in timings["components"].items()
    )
    return f"Seconds: {spent}; in all {timings['total']:.1f}"
