"""Properties of the sequential tower."""

import numpy as np
import pytest
import tensorflow as tf

from models.config import SequentialConfig
from models.item_embedding import ItemEmbedding
from models.sequential.sasrec import SASRec
from models.sequential.transformer import StatelessDropout


def _tower(**settings):
    config = SequentialConfig(
        **{
            "max_length": 7,
            "num_heads": 2,
            "dropout": 0.5,
            "attention_dropout": 0.5,
            **settings,
        }
    )
    items = ItemEmbedding(20, 8, 0.5, seed=1)
    return SASRec(items, config, 0.5, seed=2)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_state_does_not_depend_on_later_items(norm):
    tower = _tower(norm=norm)
    base = tf.constant([[1, 2, 3, 4, 5, 6]])
    changed = tf.constant([[1, 2, 3, 9, 8, 7]])
    before, after = tower(base).numpy(), tower(changed).numpy()
    np.testing.assert_allclose(before[:, :3], after[:, :3], atol=1e-6)
    assert np.abs(before[:, 3:] - after[:, 3:]).max() > 1e-3


def test_a_state_depends_on_every_earlier_item():
    tower = _tower()
    base = tower(tf.constant([[1, 2, 3, 4, 5, 6]])).numpy()[0, -1]
    for column in range(6):
        histories = np.array([[1, 2, 3, 4, 5, 6]])
        histories[0, column] = 15
        state = tower(tf.constant(histories)).numpy()[0, -1]
        assert np.abs(state - base).max() > 1e-5, column


def test_order_matters():
    tower = _tower()
    first = tower.last_state(tf.constant([[0, 0, 1, 2, 3, 4]]))
    second = tower.last_state(tf.constant([[0, 0, 2, 1, 3, 4]]))
    assert np.abs(first - second).max() > 1e-4


def test_padding_on_the_left_changes_nothing():
    tower = _tower()
    short = tower.last_state(tf.constant([[3, 4]]))
    padded = tower.last_state(tf.constant([[0, 0, 0, 0, 3, 4]]))
    np.testing.assert_allclose(short, padded, atol=1e-6)


def test_an_empty_history_is_finite():
    state = _tower().last_state(tf.zeros([2, 6], tf.int32))
    assert np.isfinite(state).all()


def test_dropout_is_a_function_of_the_seed():
    tower = _tower()
    histories = tf.constant([[1, 2, 3, 4, 5, 6]])
    one, again, other = (
        tower(histories, tf.constant(seed)).numpy()
        for seed in ([7, 1], [7, 1], [7, 2])
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3
    assert np.abs(one - tower(histories).numpy()).max() > 1e-3


def test_dropout_keeps_the_mean_and_drops_the_share():
    ones = tf.ones([200_000])
    dropped = StatelessDropout(0.3, 4)(ones, tf.constant([1, 2])).numpy()
    assert np.mean(dropped == 0) == pytest.approx(0.3, abs=0.005)
    assert dropped.mean() == pytest.approx(1.0, abs=0.01)
    other = StatelessDropout(0.3, 5)(ones, tf.constant([1, 2])).numpy()
    # layers draw independently: .3^2 + .7^2 of the places agree
    assert np.mean((dropped == 0) == (other == 0)) == pytest.approx(
        0.58, abs=0.01
    )


def test_attention_equals_numpy():
    tower = _tower(num_blocks=1)
    attention = tower.blocks[0].attention
    inputs = np.random.default_rng(0).normal(size=(1, 3, 8)).astype("float32")
    mask = np.tril(np.ones((1, 1, 3, 3), bool))
    actual = attention(tf.constant(inputs), tf.constant(mask), None).numpy()

    kernel, bias = (w.numpy() for w in attention.query_key_value.weights)
    out_kernel, out_bias = (
        w.numpy() for w in attention.output_projection.weights
    )
    query, key, value = np.split(inputs[0] @ kernel + bias, 3, axis=1)
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        logits = query[:, head] @ key[:, head].T / np.sqrt(4)
        logits = np.where(mask[0, 0], logits, -np.inf)
        weights = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        heads.append(weights @ value[:, head])
    expected = np.concatenate(heads, axis=1) @ out_kernel + out_bias
    np.testing.assert_allclose(actual[0], expected, atol=1e-5)
