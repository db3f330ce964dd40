"""Reads a graph back with TF-GNN's own schema reader and parser."""

from __future__ import annotations

import os

import tensorflow as tf
import tensorflow_gnn as tfgnn

from components.graph_builder.graph import GRAPH_FILE, SCHEMA_FILE
from components.periods import check_period


def read_graph(graph_uri: str, period: str) -> tfgnn.GraphTensor:
    """The graph of a period.

    Args:
        graph_uri: of the InteractionGraph artifact.
        period: `train` or `train_validation`.

    Returns:
        A scalar GraphTensor with int64 indices: node sets `user` and `item`,
        edge set `interacts` with features `weight` and `timestamp`.

    Raises:
        FileNotFoundError: there is no graph of the period.
    """
    check_period(period)
    directory = os.path.join(graph_uri, period)
    path = os.path.join(directory, GRAPH_FILE)
    if not tf.io.gfile.exists(path):
        raise FileNotFoundError(
            f"No graph of period `{period}`: {path} does not exist."
        )
    schema = tfgnn.read_schema(os.path.join(directory, SCHEMA_FILE))
    spec = tfgnn.create_graph_spec_from_schema_pb(
        schema, indices_dtype=tf.int64
    )
    (record,) = tf.data.TFRecordDataset(path).as_numpy_iterator()
    return tfgnn.parse_single_example(spec, tf.constant(record))
