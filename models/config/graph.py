"""Settings of the graph tower."""

from __future__ import annotations

import dataclasses

from models.config.checks import at_least, one_of


@dataclasses.dataclass(frozen=True)
class GraphTowerConfig:
    """The graph tower (paper section 3.4); none trains the sequence alone.

    `negatives` says what the pairs of a step are compared with: per_edge
    draws `num_negatives` items for each, shared draws them once for all
    pairs (many negatives for the price of one product).
    """

    encoder: str = "lightgcn"
    num_layers: int = 2
    normalize_layers: bool = False
    negatives: str = "per_edge"
    num_negatives: int = 1
    batch_size: int = 2048
    l2: float = 1e-4

    def __post_init__(self) -> None:
        one_of("encoder", self.encoder, "lightgcn", "none")
        one_of("negatives", self.negatives, "per_edge", "shared")
        at_least("num_layers", self.num_layers, 0)
        at_least("num_negatives", self.num_negatives, 1)
        at_least("batch_size", self.batch_size, 1)
        at_least("l2", self.l2, 0.0)
