"""Whether two folders hold the same outputs: bytes, or else what they say.

An output is a file, or all shards of a name. Bytes are compared first. Where
they differ, because the runner chose the number of shards or the order of the
records in them, the records are: as sets with repeats, without order.
"""

from __future__ import annotations

import collections
import dataclasses
import gzip
import json
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_metadata.proto.v0 import statistics_pb2

SAME_BYTES = "same bytes"
SAME_RECORDS = "same records"
SAME_CONTENT = "same content"
_SHARD = re.compile(r"-\d{5}-of-\d{5}")
_FLOAT = re.compile(r"-?\d+\.\d+(e[+-]?\d+)?")
_NUMBERED = re.compile(r"((?:_|:|s: \"))\d+(?=\")")
# The length of such a name, in protobuf's bytes before it: as an octal number,
# or, of 9, 10, 13 and more than 31, as a character.
_LENGTH = re.compile(r"\\n(?:\\\d{3}|\\[tnr\"']|[^\\\w])(?=\w+:N\")")
_FOLDER = re.compile(r"(?<=\")/[^\"]*/")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What one output is on both sides.

    Attributes:
        name: path in the folder, `*` for the number of a shard.
        files: how many files, on either side where they differ.
        verdict: one of the SAME_ values, or what is different.
    """

    name: str
    files: str
    verdict: str

    @property
    def equal(self) -> bool:
        return self.verdict in (SAME_BYTES, SAME_RECORDS, SAME_CONTENT)


def compare(first: Path, second: Path) -> list[Comparison]:
    """Compares all files of two folders, output by output."""
    sides = [_outputs(first), _outputs(second)]
    return [
        _compare_output(name, *(side.get(name, []) for side in sides))
        for name in sorted(sides[0].keys() | sides[1].keys())
    ]


def _outputs(folder: Path) -> dict[str, list[Path]]:
    """Name of the output -> its files, sorted; folders must have files."""
    found: dict[str, list[Path]] = collections.defaultdict(list)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            name = file.relative_to(folder).as_posix()
            found[_SHARD.sub("-*", name)].append(file)
    return found


def _compare_output(
    name: str, first: list[Path], second: list[Path]
) -> Comparison:
    counts = dict.fromkeys([str(len(first)), str(len(second))])
    files = " and ".join(counts)
    if not first or not second:
        return Comparison(name, files, "on one side only")
    if _bytes(first) == _bytes(second):
        return Comparison(name, files, SAME_BYTES)
    for pattern, read, verdict in _READERS:
        if re.search(pattern, name):
            contents = [read(side) for side in (first, second)]
            if contents[0] == contents[1]:
                return Comparison(name, files, verdict)
            if isinstance(contents[0], collections.Counter):
                extra = contents[0] - contents[1]
                missing = contents[1] - contents[0]
                return Comparison(
                    name,
                    files,
                    f"{extra.total()} records only in the first, "
                    f"{missing.total()} only in the second",
                )
            break
    if name.endswith(".json") and len(first) == len(second) == 1:
        places = [json.loads(side[0].read_text()) for side in (first, second)]
        return Comparison(
            name, files, f"different: {_first_difference(*places)}"
        )
    return Comparison(name, files, "different")


def _first_difference(first: Any, second: Any, place: str = "") -> str:
    """Where two JSON values differ first, and what is there."""
    if isinstance(first, list) and isinstance(second, list):
        first, second = dict(enumerate(first)), dict(enumerate(second))
    if isinstance(first, dict) and isinstance(second, dict):
        for key in first:
            if key in second and first[key] != second[key]:
                return _first_difference(
                    first[key], second[key], f"{place}/{key}"
                )
        for key in first.keys() ^ second.keys():
            return f"{place}/{key} is on one side only"
        return "the order of the keys, or spaces"
    return f"{place} is {first!r} and {second!r}"


def _bytes(files: list[Path]) -> list[tuple[str, bytes]]:
    return [(file.name, file.read_bytes()) for file in files]


def _examples(files: list[Path]) -> collections.Counter[bytes]:
    """tf.Examples, each in one order of its features."""
    return collections.Counter(
        tf.train.Example.FromString(record).SerializeToString(
            deterministic=True
        )
        for file in files
        for record in _tfrecords(gzip.decompress(file.read_bytes()))
    )


def _tfrecords(data: bytes) -> Iterator[bytes]:
    """Records without their checksums (length, crc, data, crc)."""
    start = 0
    while start < len(data):
        (length,) = struct.unpack_from("<Q", data, start)
        yield data[start + 12 : start + 12 + length]
        start += 16 + length


def _rows(files: list[Path]) -> collections.Counter[str]:
    return collections.Counter(
        repr(sorted(row.items()))
        for file in files
        for row in pq.read_table(file).to_pylist()
    )


def _lines(files: list[Path]) -> collections.Counter[bytes]:
    return collections.Counter(
        line for file in files for line in file.read_bytes().splitlines()
    )


def _statistics(files: list[Path]) -> collections.Counter[str]:
    """Values of TFDV's statistics; it writes features in any order."""
    found: collections.Counter[str] = collections.Counter()
    for file in files:
        statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(
            file.read_bytes()
        )
        for dataset in statistics.datasets:
            for feature in dataset.features:
                name = feature.name or ".".join(feature.path.step)
                text = _FLOAT.sub(
                    _rounded, text_format.MessageToString(feature)
                )
                found[f"{dataset.num_examples} {name}\n{text}"] += 1
    return found


def _rounded(match: re.Match[str]) -> str:
    """Ten digits: workers add up floats in an order of their own."""
    return f"{float(match.group()):.10g}"


def _graph(files: list[Path]) -> collections.Counter[str]:
    """Lines of a SavedModel, without what a process makes up.

    That is the number behind the name of a function or dataset, which
    TensorFlow counts up as long as the process lives, and the folder it was
    made in.
    """
    (file,) = files
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    text = text_format.MessageToString(model)
    text = _LENGTH.sub("", _NUMBERED.sub(r"\1N", text))
    return collections.Counter(_FOLDER.sub("/", text).splitlines())


_READERS: list[tuple[str, Callable[[list[Path]], Any], str]] = [
    (r"(data_tfrecord|transformed_examples)-\*\.gz$", _examples, SAME_RECORDS),
    (r"\.parquet$", _rows, SAME_RECORDS),
    (r"\.jsonl$", _lines, SAME_RECORDS),
    (r"FeatureStats\.pb$", _statistics, SAME_CONTENT),
    (r"saved_model\.pb$", _graph, SAME_CONTENT),
    # A checksum of saved_model.pb, which is compared itself.
    (r"fingerprint\.pb$", len, SAME_CONTENT),
]
