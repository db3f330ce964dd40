"""From events to a normalised bipartite GraphTensor, and its files."""

from __future__ import annotations

import dataclasses
import json
import os

import numpy as np
import tensorflow as tf
import tensorflow_gnn as tfgnn

from components.graph_builder.config import GraphConfig
from components.graph_builder.edges import PeriodEvents
from components.graph_builder.neighbors import item_neighbors

USER = "user"
ITEM = "item"
INTERACTS = "interacts"
CO_OCCURS = "co_occurs"

SCHEMA_FILE = "graph_schema.pbtxt"
GRAPH_FILE = "graph.tfrecord"
COUNTS_FILE = "graph.json"

_SCHEMA = """
node_sets {
  key: "user"
  value {
    description: "Users the period is fitted on, in the rows of their table."
    features {
      key: "id"
      value { description: "Id in the logs." dtype: DT_STRING }
    }
  }
}
node_sets {
  key: "item"
  value {
    description: "Catalogue of the period; node j is row j + 1 of the table."
    features {
      key: "id"
      value { description: "Id in the logs." dtype: DT_STRING }
    }
  }
}
edge_sets {
  key: "interacts"
  value {
    description: "User had an event with item; each pair once."
    source: "user"
    target: "item"
    features {
      key: "timestamp"
      value { description: "Newest event, unix seconds." dtype: DT_INT64 }
    }
    features {
      key: "weight"
      value {
        description: "1 / sqrt(degree of user * degree of item)."
        dtype: DT_FLOAT
      }
    }
  }
}
"""


_NEIGHBORS_SCHEMA = """
edge_sets {
  key: "co_occurs"
  value {
    description: "Heaviest items that users of the source had as well."
    source: "item"
    target: "item"
    features {
      key: "weight"
      value { description: "UltraGCN's omega." dtype: DT_FLOAT }
    }
  }
}
"""


@dataclasses.dataclass(frozen=True)
class Edges:
    """Distinct edges, sorted by user, then item.

    Attributes:
        users: [num_edges] int64 user nodes.
        items: [num_edges] int64 item nodes.
        timestamps: [num_edges] int64, newest event of each pair.
    """

    users: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray


def distinct_edges(events: PeriodEvents) -> Edges:
    """Keeps each (user, item) pair once, with its newest timestamp."""
    order = np.lexsort((events.timestamps, events.items, events.users))
    users, items = events.users[order], events.items[order]
    last = np.append(
        (users[1:] != users[:-1]) | (items[1:] != items[:-1]), True
    )[: len(users)]
    return Edges(
        users=users[last],
        items=items[last] - 1,
        timestamps=events.timestamps[order][last],
    )


def symmetric_weights(
    edges: Edges, num_users: int, num_items: int
) -> np.ndarray:
    """[num_edges] float32: entries of D^-1/2 A D^-1/2 at the edges."""
    user_degrees = np.bincount(edges.users, minlength=num_users)
    item_degrees = np.bincount(edges.items, minlength=num_items)
    products = user_degrees[edges.users] * item_degrees[edges.items]
    return (1.0 / np.sqrt(products)).astype(np.float32)


def build_graph(
    events: PeriodEvents,
    user_ids: list[bytes],
    item_ids: list[bytes],
    period: str,
    config: GraphConfig,
) -> tfgnn.GraphTensor:
    """Builds the graph of a period.

    Args:
        events: which become edges.
        user_ids: [num_users] nodes, in the rows of the user table.
        item_ids: [num_items] nodes, without the padding row.
        period: for messages.
        config: whether items get neighbours, and how many.

    Raises:
        ValueError: there is no edge, or an edge ends outside the nodes.
    """
    _check(events, len(user_ids), len(item_ids), period)
    edges = distinct_edges(events)
    edge_sets = {
        INTERACTS: tfgnn.EdgeSet.from_fields(
            sizes=tf.constant([len(edges.users)], tf.int64),
            features={
                "timestamp": tf.constant(edges.timestamps, tf.int64),
                "weight": tf.constant(
                    symmetric_weights(edges, len(user_ids), len(item_ids))
                ),
            },
            adjacency=tfgnn.Adjacency.from_indices(
                (USER, tf.constant(edges.users, tf.int64)),
                (ITEM, tf.constant(edges.items, tf.int64)),
            ),
        )
    }
    if config.item_neighbors is not None:
        edge_sets[CO_OCCURS] = _co_occurs(
            edges, len(user_ids), len(item_ids), config
        )
    return tfgnn.GraphTensor.from_pieces(
        node_sets={
            name: tfgnn.NodeSet.from_fields(
                sizes=tf.constant([len(ids)], tf.int64),
                features={"id": tf.constant(ids, tf.string, [len(ids)])},
            )
            for name, ids in ((USER, user_ids), (ITEM, item_ids))
        },
        edge_sets=edge_sets,
    )


