"""What the Tuner needs to know, from several parts of the configuration."""

from __future__ import annotations

import dataclasses

from components.splits import SplitConfig
from models.config import ModelConfig, TrainingConfig
from models.tuning.config import TuningConfig


@dataclasses.dataclass(frozen=True)
class TunerConfig:
    """Settings of one Tuner run."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    split: SplitConfig = dataclasses.field(default_factory=SplitConfig)
    tuning: TuningConfig = dataclasses.field(default_factory=TuningConfig)
