"""SASRec against numpy, its properties, and the settings of both towers."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from models.config import ModelConfig, SequentialConfig
from models.item_embedding import ItemEmbedding
from models.sequential.build import build_sequential_tower
from models.sequential.sasrec import SASRec
from models.sequential.transformer import StatelessDropout
from tests.models import numpy_transformer


def _config(**settings):
    return SequentialConfig(
        **{
            "max_length": 7,
            "num_heads": 2,
            "dropout": 0.5,
            "attention_dropout": 0.5,
            **settings,
        }
    )


def _tower(**settings):
    items = ItemEmbedding(20, 8, 0.5, seed=1)
    return SASRec(items, _config(**settings), 0.5, seed=2)


@pytest.mark.parametrize(
    ("norm", "activation", "positions", "scale_inputs"),
    list(
        itertools.product(
            ["pre", "post"],
            ["relu", "gelu"],
            ["newest", "oldest"],
            [True, False],
        )
    ),
)
def test_states_equal_numpy(norm, activation, positions, scale_inputs):
    config = _config(
        norm=norm,
        activation=activation,
        positions=positions,
        scale_inputs=scale_inputs,
        feed_forward_dim=5,
    )
    items = ItemEmbedding(20, 8, 0.5, seed=1)
    tower = SASRec(items, config, 0.5, seed=2)
    numpy_transformer.randomize(tower)
    # the table has 6 rows; histories of one item, of some, of all columns
    for history in ([4], [7, 7, 2, 19], [1, 2, 3, 4, 5, 6]):
        padded = np.zeros((1, 6), np.int32)
        padded[0, 6 - len(history) :] = history
        rows = np.arange(len(history))
        if positions == "newest":
            rows += 6 - len(history)
        expected = numpy_transformer.forward(
            tower,
            config,
            items.table.numpy()[np.array(history) - 1],
            rows,
            causal=True,
        )
        actual = tower(tf.constant(padded)).numpy()[0, -len(history) :]
        np.testing.assert_allclose(actual, expected, atol=2e-5)


def test_gradient_of_positions_from_the_oldest_is_dense():
    # one row of the table takes part in several histories: only a dense
    # gradient has the right norm for clipping
    tower = _tower(positions="oldest")
    histories = tf.constant([[0, 0, 0, 1, 2, 3], [0, 0, 0, 0, 4, 5]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tower(histories)[:, -1] ** 2)
    gradient = tape.gradient(loss, tower.positions)
    assert isinstance(gradient, tf.Tensor)
    np.testing.assert_array_equal(gradient[3:], 0.0)


@pytest.mark.parametrize("positions", ["newest", "oldest"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_state_does_not_depend_on_later_items(norm, positions):
    tower = _tower(norm=norm, positions=positions)
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


@pytest.mark.parametrize("positions", ["newest", "oldest"])
def test_padding_on_the_left_changes_nothing(positions):
    tower = _tower(positions=positions)
    short = tower.last_state(tf.constant([[3, 4]]))
    padded = tower.last_state(tf.constant([[0, 0, 0, 0, 3, 4]]))
    np.testing.assert_allclose(short, padded, atol=1e-6)


@pytest.mark.parametrize("positions", ["newest", "oldest"])
def test_only_the_newest_items_count(positions):
    tower = _tower(positions=positions)
    newest = tower.last_state(tf.constant([[3, 4, 5, 6, 7, 8]]))
    longer = tower.last_state(tf.constant([[1, 2, 3, 4, 5, 6, 7, 8]]))
    np.testing.assert_allclose(newest, longer, atol=1e-6)


@pytest.mark.parametrize("positions", ["newest", "oldest"])
def test_an_empty_history_is_finite(positions):
    tower = _tower(positions=positions)
    state = tower.last_state(tf.zeros([2, 6], tf.int32))
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


@pytest.mark.parametrize("encoder", ["sasrec", "bert4rec"])
def test_the_settings_choose_the_tower(encoder):
    config = ModelConfig(embedding_dim=8, sequential=_config(encoder=encoder))
    items = ItemEmbedding(20, 8, 0.5, seed=1)
    tower = build_sequential_tower(items, config, seed=3)
    assert tower is not None and tower.name == encoder


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("encoder", "gru4rec"),
        ("norm", "none"),
        ("activation", "tanh"),
        ("positions", "middle"),
        ("mask_probability", 0.0),
        ("mask_probability", 1.0),
        ("mask_probability", float("nan")),
        ("last_mask_probability", -0.1),
        ("last_mask_probability", 1.1),
        ("max_length", 1),
    ],
)
def test_wrong_settings_are_refused_by_name(setting, value):
    with pytest.raises(ValueError, match=f"`{setting}`.*found"):
        _config(**{setting: value})
