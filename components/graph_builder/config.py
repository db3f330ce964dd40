"""Settings of GraphBuilder."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class GraphConfig:
    """Which events become edges: each user's newest before the cut.

    `newest` counts events, `newest_share` is a share of the user's events
    (rounded up); with both null all events are edges. A repeated (user,
    item) pair is one edge. Each item keeps its `item_neighbors` heaviest
    neighbours among the items of the same users, which UltraGCN trains on;
    null builds none.
    """

    newest: int | None = 10
    newest_share: float | None = None
    item_neighbors: int | None = 10
    item_neighbors_include_self: bool = True

    def __post_init__(self) -> None:
        if self.newest is not None and self.newest_share is not None:
            raise ValueError("give `newest` or `newest_share`, not both.")
        if self.newest is not None and self.newest < 1:
            raise ValueError(
                f"`newest` must be at least 1, found {self.newest}."
            )
        if self.newest_share is not None and not 0.0 < self.newest_share <= 1.0:
            raise ValueError(
                f"`newest_share` must lie in (0, 1], found {self.newest_share}."
            )
        if self.item_neighbors is not None and self.item_neighbors < 1:
            raise ValueError(
                "`item_neighbors` must be at least 1 or null, found "
                f"{self.item_neighbors}."
            )
