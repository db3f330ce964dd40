"""Makes the sequential tower that the settings name."""

from __future__ import annotations

from models.config import ModelConfig
from models.item_embedding import ItemEmbedding
from models.sequential.bert4rec import BERT4Rec
from models.sequential.sasrec import SASRec
from models.sequential.tower import SequentialTower

_TOWERS = {"sasrec": SASRec, "bert4rec": BERT4Rec}


def build_sequential_tower(
    items: ItemEmbedding, config: ModelConfig, seed: int
) -> SequentialTower | None:
    """The tower, None where the encoder is `none`.

    Args:
        items: the shared item table.
        config: of the whole model.
        seed: of the start values.
    """
    if not config.has_sequential:
        return None
    tower = _TOWERS[config.sequential.encoder]
    return tower(items, config.sequential, config.init_stddev, seed)
