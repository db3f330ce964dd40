"""Item neighbours against dense numpy, and their way through the files."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_gnn as tfgnn
from hypothesis import given, settings
from hypothesis import strategies as st

from components.graph_builder.config import GraphConfig
from components.graph_builder.edges import PeriodEvents
from components.graph_builder.graph import build_graph, write_graph
from components.graph_builder.neighbors import item_neighbors
from components.graph_builder.reader import read_graph
from models.graph.propagation import BipartiteAdjacency

NUM_USERS, NUM_ITEMS = 6, 8

#          item 0  1  2          G = 1 1 0    g = 2
# user 0        x  x                 1 2 1        4
# user 1           x  x              0 1 2        3
# user 2              x
THREE = np.array([[0, 0], [0, 1], [1, 1], [1, 2], [2, 2]])

pairs = st.sets(
    st.tuples(
        st.integers(0, NUM_USERS - 1),
        # the last item never has a user
        st.integers(0, NUM_ITEMS - 2),
    ),
    min_size=1,
)


def dense_omega(edges, include_self):
    """[num_items, num_items], 0 where the items have no common user."""
    matrix = np.zeros((NUM_USERS, NUM_ITEMS))
    matrix[tuple(edges.T)] = 1
    common = matrix.T @ matrix
    sums = common.sum(axis=1)
    rows = np.sqrt(sums + 1) / np.where(sums, sums, 1)
    omega = common * np.outer(rows, 1 / np.sqrt(sums + 1))
    if not include_self:
        np.fill_diagonal(omega, 0)
    return omega


def found_by_item(near):
    """Targets and weights of each source."""
    return {
        int(item): (
            near.targets[near.sources == item],
            near.weights[near.sources == item],
        )
        for item in np.unique(near.sources)
    }


def test_omega_of_the_3_by_3_toy_by_hand():
    near = item_neighbors(THREE[:, 0], THREE[:, 1], 3, 3, count=3)
    omega = {
        (0, 0): 1 * 3**0.5 / 2 / 3**0.5,
        (0, 1): 1 * 3**0.5 / 2 / 5**0.5,
        (1, 1): 2 * 5**0.5 / 4 / 5**0.5,
        (1, 0): 1 * 5**0.5 / 4 / 3**0.5,
        (1, 2): 1 * 5**0.5 / 4 / 4**0.5,
        (2, 2): 2 * 4**0.5 / 3 / 4**0.5,
        (2, 1): 1 * 4**0.5 / 3 / 5**0.5,
    }
    # each source in turn, the heaviest of it first
    assert list(zip(near.sources, near.targets, strict=True)) == list(omega)
    np.testing.assert_allclose(near.weights, list(omega.values()), rtol=1e-6)
    assert near.weights.dtype == np.float32


def test_the_heaviest_two_without_self():
    near = item_neighbors(
        THREE[:, 0], THREE[:, 1], 3, 3, count=1, include_self=False
    )
    assert near.sources.tolist() == [0, 1, 2]
    # of item 1: item 0 weighs 0.32, item 2 weighs 0.28
    assert near.targets.tolist() == [1, 0, 1]


def test_equal_weights_take_the_smaller_item():
    """A star: every other item is as near to item 2 as the next one."""
    users = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    items = np.array([2, 4, 2, 3, 2, 1, 2, 0])
    for order in (slice(None), slice(None, None, -1)):
        near = item_neighbors(
            users[order], items[order], 4, 5, count=2, include_self=False
        )
        assert found_by_item(near)[2][0].tolist() == [0, 1]


@given(pairs, st.integers(1, 9), st.booleans(), st.sampled_from([1, 7, 10**6]))
@settings(deadline=None, max_examples=150)
def test_neighbours_are_those_of_dense_numpy(
    pairs, count, include_self, max_entries
):
    """Also where blocks are single rows or a few."""
    edges = np.array(sorted(pairs))
    near = item_neighbors(
        *edges.T, NUM_USERS, NUM_ITEMS, count, include_self, max_entries
    )
    omega = dense_omega(edges, include_self)
    # edges are grouped by source
    assert (np.diff(near.sources) >= 0).all()
    by_item = found_by_item(near)
    for item in range(NUM_ITEMS):
        targets, weights = by_item.get(item, (np.zeros(0, int), np.zeros(0)))
        assert len(set(targets)) == len(targets)
        best = np.sort(omega[item])[::-1][:count]
        np.testing.assert_allclose(weights, best[best > 0], rtol=1e-6)
        np.testing.assert_allclose(weights, omega[item, targets], rtol=1e-6)


@given(pairs, st.integers(1, 4))
@settings(deadline=None, max_examples=50)
def test_blocks_change_no_bit(pairs, count):
    edges = np.array(sorted(pairs)).T
    whole, pieces = (
        item_neighbors(*edges, NUM_USERS, NUM_ITEMS, count, True, size)
        for size in (10**6, 3)
    )
    for name in ("sources", "targets", "weights"):
        first, second = getattr(whole, name), getattr(pieces, name)
        assert first.tobytes() == second.tobytes()


# The graph's files


def events(seed=0):
    generator = np.random.default_rng(seed)
    return PeriodEvents(
        users=generator.integers(0, NUM_USERS, 20),
        items=1 + generator.integers(0, NUM_ITEMS - 1, 20),
        timestamps=generator.integers(0, 100, 20),
    )


def written(config, directory):
    """The graph of both, and its counts, as GraphBuilder writes them."""
    graph = build_graph(
        events(),
        [b"u%d" % number for number in range(NUM_USERS)],
        [b"i%d" % number for number in range(NUM_ITEMS)],
        "train",
        config,
    )
    counts = write_graph(graph, str(directory / "train"))
    stored = json.loads((directory / "train" / "graph.json").read_text())
    assert counts == stored
    return read_graph(str(directory), "train"), counts


@pytest.mark.parametrize("include_self", [True, False])
def test_neighbours_come_back_through_tfgnns_reader(include_self, tmp_path):
    config = GraphConfig(
        item_neighbors=2, item_neighbors_include_self=include_self
    )
    graph, counts = written(config, tmp_path)
    edges = graph.edge_sets["co_occurs"]
    assert edges.adjacency.source_name == edges.adjacency.target_name == "item"
    assert edges["weight"].dtype == tf.float32
    adjacency = BipartiteAdjacency.from_graph(graph)
    omega = dense_omega(adjacency.edges, include_self)
    near = adjacency.neighbors
    assert near.items.shape == near.weights.shape == (NUM_ITEMS, 2)
    best = -np.sort(-omega, axis=1)[:, :2]
    np.testing.assert_allclose(near.weights, best, rtol=1e-6)
    places = np.arange(NUM_ITEMS)[:, np.newaxis], near.items
    known = near.weights > 0
    np.testing.assert_allclose(
        near.weights[known], omega[places][known], rtol=1e-6
    )
    # the item without users has no neighbour, not even itself
    assert not known[-1].any()
    assert counts["item_neighbors"] == known.sum() == len(edges["weight"])
    # TF-GNN's own operations work on the edge set
    pooled = tfgnn.pool_edges_to_node(
        graph, "co_occurs", tfgnn.SOURCE, "sum", feature_value=edges["weight"]
    )
    np.testing.assert_allclose(pooled, near.weights.sum(axis=1), rtol=1e-6)


def test_a_graph_without_neighbours_still_reads(tmp_path):
    """As all graphs were before there were neighbours."""
    graph, counts = written(GraphConfig(item_neighbors=None), tmp_path)
    schema = (tmp_path / "train" / "graph_schema.pbtxt").read_text()
    assert "co_occurs" not in schema
    assert set(graph.edge_sets) == {"interacts"}
    assert set(counts) == {"users", "items", "edges"}
    adjacency = BipartiteAdjacency.from_graph(graph)
    assert adjacency.neighbors is None
    other, _ = written(GraphConfig(item_neighbors=2), tmp_path)
    np.testing.assert_array_equal(
        adjacency.edges, BipartiteAdjacency.from_graph(other).edges
    )


def test_at_least_one_neighbour_is_kept():
    with pytest.raises(ValueError, match="`item_neighbors` must be at least 1"):
        GraphConfig(item_neighbors=0)
