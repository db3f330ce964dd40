"""Item k-nearest neighbours: items like those that the user has had.

M. Deshpande, G. Karypis: Item-based top-N recommendation algorithms (TOIS
2004), with the similarities of the library `implicit`.
"""

from __future__ import annotations

import implicit.nearest_neighbours as nearest
import numpy as np
import scipy.sparse
import tensorflow as tf

from models.baselines.personal import PersonalBaseline


def _cosine(columns: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
    # An item whose users weigh nothing has no direction: like no other.
    with np.errstate(invalid="ignore", divide="ignore"):
        result = nearest.normalize(columns)
    result.data = np.nan_to_num(result.data, nan=0.0, posinf=0.0, neginf=0.0)
    return result


def _tfidf(columns: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
    return _cosine(nearest.tfidf_weight(columns))


# What the inner products are taken of, [num_items, num_users]. cosine: of the
# items' columns. tfidf: the same after users weigh the less the more items
# they had. bm25: Okapi BM25's weights, without the length 1.
_WEIGHTED = {
    "cosine": _cosine,
    "tfidf": _tfidf,
    "bm25": nearest.bm25_weight,
}
WEIGHTINGS = tuple(_WEIGHTED)


class ItemKNN(PersonalBaseline):
    """Scores an item by the sum of its similarities to the history's."""

    def __init__(
        self,
        fit: scipy.sparse.csr_matrix,
        neighbors: int,
        weighting: str = "tfidf",
    ) -> None:
        """Finds the nearest neighbours of every item.

        Args:
            fit: [num_users, num_items] events to learn from.
            neighbors: the nearest items that are kept of each, itself among
                them.
            weighting: one of `WEIGHTINGS`.

        Raises:
            ValueError: a setting out of range, or nothing to learn from.
        """
        if neighbors < 1:
            raise ValueError(
                f"`neighbors` must be at least 1, found {neighbors}."
            )
        if weighting not in _WEIGHTED:
            raise ValueError(
                f"`weighting` must be one of {', '.join(WEIGHTINGS)}, found "
                f"{weighting!r}."
            )
        self._neighbors, self._weighting = neighbors, weighting
        super().__init__(fit)

    def _fit(self, fit: scipy.sparse.csr_matrix) -> None:
        weighted = _WEIGHTED[self._weighting](fit.T.astype("float64"))
        model = nearest.ItemItemRecommender(K=self._neighbors)
        model.fit(weighted.T.tocsr(), show_progress=False)
        self._similarity = model.similarity.astype("float32")

    def _scores(self, histories: scipy.sparse.csr_matrix) -> tf.Tensor:
        return tf.constant((histories @ self._similarity).toarray())
