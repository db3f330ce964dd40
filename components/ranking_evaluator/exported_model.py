"""Asks an exported SavedModel for recommendations and checks the answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import tensorflow as tf

from components.raw_ids import PAD, padded
from serving import custom_ops
from serving.signatures import RECOMMEND


class ModelAnswerError(ValueError):
    """The model's answers cannot be measured: NaN, too few, repeated."""


class ExportedModel:
    """A SavedModel behind its own `recommend` signature, as it is served."""

    def __init__(self, directory: str, catalogue: Collection[bytes]) -> None:
        """Loads the model.

        Args:
            directory: of the SavedModel.
            catalogue: raw ids of all items the model knows.

        Raises:
            ModelAnswerError: there is no signature `recommend`.
            MissingOpsError: it needs a package that is missing.
        """
        custom_ops.register(directory)
        # The signature holds its variables only as long as the object lives.
        self._loaded = tf.saved_model.load(directory)
        if RECOMMEND not in self._loaded.signatures:
            raise ModelAnswerError(
                f"The SavedModel in {directory} has no signature "
                f"`{RECOMMEND}`, found {sorted(self._loaded.signatures)}. "
                "Export it with serving.export.export_saved_model."
            )
        self._recommend = self._loaded.signatures[RECOMMEND]
        self._catalogue = frozenset(catalogue)

    def recommend(
        self,
        histories: Sequence[Sequence[bytes]],
        excluded: Sequence[Sequence[bytes]],
        k: int,
    ) -> np.ndarray:
        """The model's top items.

        Args:
            histories: raw item ids of each user, oldest first.
            excluded: raw item ids each user must not get.
            k: items wanted per user.

        Returns:
            [num_users, at most k] bytes objects, best first; b"" only where
            the catalogue has no more items for the user.

        Raises:
            ModelAnswerError: an answer is NaN, too short, repeated, not
                sorted, excluded or not in the catalogue.
        """
        answers = self._recommend(
            history=tf.constant(padded(histories), tf.string),
            exclude=tf.constant(padded(excluded), tf.string),
            k=tf.constant(k, tf.int32),
        )
        item_ids = answers["item_ids"].numpy()
        self._check(item_ids, answers["scores"].numpy(), excluded, k)
        return item_ids

    def _check(
        self,
        item_ids: np.ndarray,
        scores: np.ndarray,
        excluded: Sequence[Sequence[bytes]],
        k: int,
    ) -> None:
        if item_ids.shape != scores.shape or len(item_ids) != len(excluded):
            raise ModelAnswerError(
                f"For {len(excluded)} users the model answered item_ids "
                f"{item_ids.shape} and scores {scores.shape}; expected "
                f"[{len(excluded)}, {k}] each."
            )
        valid = item_ids != PAD
        wrong = valid & ~np.isfinite(scores)
        if wrong.any():
            raise ModelAnswerError(
                f"{int(wrong.sum())} of {int(valid.sum())} scores are not "
                f"finite (the first: {scores[wrong][0]}). Look for NaN in "
                "training (losses in training.json) or a lower learning rate."
            )
        if (scores[:, 1:] > scores[:, :-1]).any():
            raise ModelAnswerError("Answers are not sorted, best score first.")
        for row, barred in zip(item_ids, excluded, strict=True):
            self._check_user([i for i in row if i != PAD], set(barred), k)

    def _check_user(
        self, answer: list[bytes], barred: set[bytes], k: int
    ) -> None:
        distinct = set(answer)
        if len(distinct) < len(answer):
            twice = next(i for i in answer if answer.count(i) > 1)
            raise ModelAnswerError(f"Item {twice!r} is recommended twice.")
        if not distinct <= self._catalogue:
            raise ModelAnswerError(
                f"Item {min(distinct - self._catalogue)!r} is recommended but "
                "is not in the item vocabulary: the model was exported with "
                "other items than this run's."
            )
        if distinct & barred:
            raise ModelAnswerError(
                f"Item {min(distinct & barred)!r} is recommended although "
                "the request excludes it."
            )
        available = len(self._catalogue) - len(self._catalogue & barred)
        if len(answer) != min(k, available):
            raise ModelAnswerError(
                f"{len(answer)} items are recommended where {k} were asked "
                f"for and {available} are available."
            )
