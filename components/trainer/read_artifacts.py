"""Reads what earlier steps left into the periods that are trained on."""

from __future__ import annotations

import dataclasses
import os

from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components import splits
from components.graph_builder.reader import read_graph
from components.histories import SPLIT, Histories, read_histories
from components.periods import TRAIN
from components.splits import SplitConfig
from components.trainer.inputs import fit_sequences, validation_queries
from components.transform.vocabularies import read_item_ids
from models.fitting.fit import Period
from models.graph.propagation import BipartiteAdjacency


@dataclasses.dataclass(frozen=True)
class TrainingInputs:
    """The artifacts of earlier steps.

    Attributes:
        histories: all users.
        transform_uri: of the TransformGraph.
        graph_uri: of the InteractionGraph.
    """

    histories: Histories
    transform_uri: str
    graph_uri: str

    def item_ids(self, period: str) -> list[bytes]:
        """The catalogue of a period, item 1 first."""
        return read_item_ids(self.transform_uri, period)

    def period(
        self,
        name: str,
        split: SplitConfig,
        max_length: int,
        filter_seen: bool,
        with_graph: bool,
    ) -> Period:
        """What one fit trains on.

        Args:
            name: `train`, with validation queries, or `train_validation`.
            split: which users count.
            max_length: newest events of a history.
            filter_seen: of the validation.
            with_graph: whether the graph is read.
        """
        adjacency = None
        if with_graph:
            adjacency = BipartiteAdjacency.from_graph(
                read_graph(self.graph_uri, name)
            )
        num_items = len(self.item_ids(name))
        queries = None
        if name == TRAIN:
            queries = validation_queries(
                self.histories, split, max_length, num_items, filter_seen
            )
        sequences = fit_sequences(
            self.histories, split, name, max_length, num_items
        )
        return Period(sequences, adjacency, queries)


def read_inputs(
    input_dict: dict[str, list[types.Artifact]], split: SplitConfig
) -> TrainingInputs:
    """Reads the histories.

    Args:
        input_dict: `examples`, `transform_graph` and `graph`.
        split: which users are tested.

    Raises:
        ValueError: nobody is tested. The evaluator would stop there as well,
            after hours of training.
    """
    pattern = os.path.join(
        artifact_utils.get_split_uri(input_dict["examples"], SPLIT), "*"
    )
    histories = read_histories(fileio.glob(pattern))
    splits.check_test_users(histories, split)
    return TrainingInputs(
        histories,
        artifact_utils.get_single_uri(input_dict["transform_graph"]),
        artifact_utils.get_single_uri(input_dict["graph"]),
    )
