"""Settings of the exported and pushed model."""

from __future__ import annotations

import dataclasses
import re

EXACT = "exact"
SCANN = "scann"
INDEXES = (EXACT, SCANN)

# ScaNN places the leaves by a sample of 100,000 items, and needs 100 for each.
MAX_LEAVES = 1000


@dataclasses.dataclass(frozen=True)
class ScannConfig:
    """An approximate index: leaves of a tree, and candidates per user.

    The catalogue is divided into `leaves`, of which the `leaves_to_search`
    nearest ones to a user are searched for `candidates` items, which are then
    scored exactly. None takes the square root of the catalogue, and a tenth of
    the leaves.
    """

    leaves: int | None = None
    leaves_to_search: int | None = None
    candidates: int = 400

    def __post_init__(self) -> None:
        for name in ("leaves", "leaves_to_search"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MAX_LEAVES:
                raise ValueError(
                    f"`{name}` must be from 1 to {MAX_LEAVES:,}, or null to "
                    f"follow the catalogue, found {value}."
                )
        if (
            self.leaves is not None
            and self.leaves_to_search is not None
            and self.leaves_to_search > self.leaves
        ):
            raise ValueError(
                "`leaves_to_search` must not be above `leaves` "
                f"({self.leaves}), found {self.leaves_to_search}. Fix: lower "
                "it, or set it to null for a tenth of the leaves."
            )
        if not 16 <= self.candidates <= 10_000:
            raise ValueError(
                "`candidates` must be from 16 to 10,000, found "
                f"{self.candidates}. Fix: some four times as many as items are "
                "asked for; for all of them set `serving.index` to exact."
            )


@dataclasses.dataclass(frozen=True)
class ServingConfig:
    """Name under which the model is pushed and served, and its index.

    `default_k` is the length of the answers of signature serving_default.
    `index` is exact (every item is scored) or scann (approximate, by the
    settings of `scann`, and with the package of that name).
    """

    model_name: str = "create"
    default_k: int = 10
    index: str = EXACT
    scann: ScannConfig = dataclasses.field(default_factory=ScannConfig)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", self.model_name):
            raise ValueError(
                "`model_name` becomes a folder and part of a URL: letters, "
                f"digits, `_`, `-` and `.` only, found {self.model_name!r}."
            )
        if self.default_k < 1:
            raise ValueError(
                f"`default_k` must be at least 1, found {self.default_k}."
            )
        if self.index not in INDEXES:
            raise ValueError(
                f"`index` must be one of {', '.join(INDEXES)}, found "
                f"{self.index!r}."
            )
        most = self.scann.candidates // 2
        if self.index == SCANN and self.default_k > most:
            raise ValueError(
                f"`default_k` {self.default_k} is more than half of "
                f"`scann.candidates` ({self.scann.candidates}), so that the "
                "exact index would answer. Fix: raise `scann.candidates`, or "
                "set `index` to exact."
            )

    @property
    def approximate(self) -> ScannConfig | None:
        """Settings of the approximate index, None for the exact one."""
        return self.scann if self.index == SCANN else None
