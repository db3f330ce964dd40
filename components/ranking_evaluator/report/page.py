"""The evaluation as one self-contained HTML page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from components.ranking_evaluator import concentration, index_recall
from components.ranking_evaluator.findings import Findings
from components.ranking_evaluator.model_card.markdown import Section
from components.ranking_evaluator.report import (
    drift_section,
    evidence_section,
    metrics_section,
    training_section,
    tuning_section,
)
from components.ranking_evaluator.words import (
    cuts_of,
    date,
    metric_label,
    name_of,
    percent,
    signed,
    where_known,
)
from components.splits import LEAK_WARNING
from components.targets import label

_TEMPLATES = os.path.join(os.path.dirname(__file__), "templates")


def render(found: Findings, card: Sequence[Section]) -> str:
    """Renders the report.

    Args:
        found: what it shows.
        card: the model card.

    Returns:
        HTML that loads nothing from anywhere.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    evaluation, main, cutoff = found.evaluation, found.main, found.cutoff
    cuts = cuts_of(evaluation["splits"])
    return environment.get_template("report.html.j2").render(
        dataset=found.dataset,
        profile=evaluation["profile"],
        warning=LEAK_WARNING if evaluation["leaks_future"] else "",
        main=main,
        blessing=_blessing_rows(evaluation["blessing"]),
        headline=_headline(evaluation, main, cutoff),
        concentration=concentration.sentence(
            evaluation["metrics"], main, cutoff
        ),
        index=index_recall.sentence(evaluation["index"]),
        evidence=evidence_section.section(evaluation, main, cutoff),
        card=card,
        tables=metrics_section.tables(evaluation["metrics"], main),
        training=training_section.section(found.training),
        tuning=tuning_section.section(found.training.get("tuning")),
        splits=_split_rows(evaluation["splits"]),
        cuts={name: date(cut) for name, cut in cuts.items()},
        known=where_known(evaluation["splits"]),
        known_to_selection=(
            "before the validation cut"
            if "Validation" in cuts
            else "in the train events"
        ),
        split_note=evaluation["splits"]["note"],
        excluded=evaluation["splits"]["excluded"],
        items=evaluation["splits"]["items"],
        targets=_target_rows(evaluation["splits"]["test"]),
        cold_items=found.settings["cold_items"],
        ingest=found.ingest,
        drift=drift_section.section(found.drift, cuts),
        examples=found.examples,
        baseline_name=name_of(evaluation["best_baseline"] or ""),
        longest=max(found.settings["cutoffs"]),
        settings=list(_flatten(found.configuration)),
        versions=found.versions,
    )


def _headline(
    evaluation: Mapping[str, Any], main: tuple[str, str], cutoff: int
) -> str:
    """The model, and how it stands to the best baseline, in two sentences."""
    target, seen = main
    name = f"ndcg_at_{cutoff}"
    model = evaluation["metrics"]["model"][target][seen]
    low, high = model["intervals"][name]
    sentence = (
        f"{metric_label(name)} on the {label(target)} is "
        f"{percent(model[name])}\N{NO-BREAK SPACE}% (95\N{NO-BREAK SPACE}% "
        f"interval {percent(low)} to {percent(high)})."
    )
    rival = evaluation["best_baseline"]
    if rival is None:
        return sentence
    found = evaluation["comparisons"][target][seen][rival][name]
    low, high = found["interval"]
    verdict = "not told apart from"
    if low > 0:
        verdict = "better than"
    elif high < 0:
        verdict = "worse than"
    return (
        f"{sentence} That is {verdict} the best baseline, {name_of(rival)}: "
        f"the difference is {signed(found['difference'])} "
        f"({signed(low)} to {signed(high)}) points."
    )


def _blessing_rows(blessing: Mapping[str, Any]) -> dict[str, Any]:
    checks = [
        {
            "check": check["check"],
            **{
                name: None if check[name] is None else percent(check[name])
                for name in ("value", "required")
            },
            "passed": check["passed"],
        }
        for check in blessing["checks"]
    ]
    return {"blessed": blessing["blessed"], "checks": checks}


def _target_rows(test: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Users, targets and share of unknown ones of each rule."""
    return [
        {
            "name": label(rule),
            "users": counts["users"],
            "targets": counts["targets"],
            "cold": f"{100 * test['cold_target_share'][rule]:.1f}",
        }
        for rule, counts in test["targets"].items()
    ]


def _split_rows(summary: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    names = {
        "train": "Train (selection)",
        "validation": "Validation",
        "train_validation": "Train + validation (final fit)",
        "test": "Test",
    }
    return [
        (label, summary[name]["users"], summary[name]["rows"])
        for name, label in names.items()
    ]


def _flatten(
    settings: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, str]]:
    """Dotted keys and values of nested settings."""
    flat: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, (list, tuple)):
            if any(isinstance(v, Mapping) for v in value):
                value = {str(i): v for i, v in enumerate(value)}
            else:
                value = ", ".join(map(str, value))
        if isinstance(value, Mapping):
            flat += _flatten(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", str(value)))
    return flat
