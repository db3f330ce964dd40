"""BERT4Rec against numpy, its masks, what it may see, and what it learns."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import (
    AlignmentConfig,
    GraphTowerConfig,
    ModelConfig,
    SequentialConfig,
    TrainingConfig,
)
from models.create import Create, LossWeights
from models.fitting.fit import Period, fit
from models.fitting.input_pipeline import Queries, Sequences
from models.fitting.schedule import Schedule
from models.graph.propagation import BipartiteAdjacency, symmetric_weights
from models.item_embedding import ItemEmbedding
from models.sequential.bert4rec import BERT4Rec
from models.sequential.masking import training_masks
from tests.models import numpy_transformer

SEED = tf.constant([3, 4])
# right-aligned, the last row of one event only
SEQUENCES = np.array(
    [
        [1, 2, 3, 4, 5, 6, 7],
        [0, 0, 0, 8, 9, 8, 10],
        [0, 0, 0, 0, 0, 11, 12],
        [0, 0, 0, 0, 0, 0, 13],
    ],
    np.int32,
)


def _config(**changes):
    return SequentialConfig(
        **{
            "encoder": "bert4rec",
            "max_length": 7,
            "num_heads": 2,
            "feed_forward_dim": 5,
            "dropout": 0.0,
            **changes,
        }
    )


def _tower(**changes):
    items = ItemEmbedding(20, 8, 0.5, seed=1)
    tower = BERT4Rec(items, _config(**changes), 0.5, seed=2)
    numpy_transformer.randomize(tower)
    return tower


# --- The states --------------------------------------------------------------


@pytest.mark.parametrize("options", numpy_transformer.OPTIONS, ids=str)
def test_states_equal_numpy(options):
    tower = _tower(**options)
    masked = np.zeros(SEQUENCES.shape, bool)
    masked[[0, 0, 1, 2, 2, 3], [1, 6, 4, 5, 6, 6]] = True
    actual = tower(tf.constant(SEQUENCES), tf.constant(masked)).numpy()
    for row, length in enumerate([7, 4, 2, 1]):
        items = SEQUENCES[row, -length:]
        vectors = tower.items.table.numpy()[items - 1]
        vectors[masked[row, -length:]] = tower.mask_vector.numpy()
        first = 7 - length if options["positions"] == "newest" else 0
        expected = numpy_transformer.forward(
            tower,
            _config(**options),
            vectors,
            first + np.arange(length),
            causal=False,
        )
        np.testing.assert_allclose(actual[row, -length:], expected, atol=2e-5)


@pytest.mark.parametrize("positions", ["newest", "oldest"])
def test_user_vector_is_the_state_of_a_mask_behind_the_history(positions):
    tower = _tower(positions=positions)
    for history in ([], [4], [5, 6, 7], [1, 2, 3, 4, 5, 6]):
        vectors = np.vstack(
            [tower.items.table.numpy()[i - 1] for i in history]
            + [tower.mask_vector.numpy()]
        )
        first = 6 - len(history) if positions == "newest" else 0
        rows = first + np.arange(len(history) + 1)
        expected = numpy_transformer.forward(
            tower, _config(), vectors, rows, causal=False
        )[-1]
        for width in {len(history), 6}:
            padded = np.zeros((1, width), np.int64)
            padded[0, width - len(history) :] = history
            actual = tower.last_state(tf.constant(padded)).numpy()
            np.testing.assert_allclose(actual[0], expected, atol=2e-5)


def test_only_the_newest_items_count():
    tower = _tower()
    newest = tower.last_state(tf.constant([[3, 4, 5, 6, 7, 8]]))
    longer = tower.last_state(tf.constant([[9, 2, 3, 4, 5, 6, 7, 8]]))
    np.testing.assert_array_equal(newest, longer)
    for column in range(6):
        histories = np.array([[3, 4, 5, 6, 7, 8]])
        histories[0, column] = 15
        state = tower.last_state(tf.constant(histories))
        assert np.abs(state - newest).max() > 1e-4, column


def test_a_state_sees_both_sides():
    tower = _tower()
    sequences = tf.constant([[1, 2, 3, 4, 5, 6, 7]])
    masked = tf.constant([[False] * 3 + [True] + [False] * 3])
    state = tower(sequences, masked)[0, 3]
    for column in (0, 1, 2, 4, 5, 6):
        changed = sequences.numpy()
        changed[0, column] = 15
        other = tower(tf.constant(changed), masked)[0, 3]
        assert np.abs(state - other).max() > 1e-4, column


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    positions=st.sampled_from(["newest", "oldest"]),
)
def test_items_under_masks_do_not_leak(seed, positions):
    tower = _tower(positions=positions)
    generator = np.random.default_rng(seed)
    sequences = np.where(
        SEQUENCES > 0, generator.integers(1, 21, SEQUENCES.shape), 0
    )
    masked = training_masks(
        tf.constant(SEQUENCES > 0), 0.4, 0.3, tf.constant([seed, 1])
    ).numpy()
    changed = np.where(
        masked, generator.integers(1, 21, SEQUENCES.shape), sequences
    )
    states, others = (
        tower(tf.constant(s), tf.constant(masked), SEED).numpy()
        for s in (sequences, changed)
    )
    np.testing.assert_array_equal(states, others)


# --- The masks ---------------------------------------------------------------


def _masks(known, probability, last_probability, seed=1):
    return training_masks(
        tf.constant(known),
        probability,
        last_probability,
        tf.constant([seed, 2]),
    ).numpy()


def test_mask_rate():
    known = np.ones((4000, 50), bool)
    known[:, :10] = False
    masked = _masks(known, 0.3, 0.0)
    assert not masked[:, :10].any()
    rates = masked[:, 10:].mean(axis=0)
    # standard error .0072 of a column, .0011 of all
    assert rates == pytest.approx(np.full(40, 0.3), abs=0.03)
    assert rates.mean() == pytest.approx(0.3, abs=0.005)
    counts = masked.sum(axis=1)
    assert counts.var() == pytest.approx(40 * 0.3 * 0.7, rel=0.1)


def test_a_sequence_without_a_draw_has_one_position_masked():
    known = np.ones((20_000, 4), bool)
    known[:, 0] = False
    masked = _masks(known, 0.01, 0.0)
    counts = masked[:, 1:].sum(axis=1)
    assert counts.min() == 1
    # beside the forced one: at least two draws of three
    assert (counts >= 2).mean() == pytest.approx(3 * 0.01**2, abs=6e-4)
    share = masked.mean(axis=0)
    assert share == pytest.approx([0.0, 1 / 3, 1 / 3, 1 / 3], abs=0.02)


def test_last_position_alone_is_masked_at_the_given_rate():
    known = np.ones((20_000, 6), bool)
    last = np.array([False] * 5 + [True])
    alone = (_masks(known, 0.5, 0.25) == last).all(axis=1).mean()
    by_chance = 0.75 * 0.5**6
    assert alone == pytest.approx(0.25 + by_chance, abs=0.012)
    assert (_masks(known, 0.5, 1.0) == last).all()
    assert not _masks(np.zeros((3, 6), bool), 0.5, 1.0).any()


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    probability=st.sampled_from([0.001, 0.2, 0.5, 0.999]),
    last_probability=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_masks_of_any_batch(lengths, probability, last_probability, seed):
    known = np.arange(9) >= 9 - np.array(lengths)[:, np.newaxis]
    masked = _masks(known, probability, last_probability, seed)
    assert not masked[~known].any()
    assert (masked.any(axis=1) == known.any(axis=1)).all()
    again = _masks(known, probability, last_probability, seed)
    np.testing.assert_array_equal(masked, again)


# --- Training states ---------------------------------------------------------


def test_training_states_are_those_of_the_masked_positions():
    tower = _tower()
    batch = tower.training_states(tf.constant(SEQUENCES), SEED)
    masked = training_masks(tf.constant(SEQUENCES > 0), 0.2, 0.1, SEED).numpy()
    np.testing.assert_array_equal(batch.targets, SEQUENCES[masked] - 1)
    states = tower(tf.constant(SEQUENCES), tf.constant(masked)).numpy()
    np.testing.assert_allclose(batch.states, states[masked], atol=1e-6)


def test_user_vectors_of_training_mean_what_they_do_at_inference():
    tower = _tower()
    batch = tower.training_states(tf.constant(SEQUENCES), SEED)
    # the history before the newest event, whatever that is
    expected = tower.last_state(tf.constant(SEQUENCES[:, :-1]))
    np.testing.assert_allclose(batch.users, expected, atol=1e-6)
    changed = SEQUENCES.copy()
    changed[:, -1] = 20
    other = tower.training_states(tf.constant(changed), SEED)
    np.testing.assert_allclose(batch.users, other.users, atol=1e-6)


def test_training_states_are_a_function_of_the_seed():
    tower = _tower(dropout=0.5)
    one, again, other = (
        tower.training_states(tf.constant(SEQUENCES), tf.constant(seed))
        for seed in ([7, 1], [7, 1], [7, 2])
    )
    for first, second in zip(one, again, strict=True):
        np.testing.assert_array_equal(first, second)
    assert np.abs(one.users - other.users).max() > 1e-3
    assert (
        one.targets.shape != other.targets.shape
        or np.abs(one.states - other.states).max() > 1e-3
    )


def test_every_weight_of_the_tower_is_trained():
    tower = _tower()
    with tf.GradientTape() as tape:
        states, targets, users = tower.training_states(
            tf.constant(SEQUENCES), SEED
        )
        right = tf.gather(tower.items.table, targets)
        loss = tf.reduce_sum((states - right) ** 2) + tf.reduce_sum(users**2)
    for variable, gradient in zip(
        tower.trainable_variables,
        tape.gradient(loss, tower.trainable_variables),
        strict=True,
    ):
        gradient = tf.convert_to_tensor(gradient)
        # a key's bias shifts all logits of a row alike
        assert np.abs(gradient).max() > 1e-6, variable.name


# --- A model of its own ------------------------------------------------------

NUM_ITEMS = 12
MODEL = ModelConfig(
    embedding_dim=16,
    sequential=_config(
        max_length=6, num_blocks=1, feed_forward_dim=16, dropout=0.1
    ),
    graph=GraphTowerConfig(encoder="none"),
    alignment=AlignmentConfig(kind="none"),
)
TRAINING = TrainingConfig(
    batch_size=16,
    learning_rate=0.01,
    warmup_epochs=0,
    max_epochs=30,
    patience=30,
    batch_by_length=True,
)


def _circle():
    """Users walk through the items in a circle: the next one is known."""
    lengths = np.repeat([3, 4, 6, 8], 48)
    starts = np.arange(len(lengths)) % NUM_ITEMS
    items = np.concatenate(
        [
            (start + np.arange(n)) % NUM_ITEMS + 1
            for start, n in zip(starts, lengths, strict=True)
        ]
    )
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    sequences = Sequences(items, offsets, np.arange(len(lengths)), NUM_ITEMS)
    last = np.arange(NUM_ITEMS)
    histories = (last[:, np.newaxis] + np.arange(-4, 1)) % NUM_ITEMS + 1
    histories[::2, :3] = 0
    none = np.zeros(0, np.int64)
    queries = Queries(histories, (last + 1) % NUM_ITEMS + 1, none, none)
    return Period(sequences, None, queries)


def _fit(max_epochs, checkpoint_dir=None):
    training = dataclasses.replace(TRAINING, max_epochs=max_epochs)
    return fit(
        "selection",
        MODEL,
        training,
        _circle(),
        Schedule.of_selection(MODEL, training),
        checkpoint_dir,
        report=lambda line: None,
    )


@pytest.fixture(scope="module")
def undisturbed():
    return _fit(TRAINING.max_epochs)


def test_it_learns_the_circle(undisturbed):
    ndcg = [r["validation_ndcg_at_10"] for r in undisturbed.epochs]
    # a random order of 12 items has NDCG@10 of 4.54 / 12 = 0.38
    assert ndcg[0] < 0.8
    assert max(ndcg) > 0.99


def test_a_resumed_fit_repeats_exactly(undisturbed, tmp_path):
    _fit(2, str(tmp_path))
    resumed = _fit(TRAINING.max_epochs, str(tmp_path))
    losses = [
        [record["loss"] for record in run.epochs]
        for run in (undisturbed, resumed)
    ]
    assert losses[0] == losses[1]
    for one, two in zip(
        undisturbed.model.weights, resumed.model.weights, strict=True
    ):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_one_event_per_user_has_a_loss():
    model = Create(MODEL, NUM_ITEMS, None, 0)
    with tf.GradientTape() as tape:
        parts = model.joint_loss(
            tf.constant([[0, 0, 3], [0, 0, 5]]),
            tf.constant([0, 1]),
            tf.zeros([0], tf.int32),
            SEED,
            LossWeights(tf.constant(0.1), tf.constant(0.2)),
        )
    # nothing is known of either, so all 12 items are about equally likely
    assert float(parts.local) == pytest.approx(np.log(NUM_ITEMS), abs=0.1)
    gradient = tape.gradient(parts.total, model.items.table)
    assert np.isfinite(gradient).all()


def test_alignment_trains_the_tower_through_its_user_vectors():
    edges = np.array([[0, 0], [0, 1], [1, 2], [2, 3], [3, 4]])
    adjacency = BipartiteAdjacency(
        edges, symmetric_weights(edges), 4, NUM_ITEMS
    )
    config = dataclasses.replace(
        MODEL,
        graph=GraphTowerConfig(num_layers=1),
        alignment=AlignmentConfig(kind="barlow_twins"),
    )
    model = Create(config, NUM_ITEMS, adjacency, 0)
    with tf.GradientTape() as tape:
        parts = model.joint_loss(
            tf.constant(np.minimum(SEQUENCES[:, 1:], NUM_ITEMS)),
            tf.range(4),
            tf.range(5),
            SEED,
            LossWeights(tf.constant(0.1), tf.constant(0.2)),
        )
    gradient = tape.gradient(parts.alignment, model.sequential.mask_vector)
    assert float(parts.alignment) > 0.0
    assert np.abs(gradient).max() > 0.0
