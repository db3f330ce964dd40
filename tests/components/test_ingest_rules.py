"""The rules that drop events, and how histories are written."""

import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.history_example_gen import rules
from components.history_example_gen.core import (
    BucketEvents,
    core_mask,
    masks_of_buckets,
)
from components.history_example_gen.examples import to_examples, write_bucket
from components.history_example_gen.histories import (
    Batch,
    BucketHistories,
    merge_batches,
    split_by_user,
)
from components.history_example_gen.keep import (
    sample_users,
    within_cap,
    without_duplicates,
    without_repeats,
)
from components.history_example_gen.rows import Block

Event = tuple[bytes, bytes, int]
ids = st.binary(min_size=1, max_size=3)
# Varints change their length at powers of 128.
times = st.sampled_from([0, 1, 127, 128, 16_383, 16_384]) | st.integers(
    0, 2**40
)
events = st.lists(st.tuples(ids, ids, times), min_size=1, max_size=60)


def a_block(log: list[Event]) -> Block:
    users, items, keys = zip(*log, strict=True)
    return Block(
        pa.array(users, pa.binary()),
        pa.array(items, pa.binary()),
        np.array(keys, np.int64),
        [],
    )


def merged(log: list[Event]) -> BucketHistories:
    (part,) = split_by_user(a_block(log), 0, 1, 1)
    return merge_batches([part[1]])


def histories_of(log: list[Event]) -> BucketHistories:
    return merged([(u, i, t * 1_000_000) for u, i, t in log])


def by_hand(log: list[Event]) -> dict[bytes, list[tuple[bytes, int]]]:
    """Python's own stable sort."""
    found: dict[bytes, list[tuple[bytes, int]]] = {}
    for user, item, time in sorted(log, key=lambda event: event[2]):
        found.setdefault(user, []).append((item, time))
    return found


def as_dict(
    histories: BucketHistories,
) -> dict[bytes, list[tuple[bytes, int]]]:
    items = histories.item_ids.take(pa.array(histories.items)).to_pylist()
    keys = histories.keys.tolist()
    return {
        user: list(zip(items[start:end], keys[start:end], strict=True))
        for user, start, end in zip(
            histories.user_ids.to_pylist(),
            histories.offsets[:-1],
            histories.offsets[1:],
            strict=True,
        )
    }


@given(events)
@settings(deadline=None)
def test_examples_are_what_protobuf_writes_event_by_event(log: list[Event]):
    expected = []
    for user, history in sorted(by_hand(log).items()):
        example = tf.train.Example()
        feature = example.features.feature
        feature["user_id"].bytes_list.value.append(user)
        for item, time in history:
            feature["item_ids"].bytes_list.value.append(item)
            feature["timestamps"].int64_list.value.append(time)
        expected.append(example.SerializeToString(deterministic=True))
    assert list(to_examples(histories_of(log), 1_000_000)) == expected


