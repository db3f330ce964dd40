"""Makes the graph tower that the settings name."""

from __future__ import annotations

from models.config import ModelConfig
from models.graph.lightgcn import LightGCN
from models.graph.propagation import BipartiteAdjacency
from models.graph.tower import GraphTower
from models.graph.ultragcn import UltraGCN
from models.item_embedding import ItemEmbedding


def build_graph_tower(
    items: ItemEmbedding,
    config: ModelConfig,
    adjacency: BipartiteAdjacency | None,
    seed: int,
) -> GraphTower | None:
    """The tower, None where the encoder is `none`.

    Args:
        items: the shared item table.
        config: of the whole model.
        adjacency: the graph of the fit period.
        seed: of the start values.

    Raises:
        ValueError: there is an encoder but no graph.
    """
    if not config.has_graph:
        return None
    if adjacency is None:
        raise ValueError(
            f"`graph.encoder` {config.graph.encoder} needs the graph of the "
            "fit period; give one, or set the encoder to none."
        )
    encoder = UltraGCN if config.graph.encoder == "ultragcn" else LightGCN
    return encoder(items, adjacency, config.graph, config.init_stddev, seed)
