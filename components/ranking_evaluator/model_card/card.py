"""The model card: what the model is, how good, for what and for what not.

After M. Mitchell et al., Model Cards for Model Reporting (FAT* 2019). One
content; `markdown` makes Markdown of it for the pushed model, and the report
shows it.
"""

from __future__ import annotations

from collections.abc import Mapping

from components.ranking_evaluator.findings import Findings
from components.ranking_evaluator.model_card import limits, sections
from components.ranking_evaluator.model_card.markdown import Section


def build(found: Findings) -> list[Section]:
    """The card, section by section."""
    evaluation, training = found.evaluation, found.training
    return [
        sections.model(training, evaluation, found.dataset),
        sections.use(training, evaluation),
        sections.data(evaluation, found.ingest, found.drift, found.dataset),
        sections.protocol(evaluation, found.settings),
        sections.metrics(evaluation, found.settings),
        sections.baselines(evaluation, found.settings),
        Section(
            "Limits",
            items=limits.limits(evaluation, found.drift, found.settings),
        ),
        Section("Versions", [_enumerated(found.versions)]),
    ]


def _enumerated(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {v}" for name, v in versions.items()) + "."