@given(events, st.integers(1, 5), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_histories_do_not_depend_on_blocks_and_their_order(
    log: list[Event], size: int, random
):
    batches: list[Batch] = []
    for start in range(0, len(log), size):
        part = a_block(log[start : start + size])
        batches += [batch for _, batch in split_by_user(part, 0, start + 1, 1)]
    random.shuffle(batches)
    assert as_dict(merge_batches(batches)) == by_hand(log)


@given(events)
@settings(deadline=None)
def test_times_too_far_apart_for_one_number_sort_the_same(log: list[Event]):
    log.append((b"far", b"i", 2**62))
    log.append((b"far", b"j", 0))
    assert as_dict(merged(log)) == by_hand(log)


@given(events)
@settings(deadline=None)
def test_duplicates_are_those_of_a_dictionary(log: list[Event]):
    log = log + log[::2] + log[:1]
    histories = merged(log)
    found = as_dict(histories.keep(without_duplicates(histories)))
    whole = by_hand(log)
    assert found == {user: list(dict.fromkeys(whole[user])) for user in whole}


def test_duplicates_need_the_same_moment_of_the_same_user():
    log = [
        (b"u", b"a", 1),
        (b"u", b"b", 1),
        (b"u", b"a", 1),
        (b"u", b"a", 2),
        (b"v", b"a", 2),
    ]
    kept = without_duplicates(merged(log))
    assert kept.tolist() == [True, True, False, True, True]
    one = merged(log[:1])
    assert without_duplicates(one).tolist() == [True]
    nothing = one.keep(np.array([False]))
    assert without_duplicates(nothing).tolist() == []


def test_repeats_keep_the_first_of_a_run():
    log = [
        (b"u", b"a", 1),
        (b"u", b"a", 2),
        (b"u", b"b", 3),
        (b"u", b"a", 4),
        (b"v", b"a", 5),
        (b"v", b"a", 5),
    ]
    histories = merged(log)
    kept = without_repeats(histories)
    assert kept.tolist() == [True, False, True, True, True, False]
    assert as_dict(histories.keep(kept)) == {
        b"u": [(b"a", 1), (b"b", 3), (b"a", 4)],
        b"v": [(b"a", 5)],
    }


def test_the_cap_keeps_the_oldest():
    log = [(b"u", b"%d" % n, n) for n in range(5)] + [(b"v", b"x", 1)]
    histories = merged(log)
    kept, dropped = within_cap(histories, 2)
    assert dropped == {rules.USER_CAP: 3}
    assert as_dict(histories.keep(kept)) == {
        b"u": [(b"0", 0), (b"1", 1)],
        b"v": [(b"x", 1)],
    }
    assert within_cap(histories, None)[0].all()


@given(events, events, st.integers(1, 4))
@settings(deadline=None)
def test_later_events_never_change_what_is_kept_of_earlier_ones(
    past: list[Event], future: list[Event], most: int
):
    later = [(user, item, time + 2**41) for user, item, time in future]

    def kept(log: list[Event]) -> dict[bytes, list[tuple[bytes, int]]]:
        histories = merged(log)
        histories = histories.keep(without_repeats(histories))
        histories = histories.keep(within_cap(histories, most)[0])
        before = {
            user: [event for event in history if event[1] < 2**41]
            for user, history in as_dict(histories).items()
        }
        return {user: history for user, history in before.items() if history}

    assert kept(past + later) == kept(past)


def test_the_sample_is_a_matter_of_the_user_alone():
    users = [b"user%d" % n for n in range(20_000)]
    everyone = a_block([(user, b"i", 1) for user in users])
    sample = sample_users(everyone, 0.3, seed=1)
    chosen = sample.users.to_pylist()
    # A binomial share: four standard deviations are 0.013.
    assert abs(len(chosen) / len(users) - 0.3) < 0.013
    assert sample.dropped == {rules.USER_SHARE: len(users) - len(chosen)}
    assert sample.num_rows == everyone.num_rows
    alone = [
        user
        for user in users[:50]
        if len(sample_users(a_block([(user, b"x", 7)]), 0.3, 1).users)
    ]
    assert alone == [user for user in chosen if user in users[:50]]
    larger = set(sample_users(everyone, 0.5, seed=1).users.to_pylist())
    assert set(chosen) < larger
    other = set(sample_users(everyone, 0.3, seed=2).users.to_pylist())
    assert 0.2 < len(other & set(chosen)) / len(chosen) < 0.4


def _core_by_pandas(frame: pd.DataFrame, user: int, item: int) -> pd.Index:
    """The textbook loop: filter one side, then the other, until stable."""
    while True:
        size = len(frame)
        frame = frame[frame.groupby("item").item.transform("size") >= item]
        frame = frame[frame.groupby("user").user.transform("size") >= user]
        if len(frame) == size:
            return frame.index


@pytest.mark.parametrize(("user", "item"), [(1, 1), (2, 2), (3, 2), (1, 4)])
@pytest.mark.parametrize("seed", range(5))
def test_the_core_is_that_of_a_loop_with_pandas(
    user: int, item: int, seed: int
):
    random = np.random.default_rng(seed)
    users = random.integers(0, 40, 150)
    items = (40 * random.random(150) ** 2).astype(int)
    frame = pd.DataFrame({"user": users, "item": items})
    expected = np.zeros(150, bool)
    expected[_core_by_pandas(frame, user, item)] = True
    assert core_mask(users, items, user, item).tolist() == expected.tolist()
    names = np.array([b"item%d" % number for number in range(40)])
    parts = []
    for bucket in (1, 0):  # in any order
        chosen = users % 2 == bucket
        known, codes = np.unique(items[chosen], return_inverse=True)
        parts.append(
            BucketEvents(
                bucket,
                (users[chosen] // 2).astype(np.int32),
                codes.astype(np.int32),
                pa.array(names[known].tolist(), pa.binary()),
            )
        )
    for bucket, mask in masks_of_buckets(parts, user, item):
        assert mask.tolist() == expected[users % 2 == bucket].tolist()


def test_a_core_can_be_empty():
    nobody = core_mask(np.array([0, 1]), np.array([0, 1]), 2, 1)
    assert not nobody.any()
    assert list(masks_of_buckets([], 2, 2)) == []


def test_a_bucket_is_written_twice_to_the_same_file(tmp_path: pathlib.Path):
    histories = histories_of([(b"u", b"a", 5), (b"v", b"b", 6)])
    folder = tmp_path / "Split-all"
    folder.mkdir()
    (tmp_path / "Split-all-temporary").mkdir()
    written = []
    for _ in range(2):
        write_bucket(str(folder), 3, 8, histories, 1_000_000)
        (file,) = folder.iterdir()
        assert file.name == "data_tfrecord-00003-of-00008.gz"
        written.append(file.read_bytes())
    assert written[0] == written[1]
    assert not list((tmp_path / "Split-all-temporary").iterdir())


@given(events, st.integers(1, 4), st.integers(1, 5), st.data())
@settings(deadline=None)
def test_histories_do_not_depend_on_files_and_buckets(
    log: list[Event], num_files: int, num_buckets: int, data
):
    """Where no two times are equal, for ties stand as in the log."""
    log = [(user, item, n) for n, (user, item, _) in enumerate(log)]
    names = data.draw(st.permutations(range(num_files)))
    buckets: dict[int, list[Batch]] = {}
    for part, order in enumerate(names):
        if rows := log[part::num_files]:
            for bucket, batch in split_by_user(
                a_block(rows), order, 1, num_buckets
            ):
                buckets.setdefault(bucket, []).append(batch)
    found: dict[bytes, list[tuple[bytes, int]]] = {}
    for batches in buckets.values():
        histories = as_dict(merge_batches(batches))
        assert not found.keys() & histories.keys()  # a user has one bucket
        found |= histories
    assert found == by_hand(log)
