"""InfoNCE, Gaussian mutual information and Barlow Twins."""

import numpy as np
import pytest
import tensorflow as tf

from models.losses.barlow_twins import barlow_twins_loss
from models.losses.contrastive import infonce_loss
from models.losses.mutual_information import gaussian_mutual_information_loss
from tests.models.loss_checks import (
    assert_gradients_match_slopes,
    normal,
    value_and_gradients,
)

USERS, DIM = 50, 4


def _barlow(local, global_):
    return barlow_twins_loss(local, global_, 0.3)


def _barlow_rows(local, global_):
    return barlow_twins_loss(local, global_, 0.3, normalize_rows=True)


def _infonce(local, global_):
    return infonce_loss(local, global_, 0.2)


def _information(local, global_):
    return gaussian_mutual_information_loss(local, global_, 0.1)


LOSSES = [_barlow, _barlow_rows, _infonce, _information]


def _pair(users=USERS, dim=DIM):
    """Two views that share a part."""
    shared = normal(users, dim, seed=1)
    return (
        shared + normal(users, dim, seed=2),
        2 * shared + normal(users, dim, seed=3) + 5,
    )


def _numpy_infonce(local, global_, temperature):
    local = local / np.linalg.norm(local, axis=1, keepdims=True)
    global_ = global_ / np.linalg.norm(global_, axis=1, keepdims=True)
    total = 0.0
    for one, other in ((local, global_), (global_, local)):
        for user in range(len(one)):
            scores = other @ one[user] / temperature
            total += np.log(np.exp(scores).sum()) - scores[user]
    return total / (2 * len(local))


def _numpy_information(local, global_, ridge):
    """From canonical correlations, without any determinant."""
    d = local.shape[1]
    both = np.concatenate([local, global_], axis=1)
    shrunk = (1 - ridge) * np.corrcoef(both.T) + ridge * np.eye(2 * d)

    def inverse_root(matrix):
        values, vectors = np.linalg.eigh(matrix)
        return vectors / np.sqrt(values) @ vectors.T

    correlations = np.linalg.svd(
        inverse_root(shrunk[:d, :d])
        @ shrunk[:d, d:]
        @ inverse_root(shrunk[d:, d:]),
        compute_uv=False,
    )
    return -0.5 * np.log(1 - correlations**2).sum()


def test_infonce_equals_numpy():
    local, global_ = _pair()
    for temperature in (0.1, 1.0):
        np.testing.assert_allclose(
            infonce_loss(local, global_, temperature).numpy(),
            _numpy_infonce(local, global_, temperature),
            rtol=1e-12,
        )


def test_infonce_by_hand():
    # cosines 1 with the own vector and 0 with the other's
    loss = infonce_loss([[3.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 9.0]], 0.5)
    np.testing.assert_allclose(loss, np.log(1 + np.exp(-2)), rtol=1e-6)


def test_infonces_bound_on_the_information_never_exceeds_log_users():
    local, _ = _pair()
    for other in (local, -local, normal(USERS, DIM, seed=9)):
        for temperature in (0.001, 0.1, 10.0):
            bound = np.log(USERS) - infonce_loss(local, other, temperature)
            assert bound <= np.log(USERS)
    # unit vectors, each of them the nearest to itself: the bound is reached
    np.testing.assert_allclose(
        infonce_loss(local, local, 0.001), 0.0, atol=1e-3
    )
    # where all vectors agree there is nothing to tell users apart by
    same = np.ones([USERS, DIM])
    np.testing.assert_allclose(infonce_loss(same, same, 0.1), np.log(USERS))


def test_information_equals_canonical_correlations():
    local, global_ = _pair()
    for ridge in (0.001, 0.1, 0.9):
        np.testing.assert_allclose(
            gaussian_mutual_information_loss(local, global_, ridge).numpy(),
            -_numpy_information(local, global_, ridge) / DIM,
            rtol=1e-9,
        )


def test_information_of_one_column_by_hand():
    # columns of correlation 0.6, shrunk by a half to 0.3
    local = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    global_ = 0.6 * local + 0.8 * np.array([[1.0], [-1.0], [1.0], [-1.0]])
    np.testing.assert_allclose(
        gaussian_mutual_information_loss(local, global_, 0.5).numpy(),
        0.5 * np.log(1 - 0.3**2),
        rtol=1e-12,
    )


