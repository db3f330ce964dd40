"""Settings of PeriodStatistics."""

from __future__ import annotations

import dataclasses

# Not a feature, but what happens where one moved.
_SWITCHES = ("fail",)


@dataclasses.dataclass(frozen=True)
class DriftConfig:
    """From which distance on a difference between periods is a warning.

    Distances are TFDV's: L-infinity (largest change of one item's share of
    the events) for `item_id`, Jensen-Shannon divergence (base 2, 0 equal, 1
    nothing in common) for all others. Each lies in (0, 1]; null does not
    compare the feature. `fail` turns warnings into an error that stops the
    run.
    """

    item_id: float | None = 0.01
    popularity: float | None = 0.02
    gap: float | None = 0.02
    hour_of_day: float | None = 0.02
    day_of_week: float | None = 0.02
    position: float | None = None
    fail: bool = False

    def __post_init__(self) -> None:
        for name, value in self.thresholds().items():
            if not 0.0 < value <= 1.0:
                raise ValueError(
                    f"`{name}` must be null or lie in (0, 1], found {value}."
                )

    def thresholds(self) -> dict[str, float]:
        """Feature -> threshold, of the features that are compared."""
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name not in _SWITCHES and value is not None
        }