def _co_occurs(
    edges: Edges, num_users: int, num_items: int, config: GraphConfig
) -> tfgnn.EdgeSet:
    assert config.item_neighbors is not None
    near = item_neighbors(
        edges.users,
        edges.items,
        num_users,
        num_items,
        config.item_neighbors,
        config.item_neighbors_include_self,
    )
    return tfgnn.EdgeSet.from_fields(
        sizes=tf.constant([len(near.sources)], tf.int64),
        features={"weight": tf.constant(near.weights)},
        adjacency=tfgnn.Adjacency.from_indices(
            (ITEM, tf.constant(near.sources, tf.int64)),
            (ITEM, tf.constant(near.targets, tf.int64)),
        ),
    )


def _check(
    events: PeriodEvents, num_users: int, num_items: int, period: str
) -> None:
    if not len(events.users):
        name = "validation" if period == "train" else "test"
        raise ValueError(
            f"The graph of period `{period}` has no edges: of "
            f"{events.num_histories} users {events.num_fit_users} are fitted "
            f"on, with 0 events up to the {name} cut at {events.cut} (unix "
            "seconds). Expected users with at least 2 events before it: move "
            "the cut, or lower `min_user_events` and "
            "`min_development_events` in the split settings."
        )
    for kind, low, high, limit in (
        ("user", events.users.min(), events.users.max(), num_users),
        ("item", events.items.min() - 1, events.items.max() - 1, num_items),
    ):
        if low < 0 or high >= limit:
            raise ValueError(
                f"Edges of period `{period}` name {kind}s {low} to {high}, "
                f"expected 0 to {limit - 1}: the examples and the transform "
                "graph are of different runs, or were split by different "
                "settings."
            )


def write_graph(graph: tfgnn.GraphTensor, directory: str) -> dict[str, int]:
    """Writes schema, graph and counts; the same graph gives the same bytes.

    Returns:
        Counts of users, items and edges of each kind, as in `graph.json`.
    """
    has_neighbors = CO_OCCURS in graph.edge_sets
    schema = tfgnn.parse_schema(
        _SCHEMA + (_NEIGHBORS_SCHEMA if has_neighbors else "")
    )
    tfgnn.check_compatible_with_schema_pb(graph, schema)
    tf.io.gfile.makedirs(directory)
    tfgnn.write_schema(schema, os.path.join(directory, SCHEMA_FILE))
    example = tfgnn.write_example(graph)
    with tf.io.TFRecordWriter(os.path.join(directory, GRAPH_FILE)) as writer:
        writer.write(example.SerializeToString(deterministic=True))
    counts = {
        "users": int(graph.node_sets[USER].sizes[0]),
        "items": int(graph.node_sets[ITEM].sizes[0]),
        "edges": int(graph.edge_sets[INTERACTS].sizes[0]),
    }
    if has_neighbors:
        counts["item_neighbors"] = int(graph.edge_sets[CO_OCCURS].sizes[0])
    with tf.io.gfile.GFile(os.path.join(directory, COUNTS_FILE), "w") as file:
        file.write(json.dumps(counts, sort_keys=True, indent=2) + "\n")
    return counts
