"""Properties of the graph of any events, against scipy."""

import numpy as np
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from components.graph_builder.config import GraphConfig
from components.graph_builder.edges import PeriodEvents, concatenate
from components.graph_builder.graph import build_graph
from models.graph.propagation import BipartiteAdjacency

NUM_USERS, NUM_ITEMS = 7, 9
GRAPH = GraphConfig()
USER_IDS = [b"u%d" % number for number in range(NUM_USERS)]
ITEM_IDS = [b"i%d" % number for number in range(NUM_ITEMS)]

events = st.lists(
    st.tuples(
        st.integers(0, NUM_USERS - 1),
        st.integers(1, NUM_ITEMS),  # rows of the item table, 0 pads
        st.integers(0, 50),
    ),
    min_size=1,
    max_size=60,
)


def columns(log: list[tuple[int, int, int]]) -> PeriodEvents:
    users, items, times = np.array(log, np.int64).reshape(-1, 3).T
    return PeriodEvents(users, items, times)


def interactions(log: list[tuple[int, int, int]]) -> scipy.sparse.csr_matrix:
    """[users, items] of zeros and ones."""
    users, items, _ = np.array(log).T
    matrix = scipy.sparse.csr_matrix(
        (np.ones(len(log)), (users, items - 1)), (NUM_USERS, NUM_ITEMS)
    )
    matrix.data[:] = 1
    return matrix


def normalised(matrix: scipy.sparse.csr_matrix) -> np.ndarray:
    """D^-1/2 A D^-1/2 of the whole (users + items) square."""
    square = scipy.sparse.bmat([[None, matrix], [matrix.T, None]]).tocsr()
    degrees = np.asarray(square.sum(axis=1)).ravel()
    scale = np.zeros_like(degrees)
    scale[degrees > 0] = degrees[degrees > 0] ** -0.5
    diagonal = scipy.sparse.diags(scale)
    return (diagonal @ square @ diagonal).toarray()


@given(events)
@settings(deadline=None, max_examples=60)
def test_edges_degrees_and_weights_are_those_of_scipy(log):
    graph = build_graph(
        columns(log), USER_IDS, ITEM_IDS, "train", GraphConfig()
    )
    edges = graph.edge_sets["interacts"]
    users = edges.adjacency.source.numpy()
    items = edges.adjacency.target.numpy()
    matrix = interactions(log)
    assert len(users) == matrix.nnz  # every pair once
    found = np.zeros(matrix.shape)
    found[users, items] = 1
    np.testing.assert_array_equal(found, matrix.toarray())
    np.testing.assert_array_equal(
        np.bincount(users, minlength=NUM_USERS), matrix.sum(axis=1).A1
    )
    square = normalised(matrix)
    np.testing.assert_allclose(
        edges["weight"].numpy(), square[users, NUM_USERS + items], rtol=1e-6
    )
    newest = {}
    for user, item, time in log:
        newest[user, item - 1] = max(time, newest.get((user, item - 1), 0))
    assert edges["timestamp"].numpy().tolist() == [
        newest[pair] for pair in zip(users, items, strict=True)
    ]


@given(events)
@settings(deadline=None, max_examples=30)
def test_propagation_is_the_product_with_the_square_matrix(log):
    graph = build_graph(
        columns(log), USER_IDS, ITEM_IDS, "train", GraphConfig()
    )
    step = BipartiteAdjacency.from_graph(graph).propagation()
    generator = np.random.default_rng(0)
    users = generator.normal(size=(NUM_USERS, 3)).astype(np.float32)
    items = generator.normal(size=(NUM_ITEMS, 3)).astype(np.float32)
    expected = normalised(interactions(log)) @ np.concatenate([users, items])
    found = np.concatenate([step.to_users(items), step.to_items(users)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(events, st.randoms(use_true_random=False), st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_the_graph_does_not_depend_on_the_order_of_events(log, random, parts):
    """Nor on how many workers they come from."""
    shuffled = list(log)
    random.shuffle(shuffled)
    pieces = [shuffled[part::parts] for part in range(parts)]
    joined = concatenate([columns(piece) for piece in pieces if piece])
    graphs = [
        build_graph(e, USER_IDS, ITEM_IDS, "train", GRAPH).edge_sets[
            "interacts"
        ]
        for e in (columns(log), joined)
    ]
    for read in (
        lambda edges: edges.adjacency.source,
        lambda edges: edges.adjacency.target,
        lambda edges: edges["weight"],
        lambda edges: edges["timestamp"],
    ):
        first, second = (read(edges).numpy() for edges in graphs)
        assert first.tobytes() == second.tobytes()
