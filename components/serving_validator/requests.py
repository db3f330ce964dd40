"""Requests of the evaluation, with the answers that were measured."""

from __future__ import annotations

import dataclasses

from components import model_requests, rankings, splits
from components.histories import Histories
from components.ranking_evaluator.config import EvaluationConfig
from components.raw_ids import text
from components.targets import measured_targets


@dataclasses.dataclass(frozen=True)
class MeasuredRequest:
    """One request and what the model answered when it was measured.

    Attributes:
        user_id: as text.
        history: raw item ids, oldest first.
        exclude: raw item ids that must not come out.
        items: the best items as texts, best first.
    """

    user_id: str
    history: list[bytes]
    exclude: list[bytes]
    items: list[str]


def choose(
    histories: Histories,
    split: splits.SplitConfig,
    config: EvaluationConfig,
    max_length: int,
    evaluation: str,
    number: int,
) -> list[MeasuredRequest]:
    """Requests of the main setting, evenly spaced over the test users.

    Args:
        histories: of all users.
        split: which of them are test users.
        config: of the evaluation.
        max_length: as the evaluation had it.
        evaluation: folder of the evaluation artifact.
        number: how many requests; fewer where there are no more.

    Raises:
        ValueError: the evaluation has no ranking for one of them.
    """
    test = histories.select(splits.test_users(histories, split))
    rule = config.targets[0]
    targets = measured_targets(test, rule, config.seed, config.cold_items)
    chosen = targets.evenly(number)
    inputs, before = model_requests.build(
        test,
        model_requests.first_events(test),
        chosen,
        model_requests.HISTORY_FACTOR * max_length,
    )
    users = [text(u) for u in test.user_ids[chosen.users]]
    keys = list(zip(users, chosen.positions.tolist(), strict=True))
    tops = _measured(evaluation, rule, config.seen_items, set(users))
    missing = [user for user, position in keys if (user, position) not in tops]
    if missing:
        raise ValueError(
            f"The evaluation in {evaluation} has no ranking for user "
            f"{missing[0]!r} (target rule {rule}, seen items "
            f"{config.seen_items}): examples and evaluation come from "
            "different runs."
        )
    filtered = config.seen_items == "filtered"
    return [
        MeasuredRequest(key[0], items, old if filtered else [], tops[key])
        for key, items, old in zip(keys, inputs, before, strict=True)
    ]


def _measured(
    evaluation: str, rule: str, seen: str, users: set[str]
) -> dict[tuple[str, int], list[str]]:
    """(user, target position) to the top items of the model."""
    filters = [
        ("target_rule", "=", rule),
        ("seen_items", "=", seen),
        ("user_id", "in", users),
    ]
    found = {}
    for rows in rankings.read(evaluation, filters):
        for row in rows.to_pylist():
            key = (row["user_id"], row["target_position"])
            found[key] = row["top_items"]
    return found
