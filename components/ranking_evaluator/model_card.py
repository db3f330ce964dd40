"""The model card: what the model is, how good, for what and for what not.

After M. Mitchell et al., Model Cards for Model Reporting (FAT* 2019). One
content; `card_text` makes Markdown of it for the pushed model, and the report
shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.ranking_evaluator import card_limits, card_sections
from components.ranking_evaluator.card_text import Section


def sections(
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
        card_sections.model(training, evaluation, dataset),
        card_sections.use(training, evaluation),
        card_sections.data(evaluation, ingest, drift, dataset),
        card_sections.protocol(evaluation, settings),
        card_sections.metrics(evaluation, settings),
        card_sections.baselines(evaluation, settings),
        Section(
            "Limits",
            items=card_limits.limits(evaluation, drift, settings),
        ),
        Section(
            "Versions",
            [", ".join(f"{name} {v}" for name, v in versions.items()) + "."],
        ),
    ]
