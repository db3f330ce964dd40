"""Settings of the sequential tower's loss."""

from __future__ import annotations

import dataclasses

from models.config.checks import at_least, one_of


@dataclasses.dataclass(frozen=True)
class ScalableCrossEntropyConfig:
    """How many buckets and how large.

    `num_buckets` and `bucket_positions` of None mean int(2 sqrt(positions))
    of each batch. A size beyond what there is means all of it. `mix` takes
    centres that are random combinations of the positions' states, so that
    they lie where the states lie; without it centres are Gaussian.
    """

    num_buckets: int | None = None
    bucket_positions: int | None = None
    bucket_items: int = 256
    mix: bool = True

    def __post_init__(self) -> None:
        for name in ("num_buckets", "bucket_positions", "bucket_items"):
            value = getattr(self, name)
            if value is not None:
                at_least(name, value, 1)


@dataclasses.dataclass(frozen=True)
class LocalLossConfig:
    """What the states of the sequential tower are trained with (section 3.3).

    cross_entropy compares every target with the whole catalogue;
    scalable_cross_entropy with those items that are hard to tell from it,
    for catalogues whose scores do not fit into memory.
    """

    kind: str = "cross_entropy"
    scalable: ScalableCrossEntropyConfig = dataclasses.field(
        default_factory=ScalableCrossEntropyConfig
    )

    def __post_init__(self) -> None:
        one_of("kind", self.kind, "cross_entropy", "scalable_cross_entropy")
