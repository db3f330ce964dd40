"""Graph propagation against scipy and TF-GNN's own operations."""

import numpy as np
import pytest
import scipy.sparse as sp
import tensorflow as tf
import tensorflow_gnn as tfgnn
from tensorflow.python.framework import config as tf_framework_config

from models.config import GraphTowerConfig
from models.graph.lightgcn import LightGCN
from models.graph.propagation import BipartiteAdjacency, symmetric_weights
from models.item_embedding import ItemEmbedding

NUM_USERS, NUM_ITEMS = 6, 5
# user 5 and item 4 have no edge
EDGES = np.array(
    [[0, 0], [0, 1], [1, 1], [2, 0], [2, 2], [2, 3], [3, 3], [4, 1], [4, 3]]
)


def _graph_tensor(edges, weights):
    return tfgnn.GraphTensor.from_pieces(
        node_sets={
            "user": tfgnn.NodeSet.from_fields(sizes=tf.constant([NUM_USERS])),
            "item": tfgnn.NodeSet.from_fields(sizes=tf.constant([NUM_ITEMS])),
        },
        edge_sets={
            "interacts": tfgnn.EdgeSet.from_fields(
                sizes=tf.constant([len(edges)]),
                adjacency=tfgnn.Adjacency.from_indices(
                    source=("user", tf.constant(edges[:, 0])),
                    target=("item", tf.constant(edges[:, 1])),
                ),
                features={"weight": tf.constant(weights)},
            )
        },
    )


def _tower(num_layers, normalize=False, shuffle=False):
    edges = EDGES[np.random.default_rng(0).permutation(len(EDGES))]
    edges = edges if shuffle else EDGES
    graph = _graph_tensor(edges, symmetric_weights(edges))
    items = ItemEmbedding(NUM_ITEMS, 4, 0.5, seed=1)
    config = GraphTowerConfig(num_layers=num_layers, normalize_layers=normalize)
    tower = LightGCN(
        items, BipartiteAdjacency.from_graph(graph), config, 0.5, seed=2
    )
    return tower, graph


def _scipy_powers(num_layers):
    """A^0 .. A^K of users and items together."""
    matrix = sp.coo_matrix(
        (np.ones(len(EDGES)), (EDGES[:, 0], EDGES[:, 1] + NUM_USERS)),
        shape=(NUM_USERS + NUM_ITEMS,) * 2,
    )
    matrix = matrix + matrix.T
    degree = np.asarray(matrix.sum(1))[:, 0]
    scale = np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1)), 0)
    normal = sp.diags(scale) @ matrix @ sp.diags(scale)
    powers = [sp.identity(NUM_USERS + NUM_ITEMS)]
    for _ in range(num_layers):
        powers.append(normal @ powers[-1])
    return powers


def _scipy_layers(tower, num_layers):
    layer = np.concatenate([tower.users.numpy(), tower.items.table.numpy()])
    return [power @ layer for power in _scipy_powers(num_layers)]


