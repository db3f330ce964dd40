"""Settings of the two towers, their losses and the training."""

from models.config.alignment import AlignmentConfig
from models.config.graph import GraphTowerConfig, UltraGCNConfig
from models.config.losses import LocalLossConfig, ScalableCrossEntropyConfig
from models.config.model import ModelConfig
from models.config.sequential import SequentialConfig
from models.config.training import TrainingConfig
from models.config.weights import WeightSchedule

__all__ = [
    "AlignmentConfig",
    "GraphTowerConfig",
    "LocalLossConfig",
    "ModelConfig",
    "ScalableCrossEntropyConfig",
    "SequentialConfig",
    "TrainingConfig",
    "UltraGCNConfig",
    "WeightSchedule",
]
