"""No two draws of a fit are made from the same numbers."""

import itertools
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import models
from models import random_streams
from models.random_streams import Stream

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
