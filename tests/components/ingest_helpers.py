"""Runs HistoryExampleGen's executor on small files and reads its outputs."""

import dataclasses
import gzip
import json
import pathlib
import shutil

import tensorflow as tf
from tfx.types import standard_artifacts

from components.artifacts import DeadLetters
from components.history_example_gen import executor
from components.history_example_gen.config import LogsConfig
from models.settings import to_json
from tests.components.beam_helpers import beam_context

HEADER = "user_id,item_id,timestamp\n"
History = tuple[list[str], list[int]]


@dataclasses.dataclass(frozen=True)
class Ingest:
    histories: dict[str, History]
    letters: list[dict[str, object]]
    counts: dict[str, object]
    examples: standard_artifacts.Examples

    def files(self) -> dict[str, bytes]:
        """Names and bytes of the files of examples."""
        folder = pathlib.Path(self.examples.uri)
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


def run_ingest(
    tmp_path: pathlib.Path,
    files: dict[str, str | bytes],
    config: LogsConfig | None = None,
    arguments: tuple[str, ...] = ("--runner=DirectRunner",),
) -> Ingest:
    """Writes files into `logs`, runs the executor, reads what it wrote."""
    write_files(tmp_path / "logs", files)
    config = dataclasses.replace(
        config or LogsConfig(max_bad_row_share=1.0),
        path=str(tmp_path / "logs"),
        pattern="*",
    )
    return run_executor(tmp_path, config, arguments)


def run_executor(
    tmp_path: pathlib.Path,
    config: LogsConfig,
    arguments: tuple[str, ...] = ("--runner=DirectRunner",),
) -> Ingest:
    """Runs the executor on files that are there."""
    examples = standard_artifacts.Examples()
    letters = DeadLetters()
    for name, artifact in (("examples", examples), ("dead", letters)):
        artifact.uri = str(tmp_path / name / "1")
        shutil.rmtree(artifact.uri, ignore_errors=True)
        pathlib.Path(artifact.uri).mkdir(parents=True)
    executor.Executor(beam_context(tmp_path, *arguments)).Do(
        {},
        {"examples": [examples], "dead_letters": [letters]},
        {"config": to_json(config), "input_fingerprint": "f00"},
    )
    folder = pathlib.Path(letters.uri)
    return Ingest(
        read_histories(pathlib.Path(examples.uri)),
        read_letters(folder),
        json.loads((folder / "ingest.json").read_text()),
        examples,
    )


def write_files(folder: pathlib.Path, files: dict[str, str | bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        if name.endswith(".gz"):
            data = gzip.compress(data)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def read_letters(folder: pathlib.Path) -> list[dict[str, object]]:
    text = gzip.decompress((folder / "dead_letters.jsonl.gz").read_bytes())
    return [json.loads(line) for line in text.decode().splitlines()]


def read_histories(folder: pathlib.Path) -> dict[str, History]:
    files = sorted(str(f) for f in folder.glob("Split-all/data_tfrecord-*.gz"))
    histories = {}
    for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        (user,) = feature["user_id"].bytes_list.value
        assert user.decode() not in histories
        items = feature["item_ids"].bytes_list.value
        histories[user.decode()] = (
            [item.decode() for item in items],
            list(feature["timestamps"].int64_list.value),
        )
    return histories