@pytest.mark.parametrize("num_layers", [0, 1, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_lightgcn_equals_scipy(num_layers, shuffle):
    tower, _ = _tower(num_layers, shuffle=shuffle)
    users, items = tower.propagate()
    expected = np.mean(_scipy_layers(tower, num_layers), axis=0)
    np.testing.assert_allclose(users, expected[:NUM_USERS], atol=1e-6)
    np.testing.assert_allclose(items, expected[NUM_USERS:], atol=1e-6)


@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_gradient_of_the_mean_of_layers_equals_scipy(num_layers):
    """Of sum(G * mean(A^k E)), by hand mean(A^T^k G)."""
    tower, _ = _tower(num_layers)
    arrive = np.random.default_rng(3).normal(size=(NUM_USERS + NUM_ITEMS, 4))
    arrive_users = tf.constant(arrive[:NUM_USERS], tf.float32)
    arrive_items = tf.constant(arrive[NUM_USERS:], tf.float32)
    with tf.GradientTape() as tape:
        users, items = tower.propagate()
        value = tf.reduce_sum(arrive_users * users) + tf.reduce_sum(
            arrive_items * items
        )
    d_users, d_items = tape.gradient(value, [tower.users, tower.items.table])
    expected = np.mean(
        [power.T @ arrive for power in _scipy_powers(num_layers)], axis=0
    )
    np.testing.assert_allclose(d_users, expected[:NUM_USERS], atol=1e-6)
    np.testing.assert_allclose(d_items, expected[NUM_USERS:], atol=1e-6)


def test_gradient_passes_only_the_edges_of_the_step():
    """A dropped edge carries neither vectors nor gradients."""
    weights = symmetric_weights(EDGES)
    adjacency = BipartiteAdjacency(EDGES, weights, NUM_USERS, NUM_ITEMS)
    step = adjacency.propagation(0.5, tf.constant([4, 7]))
    kept = step.by_user.values.numpy()
    assert 0 < np.count_nonzero(kept) < len(EDGES)
    matrix = np.zeros([NUM_USERS, NUM_ITEMS])
    matrix[EDGES[:, 0], EDGES[:, 1]] = kept
    start = tf.zeros([NUM_USERS, 1]), tf.zeros([NUM_ITEMS, 1])
    with tf.GradientTape() as tape:
        tape.watch(start)
        users, items = step.mean_of_layers(*start, num_layers=2)
        # one user and one item, so the gradients arrive sparse
        value = tf.gather(users, [2])[0, 0] + tf.gather(items, [1])[0, 0]
    d_users, d_items = tape.gradient(value, start)
    g_users, g_items = np.eye(NUM_USERS)[2], np.eye(NUM_ITEMS)[1]
    there, back = matrix @ g_items, matrix.T @ g_users
    np.testing.assert_allclose(
        d_users[:, 0], (g_users + there + matrix @ back) / 3, atol=1e-6
    )
    np.testing.assert_allclose(
        d_items[:, 0], (g_items + back + matrix.T @ there) / 3, atol=1e-6
    )


def test_normalized_layers_have_unit_rows_before_the_mean():
    tower, _ = _tower(2, normalize=True)
    ego, *hops = _scipy_layers(tower, 2)
    norms = [np.linalg.norm(h, axis=1, keepdims=True) for h in hops]
    hops = [h / np.where(n > 0, n, 1) for h, n in zip(hops, norms, strict=True)]
    users, items = tower.propagate()
    expected = np.mean([ego, *hops], axis=0)
    np.testing.assert_allclose(users, expected[:NUM_USERS], atol=1e-6)
    np.testing.assert_allclose(items, expected[NUM_USERS:], atol=1e-6)


def _tfgnn_propagate(graph, users, items, num_layers):
    weight = graph.edge_sets["interacts"]["weight"][:, tf.newaxis]
    user_layers, item_layers = [users], [items]
    for _ in range(num_layers):
        pooled = []
        for source, target, values in (
            (tfgnn.TARGET, tfgnn.SOURCE, item_layers[-1]),
            (tfgnn.SOURCE, tfgnn.TARGET, user_layers[-1]),
        ):
            messages = tfgnn.broadcast_node_to_edges(
                graph, "interacts", source, feature_value=values
            )
            pooled.append(
                tfgnn.pool_edges_to_node(
                    graph,
                    "interacts",
                    target,
                    "sum",
                    feature_value=messages * weight,
                )
            )
        user_layers.append(pooled[0])
        item_layers.append(pooled[1])
    return tf.add_n(user_layers) / (num_layers + 1), tf.add_n(item_layers) / (
        num_layers + 1
    )


def test_values_and_gradients_equal_tfgnns_pool_and_broadcast():
    tower, graph = _tower(3)
    variables = [tower.users, tower.items.table]
    probes = [
        tf.constant(np.random.default_rng(3).normal(size=v.shape), tf.float32)
        for v in variables
    ]
    results = []
    for propagate in (
        tower.propagate,
        lambda: _tfgnn_propagate(
            graph, tower.users.value(), tower.items.table.value(), 3
        ),
    ):
        with tf.GradientTape() as tape:
            values = propagate()
            probe = tf.add_n(
                [
                    tf.reduce_sum(p * v)
                    for p, v in zip(probes, values, strict=True)
                ]
            )
        results.append([*values, *tape.gradient(probe, variables)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_symmetric_weights_by_hand():
    weights = symmetric_weights(EDGES)
    # user 0 has 2 edges, item 0 has 2; user 2 has 3, item 2 has 1
    np.testing.assert_allclose(weights[0], 1 / np.sqrt(2 * 2), rtol=1e-6)
    np.testing.assert_allclose(weights[4], 1 / np.sqrt(3 * 1), rtol=1e-6)


def test_another_catalogue_is_refused():
    tower, graph = _tower(1)
    with pytest.raises(ValueError, match="5 item nodes, the item table 7"):
        LightGCN(
            ItemEmbedding(7, 4, 0.5, seed=1),
            BipartiteAdjacency.from_graph(graph),
            GraphTowerConfig(),
            0.5,
            seed=2,
        )


@pytest.mark.parametrize("repeatable", [True, False])
def test_beside_a_gpu_repeatable_products_are_the_cpu_s(
    monkeypatch, repeatable
):
    """TensorFlow's kernel for GPUs refuses them, at the first step."""
    monkeypatch.setattr(
        tf_framework_config, "is_op_determinism_enabled", lambda: repeatable
    )
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind: ["a GPU"]
    )
    tower, _ = _tower(2)
    expected = tower.propagate().users

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            users, items = tower.propagate()
            length = tf.nn.l2_loss(users) + tf.nn.l2_loss(items)
        folded = tower.fold_in().items
        return users, tape.gradient(length, tower.users), folded

    graph = step.get_concrete_function().graph
    products = [
        operation.device
        for operation in graph.get_operations()
        if operation.type == "SparseTensorDenseMatMul"
    ]
    # 4 forward and 4 back, and 4 of the layers that are folded in
    assert products == ["/device:CPU:0" if repeatable else ""] * 12
    np.testing.assert_array_equal(step()[0], expected)
