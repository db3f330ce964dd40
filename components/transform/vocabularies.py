r"""Vocabularies of items and users, and what row of a table each has.

Each kind has two vocabularies: what the train events hold, and what the other
development events add. Rows of a table follow their concatenation, so the
catalogue of the train period is a prefix of the full one and does not change
with anything that is not train.

The files are gzipped TFRecords: TFT's text files would silently drop ids with
a line break. Row 0 of every file is the empty string, which is no id (ingest
refuses it): without it TFT would put a made-up token into an empty file.
Tokens are sorted by frequency, then in reverse lexicographic order.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf
import tensorflow_transform as tft

from components.periods import TRAIN, check_period

ITEMS = ("items_train", "items_development")
USERS = ("users_train", "users_development")

_FORMAT = "tfrecord_gzip"
_NO_ID = ""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """A vocabulary while the preprocessing graph is built.

    Attributes:
        name: file name, also the name to read it back by.
        path: TFT's deferred file name.
    """

    name: str
    path: tf.Tensor

    def rows(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Looks up ids.

        Args:
            ids: [n] string.

        Returns:
            [n] int64 numbers from 1, 0 where unknown, and [] int64, the
            number of ids in the vocabulary.
        """
        rows = tft.apply_vocabulary(
            ids, self.path, default_value=0, file_format=_FORMAT
        )
        # The size of the table itself: TFT's count of an empty vocabulary
        # is 1 even where the file has no such token.
        size = tft.get_num_buckets_for_transformed_feature(rows)
        return rows, tf.cast(size, tf.int64) - 1


def learn(name: str, ids: tf.Tensor) -> Vocabulary:
    """Collects the distinct ids of the whole data.

    Args:
        name: file name.
        ids: [n] string, those of the batch that count.
    """
    path = tft.vocabulary(
        ids,
        vocab_filename=name,
        reserved_tokens=[_NO_ID],
        file_format=_FORMAT,
        name=name,
    )
    return Vocabulary(name, path)


def concatenated_rows(
    first: Vocabulary, second: Vocabulary, ids: tf.Tensor
) -> tf.Tensor:
    """Rows of ids in the concatenation of two vocabularies.

    Args:
        first: vocabulary of the train period.
        second: what comes on top; shares no id with `first`.
        ids: [n] string.

    Returns:
        [n] int64 numbers from 1, 0 where unknown to both.
    """
    first_rows, first_size = first.rows(ids)
    second_rows, _ = second.rows(ids)
    return tf.where(second_rows > 0, second_rows + first_size, first_rows)


def read_item_ids(transform_graph_uri: str, period: str) -> list[bytes]:
    """Items of the period's catalogue; row i + 1 of the table is list[i].

    Args:
        transform_graph_uri: what Transform wrote.
        period: `train` or `train_validation`.
    """
    return _read(transform_graph_uri, period, ITEMS)


def read_user_ids(transform_graph_uri: str, period: str) -> list[bytes]:
    """Users that have a row in the period; row u of the table is list[u].

    Args:
        transform_graph_uri: what Transform wrote.
        period: `train` or `train_validation`, which gives all.
    """
    return _read(transform_graph_uri, period, USERS)


def _read(uri: str, period: str, names: tuple[str, str]) -> list[bytes]:
    check_period(period)
    output = tft.TFTransformOutput(uri)
    ids: list[bytes] = []
    for name in names[:1] if period == TRAIN else names:
        ids += output.vocabulary_by_name(name)[1:]
    return ids
