"""Settings of CREATE as a whole."""

from __future__ import annotations

import dataclasses

from models.config.alignment import AlignmentConfig
from models.config.checks import at_least, one_of, positive
from models.config.graph import GraphTowerConfig
from models.config.losses import LocalLossConfig
from models.config.sequential import SequentialConfig
from models.config.weights import WeightSchedule, check_weight


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """CREATE: both towers over one item table, and loss eq. 5.

    `item_vectors` are those of the sequential tower: the shared table, or
    what the graph encoder makes of it (propagated). `warm_graph_weight` above
    0 lets the graph, as it was at the end of its warm-up, recommend beside the
    sequential tower; 0 is the paper.
    """

    embedding_dim: int = 64
    init_stddev: float = 0.02
    item_vectors: str = "table"
    sequential: SequentialConfig = dataclasses.field(
        default_factory=SequentialConfig
    )
    graph: GraphTowerConfig = dataclasses.field(
        default_factory=GraphTowerConfig
    )
    alignment: AlignmentConfig = dataclasses.field(
        default_factory=AlignmentConfig
    )
    local_loss: LocalLossConfig = dataclasses.field(
        default_factory=LocalLossConfig
    )
    global_weight: float | WeightSchedule = 0.1
    alignment_weight: float | WeightSchedule = 0.2
    warm_graph_weight: float = 0.0

    def __post_init__(self) -> None:
        at_least("embedding_dim", self.embedding_dim, 1)
        # 0 is no start: every score and every gradient would stay 0
        positive("init_stddev", self.init_stddev)
        if self.embedding_dim % self.sequential.num_heads:
            raise ValueError(
                f"`embedding_dim` {self.embedding_dim} must be a multiple of "
                f"`sequential.num_heads` {self.sequential.num_heads}."
            )
        check_weight("global_weight", self.global_weight)
        check_weight("alignment_weight", self.alignment_weight)
        one_of("item_vectors", self.item_vectors, "table", "propagated")
        if self.item_vectors == "propagated" and (
            self.graph.encoder != "lightgcn" or not self.graph.num_layers
        ):
            raise ValueError(
                "`item_vectors` propagated needs a graph encoder that "
                "propagates: `graph.encoder` lightgcn with at least one of "
                f"`graph.num_layers`, found {self.graph.encoder} with "
                f"{self.graph.num_layers}."
            )
        at_least("warm_graph_weight", self.warm_graph_weight, 0.0)
        if self.warm_graph_weight and not (
            self.has_sequential and self.has_graph
        ):
            raise ValueError(
                f"`warm_graph_weight` {self.warm_graph_weight} lets two towers "
                "recommend, but `sequential.encoder` is "
                f"{self.sequential.encoder} and `graph.encoder` "
                f"{self.graph.encoder}. Set it to 0 or give both."
            )
        if not (self.has_sequential or self.has_graph):
            raise ValueError(
                "`sequential.encoder` and `graph.encoder` are both none: "
                "nothing is left to train. Give at least one of them."
            )

    @property
    def has_sequential(self) -> bool:
        """Whether there is a sequential tower."""
        return self.sequential.encoder != "none"

    @property
    def has_graph(self) -> bool:
        """Whether there is a graph tower."""
        return self.graph.encoder != "none"
