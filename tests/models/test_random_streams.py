"""No two draws of a fit are made from the same numbers."""

import dataclasses
import itertools
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import models
from models import random_streams
from models.config import LocalLossConfig
from models.create import Create, LossWeights
from models.fitting.compiled_epoch import CompiledEpoch
from models.fitting.input_pipeline import right_aligned
from models.random_streams import Stream
from models.sequential.layers import DropoutMasks
from tests.models.fit_helpers import (
    MODEL,
    NUM_ITEMS,
    TRAINING,
    make_period,
    small_model,
)

OF_AN_EPOCH = {
    name: value
    for name, value in vars(random_streams).items()
    if name.isupper() and isinstance(value, int)
}
OF_A_STEP = {
    name: value
    for name, value in vars(random_streams).items()
    if isinstance(value, Stream)
}
SEED = tf.constant([3, 7])


def test_a_number_belongs_to_one_stream():
    assert len(set(OF_AN_EPOCH.values())) == len(OF_AN_EPOCH)
    taken = [
        range(stream.start, stream.start + stream.size)
        for stream in OF_A_STEP.values()
    ]
    for one, other in itertools.combinations(taken, 2):
        assert one.stop <= other.start or other.stop <= one.start


def test_no_number_has_changed():
    """Published figures name their seed: it must go on to mean the same."""
    assert OF_AN_EPOCH == {
        "SEQUENCES": 0,
        "EDGES": 1,
        "GRAPH_EDGES": 2,
        "BATCHES": 99,
    }
    assert {name: stream.start for name, stream in OF_A_STEP.items()} == {
        "REPLICAS": 0,
        "NEGATIVES": 1000,
        "DROPPED_EDGES": 1100,
        "MASKS": 2000,
        "LAST_MASKS": 2001,
        "USER_VECTORS": 2002,
        "ATTENTION": 3000,
        "BUCKETS": 4000,
    }
    order = random_streams.order(5, 2, random_streams.EDGES)
    same = np.random.Generator(np.random.Philox(key=[5, 2**32 + 2]))
    assert order.permutation(50).tolist() == same.permutation(50).tolist()
    step = random_streams.step_seed(5, tf.constant(2), tf.constant(4))
    fold_in = tf.random.experimental.stateless_fold_in
    np.testing.assert_array_equal(step, fold_in([5, 2], 4))
    np.testing.assert_array_equal(
        random_streams.NEGATIVES.seed(step, 1), fold_in(step, 1001)
    )


def test_every_seed_is_another():
    seeds = [
        tuple(stream.seed(SEED, number).numpy())
        for stream in OF_A_STEP.values()
        for number in range(min(stream.size, 3))
    ]
    steps = [
        tuple(random_streams.step_seed(3, tf.constant(epoch), tf.constant(n)))
        for epoch in (1, 2)
        for n in range(3)
    ]
    found = [*seeds, *(tuple(map(int, step)) for step in steps), (3, 7)]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("number", [-1, 100])
def test_a_stream_ends_before_the_next_one(number):
    with pytest.raises(ValueError, match=f"Draw {number} lies outside"):
        random_streams.NEGATIVES.seed(SEED, number)
    random_streams.NEGATIVES.seed(SEED, 99)


@pytest.mark.parametrize("function", ["stateless_fold_in", "Philox"])
def test_numbers_are_folded_into_seeds_here_alone(function):
    folder = pathlib.Path(models.__file__).parent
    assert [
        file.name
        for file in folder.rglob("*.py")
        if function in file.read_text()
    ] == ["random_streams.py"]


