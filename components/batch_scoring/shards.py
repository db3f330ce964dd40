"""One shard: a file of histories in, a Parquet file of rankings out."""

from __future__ import annotations

import dataclasses
import json
import os
import uuid
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems

from components.raw_ids import PAD, padded, text

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_ids", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
    ]
)
# Who reads the folder as one table passes over names with _ in front.
JOB_FILE = "_job.json"
# Ids of a batch of requests padded to the longest: some 100 MiB as text.
_MAX_BATCH_IDS = 4 * 1024 * 1024
_FEATURES = {
    "user_id": tf.io.FixedLenFeature([], tf.string),
    "item_ids": tf.io.RaggedFeature(tf.string),
}


class JobError(ValueError):
    """The output folder belongs to another job."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What is written; a folder holds the shards of one job only.

    Attributes:
        model: folder of the SavedModel.
        k: items per user.
        exclude_history: whether a user's own items are left out.
        batch_size: users per call of the model.
    """

    model: str
    k: int
    exclude_history: bool
    batch_size: int = 512

    def claim(self, output: str, histories: str) -> None:
        """Writes `_job.json`, or checks that it is that of this job.

        Args:
            output: folder of the results.
            histories: fingerprint of the files that are scored.

        Raises:
            JobError: the folder holds another job's shards, or some whose job
                is not known.
        """
        path = FileSystems.join(output, JOB_FILE)
        content = {**dataclasses.asdict(self), "histories": histories}
        # The answers are the same for any, and where memory was too small a
        # job goes on with a smaller one.
        del content["batch_size"]
        if FileSystems.exists(path):
            with FileSystems.open(path) as file:
                found = json.loads(file.read())
            others = [
                f"`{key}` {found.get(key)!r} there, {value!r} asked for"
                for key, value in content.items()
                if found.get(key) != value
            ]
            if others:
                raise JobError(
                    f"{output} holds shards of another job: "
                    f"{'; '.join(others)}. Fix: give a folder of its own "
                    "(one per night, say), or remove this one."
                )
            return
        if not FileSystems.exists(output):
            FileSystems.mkdirs(output)
        elif _shards_there(output):
            raise JobError(
                f"{output} holds Parquet files, but no {JOB_FILE} that says of "
                "which job. Fix: give a folder of its own, or remove this one."
            )
        with FileSystems.create(path, "application/json") as file:
            file.write(json.dumps(content, indent=1).encode())


def _shards_there(output: str) -> bool:
    pattern = FileSystems.join(output, "*.parquet")
    return bool(FileSystems.match([pattern])[0].metadata_list)


def output_of(shard: str, output: str) -> str:
    """Where the rankings of a file of histories are written."""
    name = os.path.basename(shard).removesuffix(".gz")
    return FileSystems.join(output, f"{name}.parquet")


def write_shard(shard: str, output: str, job: Job, recommend: tf.Module) -> int:
    """Ranks the users of one file.

    The result gets its name only when it is complete, so that a job that was
    killed leaves no half of a shard behind.

    Args:
        shard: gzipped TFRecord file of examples with user_id and item_ids.
        output: folder of the results.
        job: what to write.
        recommend: the signature `recommend` of the model.

    Returns:
        The number of users.
    """
    final = output_of(shard, output)
    temporary = FileSystems.join(output, f"_{uuid.uuid4().hex}.tmp")
    users = 0
    with FileSystems.create(temporary) as file:
        with pq.ParquetWriter(file, SCHEMA) as writer:
            for user_ids, histories in _batches(shard, job.batch_size):
                writer.write_table(_rank(user_ids, histories, job, recommend))
                users += len(user_ids)
    FileSystems.rename([temporary], [final])
    return users


def _batches(
    shard: str, batch_size: int
) -> Iterator[tuple[list[bytes], list[list[bytes]]]]:
    """Users and their histories, in parts that fit into memory."""
    records = tf.data.TFRecordDataset(shard, compression_type="GZIP")
    for serialized in records.batch(batch_size).as_numpy_iterator():
        parsed = tf.io.parse_example(serialized, _FEATURES)
        users = parsed["user_id"].numpy().tolist()
        histories = parsed["item_ids"].to_list()
        start, longest = 0, 0
        for row, history in enumerate(histories):
            longest = max(longest, len(history))
            rows = row - start + 1
            if rows > 1 and rows * longest > _MAX_BATCH_IDS:
                yield users[start:row], histories[start:row]
                start, longest = row, len(history)
        yield users[start:], histories[start:]


def _rank(
    user_ids: list[bytes],
    histories: list[list[bytes]],
    job: Job,
    recommend: tf.Module,
) -> pa.Table:
    ids = tf.constant(padded(histories), tf.string)
    answer = recommend(
        history=ids,
        exclude=ids if job.exclude_history else ids[:, :0],
        k=tf.constant(job.k, tf.int32),
    )
    item_ids, scores = answer["item_ids"].numpy(), answer["scores"].numpy()
    kept = item_ids != PAD  # Pads, where the catalogue has no more.
    offsets = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    return pa.table(
        [
            pa.array([text(u) for u in user_ids], pa.string()),
            pa.ListArray.from_arrays(
                pa.array(offsets, pa.int32()),
                pa.array([text(i) for i in item_ids[kept]], pa.string()),
            ),
            pa.ListArray.from_arrays(
                pa.array(offsets, pa.int32()),
                pa.array(scores[kept], pa.float32()),
            ),
        ],
        schema=SCHEMA,
    )
