"""SASRec against numpy, its properties, and the settings of both towers."""

import numpy as np
import pytest
import tensorflow as tf

from models.config import ModelConfig, SequentialConfig
from models.item_embedding import ItemEmbedding
from models.sequential.build import build_sequential_tower
from models.sequential.layers import DropoutMasks, LayerNorm
from models.sequential.packing import Packing
from models.sequential.sasrec import SASRec
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


@pytest.mark.parametrize("options", numpy_transformer.OPTIONS, ids=str)
def test_states_equal_numpy(options):
    config = _config(**options, feed_forward_dim=5)
    items = ItemEmbedding(20, 8, 0.5, seed=1)
    tower = SASRec(items, config, 0.5, seed=2)
    numpy_transformer.randomize(tower)
    # the table has 6 rows; histories of one item, of some, of all columns
    for history in ([4], [7, 7, 2, 19], [1, 2, 3, 4, 5, 6]):
        padded = np.zeros((1, 6), np.int32)
        padded[0, 6 - len(history) :] = history
        rows = np.arange(len(history))
        if config.positions == "newest":
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
    ones = tf.ones([2_000, 101])
    masks = DropoutMasks(0.3, 2, tf.shape(ones), tf.constant([1, 2]))
    dropped, other = masks(ones, 0).numpy(), masks(ones, 1).numpy()
    assert np.mean(dropped == 0) == pytest.approx(0.3, abs=0.005)
    assert dropped.mean() == pytest.approx(1.0, abs=0.01)
    # masks are drawn independently: .3^2 + .7^2 of the places agree
    assert np.mean((dropped == 0) == (other == 0)) == pytest.approx(
        0.58, abs=0.01
    )
    # and so are neighbouring places, which share a random word
    pairs = (dropped == 0)[:, :100].reshape(-1, 2).mean(axis=0)
    np.testing.assert_allclose(pairs, 0.3, atol=0.005)
    both = ((dropped == 0)[:, 0:100:2] & (dropped == 0)[:, 1:100:2]).mean()
    assert both == pytest.approx(0.09, abs=0.005)


def test_layer_norm_equals_keras_in_values_and_gradients():
    ours = LayerNorm(8, "ours")
    theirs = tf.keras.layers.LayerNormalization(epsilon=1e-8)
    theirs.build((None, 8))
    generator = np.random.default_rng(0)
    weights = [generator.normal(size=8).astype("float32") for _ in range(2)]
    inputs = tf.Variable(generator.normal(size=(5, 8)), dtype=tf.float32)
    probe = tf.constant(generator.normal(size=(5, 8)), tf.float32)
    results = []
    for layer in (ours, theirs):
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            outputs = layer(inputs)
            loss = tf.reduce_sum(probe * outputs)
        results.append(
            [outputs, *tape.gradient(loss, [inputs, *layer.trainable_weights])]
        )
    for mine, other in zip(*results, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)


def test_packing_is_undone_by_padding():
    known = np.array([[0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 1]], bool)
    packing = Packing.of(tf.constant(known))
    values = np.random.default_rng(0).normal(size=(4, 3, 2))
    packed = packing.pack(tf.constant(values))
    np.testing.assert_array_equal(packed, values[known])
    padded = values * known[..., None]
    np.testing.assert_array_equal(packing.pad(packed), padded)
    # the second history is empty
    np.testing.assert_array_equal(packing.last(packed), padded[:, -1])


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
