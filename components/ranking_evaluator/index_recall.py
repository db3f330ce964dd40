"""How much of the exact answer an approximate index finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from components import model_requests
from components.histories import Histories
from components.ranking_evaluator import ranking
from components.ranking_evaluator.config import EvaluationConfig
from components.ranking_evaluator.exported_model import ExportedModel
from components.raw_ids import padded
from components.targets import Targets
from serving import custom_ops
from serving.config import EXACT

MAX_USERS = 1000

# Items read at once, and scores in memory: 128 MiB.
_PART = 10_000
_MAX_SCORES = 2**25
# The model's scores and numpy's differ by rounding; an item that ties with
# the last one of the exact answer is as good.
_TOLERANCE = 1e-4


def measure(
    directory: str,
    catalogue: list[bytes],
    test: Histories,
    targets: Targets,
    config: EvaluationConfig,
    max_length: int,
) -> dict[str, Any]:
    """Recall of `recommend` against the ranking of all items.

    The exact ranking is by the inner products of the model's own signatures
    user_vector and item_vectors. Users without a known item are left out:
    popular items are what they get from any index.

    Args:
        directory: of the SavedModel.
        catalogue: ids of all items that it knows.
        test: histories of the test users.
        targets: the requests that were measured, of the main rule.
        config: cutoffs, and whether seen items are excluded.
        max_length: as the evaluation has it.

    Returns:
        What `assets.extra/model.json` says of the index; of an approximate
        one also `users`, how many were asked about, and `recall`, by cutoff
        the share of the exact best items that were found (mean over users;
        None without a user).
    """
    facts = custom_ops.index_of(directory)
    if facts["kind"] == EXACT:
        return facts
    model = ExportedModel(directory, catalogue)
    exact = _ExactIndex(directory)
    first = model_requests.first_events(test)
    found: dict[int, list[np.ndarray]] = {k: [] for k in config.cutoffs}
    chosen = targets.evenly(MAX_USERS)
    for part in chosen.batches(config.batch_size, ranking.MAX_BATCH_EVENTS):
        histories, excluded = model_requests.build(
            test, first, part, model_requests.HISTORY_FACTOR * max_length
        )
        if config.seen_items != "filtered":
            excluded = [[]] * len(histories)
        vectors, known = exact.user_vectors(histories)
        for k in config.cutoffs:
            answers = model.recommend(histories, excluded, k)
            recall = exact.recall(vectors, excluded, answers, k)
            found[k].append(recall[known])
    recalls = {k: np.concatenate([[], *parts]) for k, parts in found.items()}
    users = len(recalls[config.cutoffs[0]])
    return {
        **facts,
        "users": users,
        "recall": {
            str(k): float(values.mean()) if users else None
            for k, values in recalls.items()
        },
    }


def sentence(index: dict[str, Any]) -> str:
    """One line on the index, for the console and the report; "" if exact."""
    if index["kind"] == EXACT:
        return ""
    settings = (
        f"Approximate index ({index['kind']}, {index['leaves_to_search']:,} of "
        f"{index['leaves']:,} leaves, {index['candidates']:,} candidates)"
    )
    if not index["users"]:
        return f"{settings}: no user with a known item to measure it on."
    shares = ", ".join(
        f"{100 * share:.2f} % of the exact top {k}"
        for k, share in index["recall"].items()
    )
    return f"{settings}: finds {shares} ({index['users']:,} users)."


class _ExactIndex:
    """Ranks by numpy what the model says its vectors are."""

    def __init__(self, directory: str) -> None:
        # The signatures hold their variables only as long as it lives.
        self._loaded = tf.saved_model.load(directory)
        signatures = self._loaded.signatures
        self._user_vector = signatures["user_vector"]
        ids: list[np.ndarray] = []
        vectors: list[np.ndarray] = []
        while not ids or len(ids[-1]) == _PART:
            part = signatures["item_vectors"](
                start=tf.constant(_PART * len(ids), tf.int64),
                count=tf.constant(_PART),
            )
            ids.append(part["item_ids"].numpy())
            vectors.append(part["vectors"].numpy())
        self._vectors = np.concatenate(vectors)
        self._positions = {
            item: position for position, item in enumerate(np.concatenate(ids))
        }

    def user_vectors(
        self, histories: list[list[bytes]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """[n, d] vectors and [n] bool: there is a known item."""
        answer = self._user_vector(
            history=tf.constant(padded(histories), tf.string)
        )
        return answer["vectors"].numpy(), answer["known_items"].numpy() > 0

    def recall(
        self,
        vectors: np.ndarray,
        excluded: list[list[bytes]],
        answers: np.ndarray,
        k: int,
    ) -> np.ndarray:
        """[n] share of each user's exact best k items that were answered.

        Args:
            vectors: [n, d] of the users.
            excluded: raw item ids each user must not get.
            answers: [n, at most k] raw item ids, b"" where there is none.
            k: items asked for.
        """
        block = max(_MAX_SCORES // len(self._vectors), 1)
        shares = []
        for start in range(0, len(vectors), block):
            part = slice(start, start + block)
            scores = vectors[part] @ self._vectors.T
            rows = zip(scores, excluded[part], answers[part], strict=True)
            shares += [self._of_user(*row, k) for row in rows]
        return np.array(shares)

    def _of_user(
        self,
        scores: np.ndarray,
        excluded: list[bytes],
        answer: np.ndarray,
        k: int,
    ) -> float:
        barred = [self._positions[i] for i in excluded if i in self._positions]
        scores[barred] = -np.inf
        best = min(k, int(np.isfinite(scores).sum()))
        if not best:
            return 1.0
        last = np.partition(scores, -best)[-best]
        got = scores[[self._positions[item] for item in answer if item]]
        enough = got >= last - _TOLERANCE * max(1.0, abs(last))
        return min(int(enough.sum()), best) / best
