"""Iterated k-core: users and items with too few events are removed.

Removing a user takes events from items and the other way round, so it goes
on until nobody is below the minimum; the result does not depend on the order.
It needs the whole log at once: the events meet as integers, 8 bytes each, on
one worker (1 GB for 125 million events), everything else stays spread.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa

from components.history_example_gen.histories import BucketHistories
from components.history_example_gen.rules import CORE


@dataclasses.dataclass(frozen=True)
class BucketEvents:
    """Who had an event with what, in one bucket of users.

    Attributes:
        bucket: its number.
        users: [num_events] int32, numbers within the bucket.
        items: [num_events] int32 rows of `item_ids`.
        item_ids: [num_items] binary.
    """

    bucket: int
    users: np.ndarray
    items: np.ndarray
    item_ids: pa.Array


def core_mask(
    users: np.ndarray, items: np.ndarray, min_user: int, min_item: int
) -> np.ndarray:
    """[num_events] bool: the events of the k-core.

    Args:
        users: [num_events] numbers from 0.
        items: [num_events] numbers from 0.
        min_user: events that a user needs.
        min_item: events that an item needs.
    """
    rows = np.arange(len(users))
    while True:
        of_user = np.bincount(users[rows]) if len(rows) else users[rows]
        of_item = np.bincount(items[rows]) if len(rows) else items[rows]
        enough = (of_user[users[rows]] >= min_user) & (
            of_item[items[rows]] >= min_item
        )
        if enough.all():
            mask = np.zeros(len(users), bool)
            mask[rows] = True
            return mask
        rows = rows[enough]


def masks_of_buckets(
    buckets: Iterable[BucketEvents], min_user: int, min_item: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (bucket, [num_events] bool) for each bucket."""
    ordered = sorted(buckets, key=lambda b: b.bucket)
    if not ordered:
        return
    ids = pa.concat_arrays([b.item_ids for b in ordered]).dictionary_encode()
    codes = ids.indices.to_numpy()
    users, items, bounds = [], [], [0]
    num_users = num_items = 0
    for bucket in ordered:
        users.append(bucket.users + num_users)
        num_users += int(bucket.users.max(initial=-1)) + 1
        items.append(codes[num_items:][bucket.items])
        num_items += len(bucket.item_ids)
        bounds.append(bounds[-1] + len(bucket.users))
    mask = core_mask(
        np.concatenate(users), np.concatenate(items), min_user, min_item
    )
    for number, bucket in enumerate(ordered):
        yield bucket.bucket, mask[bounds[number] : bounds[number + 1]]


class KeepCore(beam.PTransform):
    """(bucket, (histories, dropped)) to the same with the k-core's events."""

    def __init__(self, min_user: int, min_item: int) -> None:
        super().__init__()
        self._min_user = min_user
        self._min_item = min_item

    def expand(self, buckets: beam.PCollection) -> beam.PCollection:
        masks = (
            buckets
            | "Events" >> beam.MapTuple(_events)
            | "OneWorker" >> beam.GroupBy(lambda _: 0)
            | "Peel" >> beam.FlatMap(_peel, self._min_user, self._min_item)
        )
        return (
            {"histories": buckets, "mask": masks}
            | "Join" >> beam.CoGroupByKey()
            | "Keep" >> beam.MapTuple(_keep)
        )


def _events(
    bucket: int, element: tuple[BucketHistories, dict[str, int]]
) -> BucketEvents:
    histories, _ = element
    return BucketEvents(
        bucket,
        histories.users.astype(np.int32),
        histories.items.astype(np.int32),
        histories.item_ids,
    )


def _peel(
    element: tuple[int, Iterable[BucketEvents]], min_user: int, min_item: int
) -> Iterator[tuple[int, np.ndarray]]:
    return masks_of_buckets(element[1], min_user, min_item)


def _keep(
    bucket: int, joined: dict[str, Iterable]
) -> tuple[int, tuple[BucketHistories, dict[str, int]]]:
    ((histories, dropped),) = joined["histories"]
    (mask,) = joined["mask"]
    gone = {CORE: int((~mask).sum())}
    return bucket, (histories.keep(mask), dropped | gone)
