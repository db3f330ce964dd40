"""Names of the rules that drop usable rows, in the order they apply.

They are the keys of `dropped` in ingest.json. What each does says
`KeepConfig`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

EVENT_TYPE = "event_type"
MIN_WEIGHT = "min_weight"
USER_SHARE = "user_share"
REPEAT = "consecutive_repeat"
CORE = "k_core"
USER_CAP = "max_user_events"

MEANING = {
    EVENT_TYPE: "event type not kept",
    MIN_WEIGHT: "weight below the minimum",
    USER_SHARE: "user not in the sample",
    REPEAT: "item as in the event before",
    CORE: "user or item with too few events",
    USER_CAP: "beyond the cap per user",
}


def total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Adds up rows dropped by each rule, in the rules' order."""
    parts = list(counts)
    sums = {rule: sum(p.get(rule, 0) for p in parts) for rule in MEANING}
    return {rule: number for rule, number in sums.items() if number}
