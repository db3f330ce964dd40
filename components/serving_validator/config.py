"""Settings of the ServingValidator."""

from __future__ import annotations

import dataclasses

# TF Serving reads no more records than that.
MAX_WARMUP_RECORDS = 1000


@dataclasses.dataclass(frozen=True)
class ServingValidationConfig:
    """What a model must do behind a server before it may be pushed.

    Attributes:
        users: requests of the evaluation that are sent to the server, whose
            answers must be those that were measured.
        timed_requests: requests, one after another, that the latencies are
            taken from.
        max_p99_ms: the 99th percentile of the latencies must not be above
            this, in milliseconds.
        warmup_users: users whose requests become warm-up records.
        timeout_seconds: how long the server may take to load the model.
    """

    users: int = 32
    timed_requests: int = 200
    max_p99_ms: float = 250.0
    warmup_users: int = 16
    timeout_seconds: float = 300.0

    def __post_init__(self) -> None:
        for name in ("users", "timed_requests"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must be at least 1, found {getattr(self, name)}."
                )
        for name in ("max_p99_ms", "timeout_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"`{name}` must be above 0, found {getattr(self, name)}."
                )
        most = MAX_WARMUP_RECORDS // 4
        if not 0 <= self.warmup_users <= most:
            raise ValueError(
                f"`warmup_users` must be from 0 to {most} (TF Serving replays "
                f"at most {MAX_WARMUP_RECORDS} records), found "
                f"{self.warmup_users}."
            )
