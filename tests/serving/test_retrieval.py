"""The faster top-k against numpy, with ties wherever they may stand."""

import numpy as np
import pytest
import tensorflow as tf

from serving import retrieval


@pytest.mark.parametrize("values", [2, 5, 1000])
@pytest.mark.parametrize("number", [192, 640, 1000, 5003])
def test_grouped_top_k_is_top_k(number, values):
    random = np.random.default_rng(number + values)
    scores = random.integers(0, values, (7, number)).astype(np.float32)
    scores[random.random(scores.shape) < 0.05] = -np.inf
    scores[0, -3:] = values  # The best behind the last full group.
    for k in {1, 3, number // 64}:
        found, positions = retrieval._grouped_top_k(
            tf.constant(scores), tf.constant(k)
        )
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(positions, expected)
        np.testing.assert_array_equal(
            found, np.take_along_axis(scores, expected, 1)
        )


@pytest.mark.parametrize("users", [1, 5, 64, 65])
@pytest.mark.parametrize(("k", "many"), [(4, 0), (40, 0), (4, 2**30)])
def test_index_ranks_alike_in_every_way(users, k, many, monkeypatch):
    monkeypatch.setattr(retrieval, "_MANY_SCORES", many)
    random = np.random.default_rng(users)
    vectors = random.normal(size=(1100, 8)).astype(np.float32)
    queries = random.normal(size=(users, 8)).astype(np.float32)
    excluded = np.stack(
        [np.arange(users), random.integers(0, 1100, users)], axis=1
    )
    index = retrieval.build_index(vectors, np.linspace(1, 0, 1100))
    found, positions = index(
        {
            "vectors": tf.constant(queries),
            "popular": tf.constant([0], tf.int64),
            "excluded": tf.constant(excluded, tf.int64),
        },
        k=tf.constant(k),
    )
    scores = queries.astype(np.float64) @ vectors.T
    scores[0] = np.linspace(1, 0, 1100)
    scores[excluded[:, 0], excluded[:, 1]] = -np.inf
    expected = np.argsort(-scores, axis=1)[:, :k]
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_allclose(
        found, np.take_along_axis(scores, expected, 1), rtol=1e-4, atol=1e-5
    )
