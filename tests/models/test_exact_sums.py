"""Sums on the grid beside the standard library's exact ones."""

import math

import numpy as np
import pytest

from models.metrics.exact_sums import on_grid


@pytest.mark.parametrize("scale", [1.0, 3e-9, 7e12])
@pytest.mark.parametrize("terms", [1, 7, 1000, 2**14])
def test_sums_do_not_round(scale, terms):
    random = np.random.default_rng(terms)
    values = on_grid(scale * random.normal(size=terms), terms)
    drawn = random.multinomial(terms, np.full(terms, 1 / terms))
    repeated = np.repeat(values, drawn)
    exact = math.fsum(repeated)
    assert drawn @ values == exact
    assert repeated.sum() == repeated[::-1].sum() == exact
    assert np.cumsum(random.permutation(repeated))[-1] == exact


def test_largest_value_drawn_every_time_does_not_round():
    values = on_grid(np.array([1.0, -1 / 3, 0.1]), 1000)
    assert values[1] * 1000 == math.fsum([values[1]] * 1000)
    total = 0.0
    for _ in range(1000):
        total += values[2]
    assert total == math.fsum([values[2]] * 1000)
    # The same of what is not on the grid does round.
    assert sum([0.1] * 1000) != math.fsum([0.1] * 1000)


@pytest.mark.parametrize("terms", [1, 10_000, 1_000_000])
def test_values_move_less_than_promised(terms):
    values = np.random.default_rng(0).normal(size=500)
    moved = np.abs(on_grid(values, terms) - values).max()
    assert moved <= np.abs(values).max() * terms * 2.0**-52


def test_zeros_and_nothing_stay():
    assert on_grid(np.zeros(3), 5).tolist() == [0, 0, 0]
    assert on_grid(np.array([]), 5).size == 0
    assert on_grid(np.array([[0.5, -2.0]]), 5).tolist() == [[0.5, -2.0]]
