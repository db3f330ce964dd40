"""PureSVD and item neighbours against numpy and scikit-learn."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.metrics.pairwise import cosine_similarity

from models.baselines import personal
from models.baselines.item_knn import WEIGHTINGS, ItemKNN
from models.baselines.lists import PAD
from models.baselines.popularity import MostPopular, by_count
from models.baselines.pure_svd import PureSVD


def matrix(users=60, items=18, density=0.2, seed=0):
    """Zeros and ones; the last item has no event, some are repeated."""
    generator = np.random.default_rng(seed)
    dense = (generator.random((users, items)) < density).astype(float)
    dense[:, -1] = 0.0
    dense[0, 0] = 3.0
    return dense


def sparse(dense):
    return scipy.sparse.csr_matrix(dense)


def order_of(scores, counts, barred=()):
    """Best first: by score, then by popularity, then by number."""
    ranked = sorted(
        (i for i in range(len(scores)) if counts[i] and i not in barred),
        key=lambda i: (-round(scores[i], 4), -counts[i], i),
    )
    return ranked


def check(baseline, dense, scores_of):
    """All lists of new users, with and without their own items."""
    histories = matrix(40, dense.shape[1], seed=9) > 0
    histories[3] = False
    counts = dense.sum(axis=0)
    scores = scores_of(histories.astype(float))
    for barred in (None, sparse(histories.astype(float))):
        (found,) = baseline.rank(
            sparse(histories.astype(float)), [barred], dense.shape[1] + 2
        )
        for user, row in enumerate(found.tolist()):
            own = np.flatnonzero(histories[user]) if barred is not None else ()
            expected = order_of(scores[user], counts, own)
            given = [item for item in row if item != PAD]
            assert sorted(given) == sorted(expected)
            # Equal up to float32: the same scores in the same order.
            np.testing.assert_allclose(
                scores[user][given], scores[user][expected], atol=2e-4
            )
            assert row == given + [PAD] * (len(row) - len(given))
    popular = MostPopular(counts).rank(1, 5)[0].tolist()
    (nothing,) = baseline.rank(sparse(np.zeros(dense.shape)), [None], 5)
    assert nothing[3].tolist() == popular


@pytest.mark.parametrize("rank", [1, 4, 17, 100])
@pytest.mark.parametrize("scaling", [1.0, 0.35, 0.0])
def test_svd_is_that_of_numpy(rank, scaling):
    dense = matrix()
    ones = (dense > 0).astype(float)
    users = ones.sum(axis=0)
    scale = np.where(users, np.maximum(users, 1) ** ((scaling - 1) / 2), 0.0)
    vectors = np.linalg.svd(ones * scale)[2][: min(rank, 17)]
    check(
        PureSVD(sparse(dense), rank, scaling),
        dense,
        lambda histories: histories @ vectors.T @ vectors,
    )


def test_svd_does_not_depend_on_the_start():
    dense = matrix()
    lists = [
        PureSVD(sparse(dense), 5, 0.35, seed).rank(sparse(dense), [None], 10)[0]
        for seed in (0, 1)
    ]
    np.testing.assert_array_equal(*lists)


def test_neighbours_by_cosine_are_those_of_scikit_learn():
    dense = matrix()
    similarity = cosine_similarity((dense > 0).T)
    check(
        ItemKNN(sparse(dense), 18, "cosine"),
        dense,
        lambda histories: histories @ similarity,
    )


def test_tfidf_weighs_users_as_scikit_learn():
    """scikit-learn's idf is log(n / df) + 1: the library has no + 1."""
    dense = matrix()
    ones = (dense > 0).astype(float)[:, :-1]
    items_of_user = ones.sum(axis=1)
    idf = np.log(17) - np.log1p(items_of_user)
    plain = TfidfTransformer(smooth_idf=False, norm=None)
    theirs = plain.fit(ones.T).idf_
    # The same but for the 1 that is added to the user's items.
    np.testing.assert_allclose(theirs[3] - 1, np.log(17 / items_of_user[3]))
    similarity = np.zeros((18, 18))
    similarity[:17, :17] = cosine_similarity((ones * idf[:, np.newaxis]).T)
    check(
        ItemKNN(sparse(dense), 18, "tfidf"),
        dense,
        lambda histories: histories @ similarity,
    )


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_only_the_nearest_neighbours_count(weighting):
    dense = matrix()
    items = by_count(dense.sum(axis=0))
    all_of_them = ItemKNN(sparse(dense), 17, weighting)._similarity.toarray()
    few = ItemKNN(sparse(dense), 4, weighting)._similarity.toarray()
    assert len(items) == len(few) == 17
    for whole, kept in zip(all_of_them, few, strict=True):
        assert np.count_nonzero(kept) <= 4
        dropped = whole[kept == 0]
        assert kept[kept > 0].min() >= dropped.max() - 1e-6
        np.testing.assert_allclose(kept[kept > 0], whole[kept > 0])


def test_blocks_do_not_change_the_lists(monkeypatch):
    dense = matrix()
    baseline = PureSVD(sparse(dense), 3)
    whole = baseline.rank(sparse(dense), [sparse(dense), None], 6)
    monkeypatch.setattr(personal, "_BLOCK_ENTRIES", 17 * 7)
    np.testing.assert_array_equal(
        baseline.rank(sparse(dense), [sparse(dense), None], 6), whole
    )


def test_recent_events_come_first():
    popular = MostPopular(np.array([5, 4, 4, 0, 1]), np.array([0, 1, 1, 0, 2]))
    assert popular.rank(2, 5).tolist() == [[4, 1, 2, 0, PAD]] * 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: PureSVD(m, 0), "`rank`"),
        (lambda m: ItemKNN(m, 0), "`neighbors`"),
        (lambda m: ItemKNN(m, 3, "jaccard"), "`weighting`.*jaccard"),
        (lambda m: PureSVD(m * 0, 2), "Nothing to learn from: 60 users"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    fit = sparse(matrix())
    fit = fit if "Nothing" not in message else sparse(np.zeros((60, 18)))
    with pytest.raises(ValueError, match=message):
        make(fit)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_users_who_had_nearly_everything_weigh_nothing(weighting):
    """Their tf-idf is log(n / (1 + n - 1)) = 0, so items may have no length."""
    dense = np.ones((4, 3))
    dense[0, 0] = 0.0
    dense[1:, 2] = 0.0
    baseline = ItemKNN(sparse(dense), 2, weighting)
    assert np.isfinite(baseline._similarity.data).all()
    assert baseline.rank(sparse(dense[:1]), [None], 3)[0].shape == (1, 3)
