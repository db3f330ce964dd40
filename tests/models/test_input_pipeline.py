"""Batches are complete, seeded and cut correctly."""

import numpy as np
import pytest

from models.fitting.input_pipeline import (
    Sequences,
    batches_by_length,
    right_aligned,
    shuffled_batches,
    spread_over_batches,
)


def test_right_aligned_keeps_the_newest():
    items = np.array([1, 2, 3, 4, 5, 6, 7])
    offsets = np.array([0, 4, 4, 5, 7])
    expected = [[2, 3, 4], [0, 0, 0], [0, 0, 5], [0, 6, 7]]
    np.testing.assert_array_equal(right_aligned(items, offsets, 3), expected)


@pytest.mark.parametrize("number", [1, 9, 10, 11])
def test_shuffled_batches_hold_everything_once(number):
    batches = shuffled_batches(number, 5, seed=3, epoch=2, stream=0)
    flat = batches.reshape(-1)
    assert batches.shape == (-(-number // 5), 5)
    assert sorted(flat[flat >= 0]) == list(range(number))
    assert (flat[number:] == -1).all()


def test_order_depends_on_seed_epoch_and_stream_alone():
    first = shuffled_batches(50, 7, 1, 1, 0)
    np.testing.assert_array_equal(first, shuffled_batches(50, 7, 1, 1, 0))
    for other in ((2, 1, 0), (1, 2, 0), (1, 1, 1)):
        seed, epoch, stream = other
        again = shuffled_batches(50, 7, seed, epoch, stream)
        assert (first != again).any(), other


@pytest.mark.parametrize("number,batches", [(10, 3), (2, 5), (0, 4), (12, 4)])
def test_spread_is_even_and_complete(number, batches):
    spread = spread_over_batches(number, batches, 0, 1, 0)
    sizes = (spread >= 0).sum(1)
    assert len(spread) == batches
    assert sizes.max() - sizes.min() <= 1
    assert sorted(spread[spread >= 0]) == list(range(number))


def test_batches_by_length_keep_all_and_save_padding():
    lengths = np.random.default_rng(0).integers(1, 50, 1000)
    order = shuffled_batches(1000, 16, 0, 1, 0)
    sorted_batches = batches_by_length(order, lengths, 0, 1)

    def padding(batches):
        return sum(
            (lengths[b[b >= 0]].max() - lengths[b[b >= 0]]).sum()
            for b in batches
        )

    flat = sorted_batches.reshape(-1)
    assert sorted(flat[flat >= 0]) == list(range(1000))
    assert padding(sorted_batches) < 0.3 * padding(order)


def test_items_outside_the_catalogue_are_refused():
    with pytest.raises(ValueError, match=r"1\.\.3, found 1\.\.4"):
        Sequences(np.array([1, 4]), np.array([0, 2]), np.array([0]), 3)
