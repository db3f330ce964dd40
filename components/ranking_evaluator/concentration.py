"""Tells when a model gives nearly everybody the same few items.

A tower that has collapsed can still beat the most popular items: its NDCG alone
does not show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.ranking_evaluator.config import MODEL, POPULAR_RANDOM
from components.ranking_evaluator.words import metric_label, percent

# A SASRec that too much dropout had collapsed showed 4 % of the items of Amazon
# Sports; BERT4Rec alone, narrow but learned, 11 to 15 % of Beauty's.
_TIMES_FEWER = 10


def sentence(
    metrics: Mapping[str, Any], main: tuple[str, str], cutoff: int
) -> str:
    """A warning, for the console and the report; "" where there is none.

    The reference is PopRnd, which recommends in proportion to the log's own
    events: how many items it shows grows with the users and the catalogue as
    the model's does.

    Args:
        metrics: model to target rule to seen setting to metrics.
        main: target rule and seen setting to look at.
        cutoff: K of the coverage.

    Returns:
        A warning where the model's coverage is less than a tenth of PopRnd's,
        if that was measured.
    """
    if POPULAR_RANDOM not in metrics:
        return ""
    target, seen = main
    name = f"coverage_at_{cutoff}"
    ours, reference = (
        metrics[model][target][seen][name] for model in (MODEL, POPULAR_RANDOM)
    )
    if _TIMES_FEWER * ours >= reference:
        return ""
    return (
        f"{metric_label(name)} is {percent(ours)} %, less than a tenth of "
        f"PopRnd's {percent(reference)} %: nearly all users get the same few "
        "items. The model may have collapsed: try less dropout or a smaller "
        f"learning rate. A threshold on {name} refuses such models."
    )
