"""The functions behind the signatures: checks, ids to rows, answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from serving import signatures
from serving.recommender import Recommender, Tensors
from serving.request_checks import checked_positive, checked_rows
from serving.retrieval import NO_ITEM


def build(
    served: Recommender, exclude_history: bool, default_k: int
) -> dict[str, Callable[..., Tensors]]:
    """A function per signature; arguments are the signature's inputs.

    Args:
        served: what they compute with.
        exclude_history: whether `serving_default` leaves out the history.
        default_k: length of the answers of `serving_default`.
    """

    def serving_default(history: tf.Tensor) -> Tensors:
        (history,) = checked_rows(("history", history))
        rows = served.rows(history)
        excluded = rows if exclude_history else rows[:, :0]
        return served.recommend(rows, excluded, tf.constant(default_k))

    return {
        signatures.SERVING_DEFAULT: serving_default,
        signatures.RECOMMEND: lambda history, exclude, k: _recommend(
            served, history, exclude, k
        ),
        signatures.RECOMMEND_BATCH: lambda history, exclude, k: (
            _recommend_batch(served, history, exclude, k)
        ),
        signatures.SCORE: lambda history, candidates: _score(
            served, history, candidates
        ),
        signatures.USER_VECTOR: lambda history: served.user_vector(
            served.rows(checked_rows(("history", history))[0])
        ),
        signatures.ITEM_VECTORS: lambda start, count: _item_vectors(
            served, start, count
        ),
    }


def _recommend(
    served: Recommender, history: tf.Tensor, exclude: tf.Tensor, k: tf.Tensor
) -> Tensors:
    k = checked_positive("k", k)
    history, exclude = checked_rows(("history", history), ("exclude", exclude))
    return served.recommend(served.rows(history), served.rows(exclude), k)


def _recommend_batch(
    served: Recommender, history: tf.Tensor, exclude: tf.Tensor, k: tf.Tensor
) -> Tensors:
    """A `k` per user, so that TF Serving can join requests.

    All rows are as long as the longest asks for; "" and -inf fill the others.
    """
    k = checked_positive("k", k)
    history, exclude, k = checked_rows(
        ("history", history), ("exclude", exclude), ("k", k)
    )
    most = tf.reduce_max(tf.concat([k, [1]], axis=0))
    answer = served.recommend(served.rows(history), served.rows(exclude), most)
    columns = tf.shape(answer["scores"])[1]
    wanted = tf.range(columns)[tf.newaxis] < k[:, tf.newaxis]
    return {
        "item_ids": tf.where(wanted, answer["item_ids"], NO_ITEM),
        "scores": tf.where(wanted, answer["scores"], -np.inf),
    }


def _score(
    served: Recommender, history: tf.Tensor, candidates: tf.Tensor
) -> Tensors:
    history, candidates = checked_rows(
        ("history", history), ("candidates", candidates)
    )
    scores = served.score(served.rows(history), served.rows(candidates))
    return {"scores": scores}


def _item_vectors(
    served: Recommender, start: tf.Tensor, count: tf.Tensor
) -> Tensors:
    count = checked_positive("count", count)
    check = tf.debugging.assert_non_negative(
        start, "`start` must not be negative."
    )
    with tf.control_dependencies([check] if check is not None else []):
        start = tf.identity(start)
    return served.item_vectors(start, count)
