"""The comparison itself: what counts as equal, and what must not."""

import gzip
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_metadata.proto.v0 import statistics_pb2

from benchmarks.compare_outputs import (
    SAME_BYTES,
    SAME_CONTENT,
    SAME_RECORDS,
    compare,
)


@pytest.fixture
def sides(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    return tmp_path / "a", tmp_path / "b"


def verdicts(sides):
    return {c.name: (c.files, c.verdict, c.equal) for c in compare(*sides)}


def write_shards(folder, *shards):
    """Gzipped TFRecord files of examples with one number each."""
    for index, numbers in enumerate(shards):
        data = b""
        for number in numbers:
            example = tf.train.Example()
            feature = example.features.feature
            feature["n"].int64_list.value.append(number)
            feature["m"].int64_list.value.append(-number)
            record = example.SerializeToString()
            length = struct.pack("<Q", len(record))
            data += length + b"crc0" + record + b"crc1"
        name = f"data_tfrecord-{index:05d}-of-{len(shards):05d}.gz"
        (folder / name).write_bytes(gzip.compress(data))


def test_the_same_bytes(sides):
    for folder in sides:
        (folder / "x.json").write_text("{}")
    assert verdicts(sides) == {"x.json": ("1", SAME_BYTES, True)}


@pytest.mark.parametrize(
    ("second", "what"),
    [
        ('{"a": {"b": [1, 0.5]}, "c": 3}', "/a/b/1 is 0.25 and 0.5"),
        ('{"a": {"b": [1, 0.25]}}', "/c is on one side only"),
        ('{"a": {"b": [1]}, "c": 3}', "/a/b/1 is on one side only"),
        ('{"c": 3, "a": {"b": [1, 0.25]}}', "the order of the keys"),
        ("[]", " is {'a': {'b': [1, 0.25]}, 'c': 3} and []"),
    ],
)
def test_json_says_where_it_differs(sides, second, what):
    (sides[0] / "x.json").write_text('{"a": {"b": [1, 0.25]}, "c": 3}')
    (sides[1] / "x.json").write_text(second)
    ((_, verdict, equal),) = verdicts(sides).values()
    assert not equal
    assert verdict.startswith(f"different: {what}")


def test_other_shards_of_the_same_records(sides):
    write_shards(sides[0], [1, 2, 3, 3])
    write_shards(sides[1], [3, 1], [2, 3])
    assert verdicts(sides) == {
        "data_tfrecord-*.gz": ("1 and 2", SAME_RECORDS, True)
    }


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ([1, 2, 3], "1 records only in the first, 0 only in the second"),
        ([1, 2, 3, 4], "1 records only in the first, 1 only in the second"),
        ([1, 2, 3, 3, 3], "0 records only in the first, 1 only in the second"),
    ],
)
def test_a_record_lost_changed_or_doubled(sides, second, words):
    write_shards(sides[0], [1, 2, 3, 3])
    write_shards(sides[1], second)
    assert verdicts(sides) == {"data_tfrecord-*.gz": ("1", words, False)}


def test_a_file_on_one_side_only(sides):
    (sides[0] / "x.txt").write_text("{}")
    assert verdicts(sides) == {"x.txt": ("1 and 0", "on one side only", False)}


def test_an_unknown_kind_of_file_must_have_the_same_bytes(sides):
    (sides[0] / "x.txt").write_text('{"a": 1, "b": 2}')
    (sides[1] / "x.txt").write_text('{"b": 2, "a": 1}')
    assert verdicts(sides) == {"x.txt": ("1", "different", False)}


@pytest.mark.parametrize(("rank", "equal"), [(2, True), (3, False)])
def test_rows_of_parquet_in_any_order(sides, rank, equal):
    rows = [{"user": "u", "rank": 1}, {"user": "v", "rank": 2}]
    pq.write_table(pa.Table.from_pylist(rows), sides[0] / "part.parquet")
    rows = [{"user": "v", "rank": rank}, {"user": "u", "rank": 1}]
    pq.write_table(pa.Table.from_pylist(rows), sides[1] / "part.parquet")
    (found,) = compare(*sides)
    assert found.equal is equal


@pytest.mark.parametrize(("mean", "equal"), [(1 / 3, True), (0.334, False)])
def test_statistics_with_features_in_any_order(sides, mean, equal):
    for folder, names, value in (
        (sides[0], "xy", 1 / 3 + 1e-15),
        (sides[1], "yx", mean),
    ):
        statistics = statistics_pb2.DatasetFeatureStatisticsList()
        dataset = statistics.datasets.add(num_examples=3)
        for name in names:
            feature = dataset.features.add(name=name)
            feature.num_stats.mean = value
        (folder / "FeatureStats.pb").write_bytes(statistics.SerializeToString())
    (found,) = compare(*sides)
    assert (found.verdict == SAME_CONTENT) is equal


@pytest.mark.parametrize(("factor", "equal"), [(2.0, True), (3.0, False)])
def test_saved_models_of_two_processes(sides, factor, equal):
    """Names are counted up per process; what is computed is not."""
    for folder, value in zip(sides, (2.0, factor), strict=True):
        module = tf.Module()
        module.f = tf.function(
            lambda x, value=value: x * value,
            input_signature=[tf.TensorSpec([], tf.float32)],
        )
        tf.saved_model.save(module, str(folder))
    found = {c.name: c for c in compare(*sides)}["saved_model.pb"]
    assert found.verdict != SAME_BYTES
    assert found.equal is equal


@pytest.mark.parametrize(("name", "equal"), [("Map", True), ("Zip", False)])
def test_names_of_other_lengths_in_saved_models(sides, name, equal):
    """Protobuf's length before a name is a character from time to time."""
    for folder, named in zip(sides, ("Map:7", f"{name}:123456"), strict=True):
        model = saved_model_pb2.SavedModel()
        node = model.meta_graphs.add().graph_def.node.add(name="data")
        text = f"{named[:3]}Dataset{named[3:]}".encode()
        node.attr["metadata"].s = b"\n" + bytes([len(text)]) + text
        (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    (found,) = compare(*sides)
    assert found.equal is equal


# 12 is printed as an octal number, 13 as a letter
@pytest.mark.parametrize("digits", [1, 2, 3, 4, 5, 6, 7, 20])
def test_every_length_of_a_name_is_left_out(sides, digits):
    for folder, number in zip(sides, (1, 10 ** (digits - 1)), strict=True):
        model = saved_model_pb2.SavedModel()
        node = model.meta_graphs.add().graph_def.node.add(name="data")
        text = f"MapDataset:{number}".encode()
        node.attr["metadata"].s = b"\n" + bytes([len(text)]) + text
        (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    assert all(found.equal for found in compare(*sides))