def test_information_is_zero_without_correlation_and_never_negative():
    columns = np.array(
        [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float
    )
    np.testing.assert_allclose(
        gaussian_mutual_information_loss(columns[:, :1], columns[:, 1:], 0.1),
        0.0,
        atol=1e-15,
    )
    for users in (1, 2, 3, 10):
        local, global_ = normal(users, 6, seed=users), normal(users, 6, seed=9)
        assert gaussian_mutual_information_loss(local, global_, 0.01) <= 0


def test_information_survives_linear_maps_as_the_ridge_goes_to_zero():
    local, global_ = _pair(users=400)
    local_map, global_map = normal(DIM, DIM, seed=7), normal(DIM, DIM, seed=8)
    changes = []
    for ridge in (1e-1, 1e-3, 1e-6):
        before = gaussian_mutual_information_loss(local, global_, ridge)
        after = gaussian_mutual_information_loss(
            local @ local_map, global_ @ global_map, ridge
        )
        changes.append(abs(float(after / before) - 1))
    assert changes[0] > changes[1] > changes[2]
    assert changes[2] < 1e-4
    # Barlow Twins asks for the same columns
    mapped = barlow_twins_loss(local @ local_map, global_ @ global_map, 0.3)
    assert abs(mapped / _barlow(local, global_) - 1) > 0.1


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_by_finite_differences(loss):
    assert_gradients_match_slopes(loss, *_pair(users=12))


@pytest.mark.parametrize("loss", LOSSES)
def test_order_of_the_batch_changes_nothing(loss):
    local, global_ = _pair()
    order = np.random.default_rng(0).permutation(USERS)
    np.testing.assert_allclose(
        loss(local[order], global_[order]), loss(local, global_), rtol=1e-12
    )
    # pairs that are torn apart are worse
    assert loss(local[order], global_) > loss(local, global_)


@pytest.mark.parametrize("loss", [_barlow, _information])
def test_shift_and_scale_of_columns_change_nothing(loss):
    local, global_ = _pair()
    moved = loss(
        local * np.array([1e-3, 1.0, 7.0, 1e3]) - 4, global_ * 0.01 + 2
    )
    np.testing.assert_allclose(moved, loss(local, global_), rtol=1e-7)


@pytest.mark.parametrize("loss", [_infonce, _barlow_rows])
def test_length_of_the_vectors_changes_nothing(loss):
    """In neither tower, where a loss takes directions only."""
    local, global_ = _pair()
    lengths = np.random.default_rng(0).uniform(0.1, 9, [USERS, 1])
    expected = loss(local, global_)
    np.testing.assert_allclose(loss(local * lengths, global_), expected)
    np.testing.assert_allclose(loss(local, global_ * lengths), expected)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dim", [64, 128])
def test_float32_at_the_sizes_of_training(loss, dim):
    local, global_ = _pair(users=128, dim=dim)
    local, global_ = 0.02 * local, 0.02 * global_
    value, gradients = value_and_gradients(
        loss, local, global_, dtype=tf.float32
    )
    expected, exact = value_and_gradients(loss, local, global_)
    assert value.dtype == np.float32
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    for ours, gradient in zip(gradients, exact, strict=True):
        error = np.linalg.norm(ours - gradient) / np.linalg.norm(gradient)
        assert error < 1e-4


def _with_constant_columns(users):
    local, global_ = _pair(users, 6)
    local[:, 1] = 1000.1  # not a float32
    local[:, 2] = 0.0
    global_[:, 1] = -0.3
    global_[:, 4] = 0.1
    return local, global_


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "pair",
    [
        _pair(0),
        _pair(1),
        _pair(2),
        _with_constant_columns(1),
        _with_constant_columns(2),
        _with_constant_columns(64),
        (np.zeros([8, 4]), np.zeros([8, 4])),
        (np.ones([8, 4]), _pair(8)[1]),
    ],
    ids="none one two one-c two-c many-c zeros equal".split(),
)
def test_degenerate_batches_are_finite(loss, pair):
    value, gradients = value_and_gradients(loss, *pair, dtype=tf.float32)
    assert np.isfinite(value)
    for gradient in gradients:
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("loss", [_barlow, _information])
def test_columns_that_do_not_vary_get_no_gradient(loss):
    local, global_ = _with_constant_columns(64)
    _, (d_local, d_global) = value_and_gradients(
        loss, local, global_, dtype=tf.float32
    )
    for gradient, constant in ((d_local, [1, 2]), (d_global, [1, 4])):
        assert (gradient[:, constant] == 0).all()
        others = np.delete(gradient, constant, axis=1)
        assert 0 < np.abs(others).max() < 1
        assert np.abs(others).max(axis=0).min() > 0


def test_values_of_one_user_by_hand():
    # no correlation: d times (1 - 0)^2 / d; nothing to tell apart; none
    values = [loss(*_pair(1)).numpy() for loss in LOSSES]
    np.testing.assert_allclose(values, [1, 1, 0, 0], atol=1e-12)


def test_wrong_settings_are_refused():
    local, global_ = _pair()
    with pytest.raises(ValueError, match="`temperature` .* found 0"):
        infonce_loss(local, global_, 0)
    for ridge in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="`ridge` .* found"):
            gaussian_mutual_information_loss(local, global_, ridge)