@pytest.mark.parametrize("sequential", ["sasrec", "bert4rec"])
@pytest.mark.parametrize("graph", ["lightgcn", "ultragcn"])
def test_no_two_variables_start_alike(sequential, graph):
    """The same seed gives the same numbers, whatever the shape and scale."""
    config = small_model(sequential, graph)
    period = make_period(20)
    model = Create(config, NUM_ITEMS, period.adjacency, 3)
    starts = [
        (f"{variable.name} {variable.shape}", np.ravel(variable))
        for variable in model.trainable_variables
        if np.std(variable) > 0  # biases and norms start with 0 or 1
    ]
    # Both tables, positions, and the kernels of a block.
    assert len(starts) >= 3 + 4
    for (name, one), (other, two) in itertools.combinations(starts, 2):
        size = min(len(one), len(two))
        assert abs(np.corrcoef(one[:size], two[:size])[0, 1]) < 0.999, (
            name,
            other,
        )


def test_orders_of_an_epoch_are_drawn_as_said(eager, monkeypatch):
    drawn = []

    def order(seed, epoch, stream, call=random_streams.order):
        drawn.append((seed, epoch, stream))
        return call(seed, epoch, stream)

    monkeypatch.setattr(random_streams, "order", order)
    period = make_period(10)
    training = dataclasses.replace(TRAINING, seed=6, batch_by_length=True)
    compiled = CompiledEpoch(
        Create(MODEL, NUM_ITEMS, period.adjacency, 0),
        training,
        period.sequences,
    )
    compiled.run(3, warmup=True)
    assert drawn == [(6, 3, random_streams.GRAPH_EDGES)]
    drawn.clear()
    compiled.run(4, warmup=False)
    assert sorted(drawn) == [
        (6, 4, stream)
        for stream in (
            random_streams.SEQUENCES,
            random_streams.EDGES,
            random_streams.BATCHES,
        )
    ]


# In a step of two blocks. Of the pass that is trained on: the positions'
# dropout and the attention's of each block. Beside it: dropped edges, two
# attempts at negatives, centres of buckets.
OF_BOTH = 3 + 1 + 2 + 1


@pytest.mark.parametrize(
    ("encoder", "draws", "passes"),
    [
        ("sasrec", OF_BOTH, 1),
        # Masks, last masks, and the dropout of the pass for user vectors.
        ("bert4rec", OF_BOTH + 2 + 3, 2),
    ],
)
def test_no_two_draws_of_a_step_repeat_each_other(
    encoder, draws, passes, eager, monkeypatch
):
    tower = dataclasses.replace(
        MODEL.sequential,
        encoder=encoder,
        num_blocks=2,
        dropout=0.2,
        attention_dropout=0.3,
        last_mask_probability=0.5,
    )
    config = dataclasses.replace(
        MODEL,
        sequential=tower,
        graph=dataclasses.replace(MODEL.graph, edge_dropout=0.1),
        local_loss=LocalLossConfig(kind="scalable_cross_entropy"),
    )
    period = make_period(10)
    model = Create(config, NUM_ITEMS, period.adjacency, 0)
    seeds, masks = [], {}

    def noted(draw):
        def drawn(*arguments, **others):
            seed = others["seed"] if "seed" in others else arguments[1]
            seeds.append(tuple(seed.numpy()))
            return draw(*arguments, **others)

        return drawn

    def numbered(self, inputs, number, call=DropoutMasks.__call__):
        masks.setdefault(id(self), (self, []))[1].append(number)
        return call(self, inputs, number)

    for module, name in (
        (tf.random, "stateless_uniform"),
        (tf.random, "stateless_normal"),
        (tf.nn.experimental, "stateless_dropout"),
    ):
        monkeypatch.setattr(module, name, noted(getattr(module, name)))
    monkeypatch.setattr(DropoutMasks, "__call__", numbered)
    sequences = period.sequences
    model.joint_loss(
        tf.constant(
            right_aligned(sequences.items, sequences.offsets, tower.max_length)
        ),
        tf.constant(sequences.users),
        tf.range(len(period.adjacency.edges)),
        SEED,
        LossWeights(tf.constant(1.0), tf.constant(1.0)),
    )
    assert len(seeds) == draws
    assert len(set(seeds)) == draws
    # Input, attention and feed-forward of each block, every mask once.
    assert [sorted(numbers) for _, numbers in masks.values()] == (
        [[0, 1, 2, 3, 4]] * passes
    )
