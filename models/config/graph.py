"""Settings of the graph tower."""

from __future__ import annotations

import dataclasses

from models.config.checks import at_least, between, one_of


@dataclasses.dataclass(frozen=True)
class UltraGCNConfig:
    """Weights of UltraGCN's loss (models/losses/ultragcn.py).

    `w1` to `w4` are those of the constraint loss: an edge weighs
    w1 + w2 beta, a negative w3 + w4 beta. `negative_weight` weighs the mean
    over the negatives, `item_weight` the item-item loss. The last two did
    well on validation of Amazon Beauty and Sports, where what UltraGCN's
    authors took for MovieLens-1M (200 and 0.001) did not.
    """

    w1: float = 1e-7
    w2: float = 1.0
    w3: float = 1e-7
    w4: float = 1.0
    negative_weight: float = 10.0
    item_weight: float = 10.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            at_least(field.name, getattr(self, field.name), 0.0)
        for first, second in (("w1", "w2"), ("w3", "w4")):
            if not getattr(self, first) + getattr(self, second):
                raise ValueError(
                    f"`{first}` and `{second}` are both 0: "
                    f"{'edges' if first == 'w1' else 'negatives'} would have "
                    "no weight."
                )


@dataclasses.dataclass(frozen=True)
class GraphTowerConfig:
    """The graph tower (paper section 3.4); none trains the sequence alone.

    `negatives` says what the edges of a step are compared with: per_edge
    draws `num_negatives` items for each, shared draws them once for all
    edges (many negatives for the price of one product), all takes the whole
    catalogue (lightgcn only). `num_layers`, `normalize_layers` and
    `edge_dropout` are of lightgcn.
    """

    encoder: str = "lightgcn"
    num_layers: int = 2
    normalize_layers: bool = False
    edge_dropout: float = 0.0
    negatives: str = "per_edge"
    num_negatives: int = 1
    batch_size: int = 2048
    l2: float = 1e-4
    ultragcn: UltraGCNConfig = dataclasses.field(default_factory=UltraGCNConfig)

    def __post_init__(self) -> None:
        one_of("encoder", self.encoder, "lightgcn", "ultragcn", "none")
        one_of("negatives", self.negatives, "per_edge", "shared", "all")
        if self.encoder == "ultragcn" and self.negatives == "all":
            raise ValueError(
                "`negatives` all is of the encoder lightgcn; ultragcn takes "
                "per_edge or shared, with any `num_negatives`."
            )
        at_least("num_layers", self.num_layers, 0)
        between("edge_dropout", self.edge_dropout, 0.0, 0.99)
        at_least("num_negatives", self.num_negatives, 1)
        at_least("batch_size", self.batch_size, 1)
        at_least("l2", self.l2, 0.0)
