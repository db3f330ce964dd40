import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import ndcg_score

from models.metrics import ranking


def _random_problem(seed, users=40, items=60, dim=8):
    generator = np.random.default_rng(seed)
    states = generator.normal(size=(users, dim)).astype(np.float32)
    vectors = generator.normal(size=(items, dim)).astype(np.float32)
    targets = generator.integers(0, items, users)
    return states, vectors, targets


def _ranks_by_sorting(scores, targets):
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.argmax(order == targets[:, None], axis=1) + 1


def test_ranks_are_positions_in_the_sorted_catalogue():
    states, vectors, targets = _random_problem(0)
    ranks = ranking.target_ranks(states, vectors, targets)
    expected = _ranks_by_sorting((states @ vectors.T), targets)
    np.testing.assert_array_equal(ranks, expected)


def test_ties_go_to_the_lower_row_as_in_top_k():
    # Small integers: many exactly equal scores.
    generator = np.random.default_rng(1)
    states = generator.integers(0, 2, (30, 3)).astype(np.float32)
    vectors = generator.integers(0, 2, (20, 3)).astype(np.float32)
    targets = generator.integers(0, 20, 30)
    ranks = ranking.target_ranks(states, vectors, targets)
    _, order = tf.math.top_k(states @ vectors.T, 20)
    for rank, row, target in zip(
        ranks.numpy(), order.numpy(), targets, strict=True
    ):
        assert row[rank - 1] == target


def test_equal_scores_everywhere_rank_by_row():
    ranks = ranking.target_ranks(
        np.zeros((3, 2), np.float32),
        np.ones((5, 2), np.float32),
        np.array([0, 3, 4]),
    )
    assert ranks.numpy().tolist() == [1, 4, 5]


def test_seen_items_step_aside_and_a_seen_target_cannot_be_hit():
    states = np.array([[1.0], [1.0], [-1.0]], np.float32)
    vectors = np.array([[4.0], [3.0], [2.0], [1.0]], np.float32)
    targets = np.array([2, 0, 0])
    seen = (np.array([0, 0, 1]), np.array([0, 1, 0]))
    kept = ranking.target_ranks(states, vectors, targets)
    filtered = ranking.target_ranks(states, vectors, targets, seen)
    assert kept.numpy().tolist() == [3, 1, 4]
    assert filtered.numpy().tolist() == [1, 5, 4]


def test_target_outside_the_catalogue_is_ranked_behind_every_item():
    states, vectors, _ = _random_problem(2, users=2)
    ranks = ranking.target_ranks(states, vectors, np.array([-1, -1]))
    assert ranks.numpy().tolist() == [61, 61]


@pytest.mark.parametrize("broken", ["states", "items"])
def test_nan_never_improves_a_rank(broken):
    states, vectors, targets = _random_problem(3)
    if broken == "states":
        states[:] = np.nan
    else:
        vectors[:59] = np.nan
        targets[:] = 59
    ranks = ranking.target_ranks(states, vectors, targets)
    assert ranks.numpy().min() >= 60


def test_ranks_inside_a_function_with_unknown_batch():
    states, vectors, targets = _random_problem(4)
    seen = (np.arange(40), (targets + 1) % 60)
    compiled = tf.function(
        ranking.target_ranks,
        input_signature=[
            tf.TensorSpec([None, 8]),
            tf.TensorSpec([None, 8]),
            tf.TensorSpec([None], tf.int64),
            (tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.int64)),
        ],
    )
    eager = ranking.target_ranks(states, vectors, targets, seen)
    np.testing.assert_array_equal(
        compiled(states, vectors, targets, seen), eager
    )


def test_metrics_of_hand_ranks():
    ranks = np.array([1, 3, 10, 11, ranking.UNRANKED])
    metrics = ranking.ranks_to_metrics(ranks, (10, 2))
    assert metrics == {
        "ndcg_at_2": pytest.approx(1 / 5),
        "recall_at_2": pytest.approx(1 / 5),
        # 1/log2(2) = 1, 1/log2(4) = 0.5, 1/log2(11) = 0.289065
        "ndcg_at_10": pytest.approx((1 + 0.5 + 0.2890648) / 5),
        "recall_at_10": pytest.approx(3 / 5),
        "mrr_at_10": pytest.approx((1 + 1 / 3 + 1 / 10) / 5),
    }


def test_ndcg_agrees_with_scikit_learn():
    states, vectors, targets = _random_problem(5)
    scores = states @ vectors.T
    relevance = np.eye(60)[targets]
    ranks = ranking.target_ranks(states, vectors, targets).numpy()
    metrics = ranking.ranks_to_metrics(ranks, (5, 20))
    for k in (5, 20):
        assert metrics[f"ndcg_at_{k}"] == pytest.approx(
            ndcg_score(relevance, scores, k=k)
        )


@pytest.mark.parametrize("cutoffs", [(), (0, 10)])
def test_bad_cutoffs_are_named(cutoffs):
    with pytest.raises(ValueError, match="`cutoffs`"):
        ranking.per_user_values(np.array([1]), cutoffs)


def test_rank_zero_and_no_user_are_errors():
    with pytest.raises(ValueError, match="start at 1, found 0"):
        ranking.per_user_values(np.array([2, 0]), (10,))
    with pytest.raises(ValueError, match="No user"):
        ranking.ranks_to_metrics(np.array([], np.int64), (10,))


def test_coverage_is_a_share_of_the_universe():
    assert ranking.coverage(4, 8) == 0.5
    assert ranking.coverage(0, 8) == 0.0
    with pytest.raises(ValueError, match="4 distinct items"):
        ranking.coverage(4, 3)
    with pytest.raises(ValueError, match="universe of 0"):
        ranking.coverage(0, 0)
