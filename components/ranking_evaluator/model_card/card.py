"""The model card: what the model is, how good, for what and for what not.

After M. Mitchell et al., Model Cards for Model Reporting (FAT* 2019). One
content; `markdown` makes Markdown of it for the pushed model, and the report
shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.ranking_evaluator.model_card import limits, sections
from components.ranking_evaluator.model_card.markdown import Section


def build(
    evaluation: Mapping[str, Any],
    training: Mapping[str, Any],
    ingest: Mapping[str, Any],
    drift: Mapping[str, Any],
    dataset: str,
    configuration: Mapping[str, Any],
    versions: Mapping[str, str],
) -> list[Section]:
    """The card, section by section.

    Args:
        evaluation: content of metrics.json.
        training: content of the Trainer's training.json.
        ingest: content of HistoryExampleGen's ingest.json.
        drift: content of PeriodStatistics' drift.json.
        dataset: name of the data.
        configuration: settings by part, as in the report.
        versions: package to version.
    """
    settings = configuration["evaluation"]
    return [
        sections.model(training, evaluation, dataset),
        sections.use(training, evaluation),
        sections.data(evaluation, ingest, drift, dataset),
        sections.protocol(evaluation, settings),
        sections.metrics(evaluation, settings),
        sections.baselines(evaluation, settings),
        Section(
            "Limits",
            items=limits.limits(evaluation, drift, settings),
        ),
        Section(
            "Versions",
            [", ".join(f"{name} {v}" for name, v in versions.items()) + "."],
        ),
    ]
