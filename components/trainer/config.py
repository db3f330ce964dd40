"""What the Trainer needs to know, from several parts of the configuration."""

from __future__ import annotations

import dataclasses

from components.splits import SplitConfig
from models.config import ModelConfig, TrainingConfig
from serving.config import ScannConfig


@dataclasses.dataclass(frozen=True)
class TrainerConfig:
    """Settings of one Trainer run.

    `exclude_history` and `default_k` are the exported default signature's:
    whether it leaves out what the request's history holds, and how many
    items it answers. `scann` are the settings of an approximate index; None
    exports the exact one.
    """

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    split: SplitConfig = dataclasses.field(default_factory=SplitConfig)
    exclude_history: bool = False
    default_k: int = 10
    scann: ScannConfig | None = None
    name: str = ""
