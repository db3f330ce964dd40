"""Which losses train in which epoch, and when to stop (section 3.6)."""

from __future__ import annotations

import dataclasses

from models.config import TrainingConfig

WARMUP = "warmup"
JOINT = "joint"


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Graph warm-up, then both towers.

    Attributes:
        warmup_epochs: epochs of the graph tower alone.
        last_epoch: number of the last epoch; epochs count from 1 and
            include the warm-up.
        patience: joint epochs without a better validation after which
            selection stops; None in a refit, which has no validation.
    """

    warmup_epochs: int
    last_epoch: int
    patience: int | None

    @classmethod
    def of_selection(cls, config: TrainingConfig, has_warmup: bool) -> Schedule:
        """The schedule that looks for the best epoch."""
        warmup = config.warmup_epochs if has_warmup else 0
        return cls(warmup, warmup + config.max_epochs, config.patience)

    @classmethod
    def of_refit(
        cls, config: TrainingConfig, has_warmup: bool, epochs: int
    ) -> Schedule:
        """The same schedule for a fixed number of epochs in all."""
        return cls(config.warmup_epochs if has_warmup else 0, epochs, None)

    def phase(self, epoch: int) -> str:
        """`warmup` or `joint`."""
        return WARMUP if epoch <= self.warmup_epochs else JOINT

    def best_epoch(self, validation: dict[int, float]) -> int | None:
        """The joint epoch of the highest validation value, the first of ties.

        Warm-up epochs never count: there the sequential tower is untrained,
        and its validation may fall for long before the switch (Figure 2
        of the paper).

        Args:
            validation: value by epoch.
        """
        joint = {e: v for e, v in validation.items() if e > self.warmup_epochs}
        return max(joint, key=lambda e: (joint[e], -e), default=None)

    def stops_after(self, epoch: int, validation: dict[int, float]) -> bool:
        """Whether the fit ends with this epoch."""
        if epoch >= self.last_epoch:
            return True
        best = self.best_epoch(validation)
        if best is None or self.patience is None:
            return False
        return epoch - best >= self.patience
