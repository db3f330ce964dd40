"""PureSVD: a truncated singular value decomposition of users and items.

P. Cremonesi, Y. Koren, R. Turrin: Performance of recommender algorithms on
top-N recommendation tasks (RecSys 2010). The columns are scaled by a power of
their length, A. N. Nikolakopoulos et al.: EigenRec (KAIS 2019):

    R' = R diag(n_i ** ((s - 1) / 2)),  R' ~ U S V^T,  scores = h V V^T

with n_i the users of item i and h the zeros and ones of a history. s = 1
leaves the matrix as it is, lower values take weight from popular items.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
import tensorflow as tf
from scipy.sparse.linalg import svds

from models.baselines.personal import PersonalBaseline


class PureSVD(PersonalBaseline):
    """Scores items by their part in the leading singular vectors."""

    def __init__(
        self,
        fit: scipy.sparse.csr_matrix,
        rank: int,
        scaling: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Decomposes the matrix.

        Args:
            fit: [num_users, num_items] events to learn from.
            rank: singular vectors that are kept; all there are, if fewer.
            scaling: s above.
            seed: of the vector that the iterations start from.

        Raises:
            ValueError: `rank` below 1, or nothing to learn from.
        """
        if rank < 1:
            raise ValueError(f"`rank` must be at least 1, found {rank}.")
        self._rank, self._scaling, self._seed = rank, scaling, seed
        super().__init__(fit)

    def _fit(self, fit: scipy.sparse.csr_matrix) -> None:
        users = np.asarray(fit.sum(axis=0), np.float64)[0]
        scale = scipy.sparse.diags(users ** ((self._scaling - 1) / 2))
        scaled = fit.astype(np.float64) @ scale
        smaller = min(scaled.shape)
        if self._rank < smaller:
            start = np.random.default_rng(self._seed).standard_normal(smaller)
            right = svds(
                scaled,
                k=self._rank,
                v0=start,
                return_singular_vectors="vh",
            )[2]
        else:
            # ARPACK wants fewer vectors than there are.
            _, values, right = np.linalg.svd(
                scaled.toarray(), full_matrices=False
            )
            right = right[values > 1e-9 * values[0]]
        # Kept twice, so that no call turns or copies it.
        self._vectors = np.ascontiguousarray(right.T, np.float32)
        self._table = tf.constant(self._vectors)

    def _scores(self, histories: scipy.sparse.csr_matrix) -> tf.Tensor:
        folded_in = histories @ self._vectors
        return tf.matmul(folded_in, self._table, transpose_b=True)
