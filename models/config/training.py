"""Settings of the optimisation and its schedule."""

from __future__ import annotations

import dataclasses

from models.config.checks import at_least, positive


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Optimisation and schedule (paper section 3.6).

    `max_epochs` counts joint epochs, after the warm-up. `filter_seen` says
    whether validation leaves out items the user has already, and should
    agree with how the model will be used.
    """

    seed: int = 0
    batch_size: int = 128
    learning_rate: float = 0.001
    weight_decay: float = 0.0
    clip_norm: float = 10.0
    warmup_epochs: int = 10
    max_epochs: int = 100
    patience: int = 10
    validate_every: int = 1
    filter_seen: bool = False
    batch_by_length: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_epochs", "patience", "validate_every"):
            at_least(name, getattr(self, name), 1)
        at_least("warmup_epochs", self.warmup_epochs, 0)
        positive("learning_rate", self.learning_rate)
        positive("clip_norm", self.clip_norm)
        at_least("weight_decay", self.weight_decay, 0.0)
