"""Every user's best items, from files of histories to Parquet."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.batch_scoring import shards
from pipeline import batch, run_records
from pipeline.config import REPOSITORY, load_config
from pipeline.paths import RunPaths
from pipeline.run_records import NodeRecord, RunRecord
from serving import file_systems
from tests import history_files
from tests.serving.catalogue import make_catalogue

USERS, SHARDS = 23, 3
DEMO = REPOSITORY / "pipeline" / "configs" / "demo.yaml"


@pytest.fixture(scope="module")
def catalogue():
    return make_catalogue()


@pytest.fixture(scope="module")
def model(catalogue, tmp_path_factory):
    path = tmp_path_factory.mktemp("batch") / "7"
    catalogue.export(path)
    return path


@pytest.fixture(scope="module")
def histories(catalogue, tmp_path_factory):
    """User -> items, and the pattern of the files."""
    folder = tmp_path_factory.mktemp("histories")
    random = np.random.default_rng(2)
    found = {}
    for shard in range(SHARDS):
        written = {}
        for user in range(shard, USERS, SHARDS):
            items = random.choice(40, user % 9, replace=False)
            ids = [catalogue.item_ids[i] for i in items] + [b"new"]
            written[f"user {user}"] = ids
        history_files.write(folder / f"data-{shard}-of-{SHARDS}.gz", written)
        found |= written
    return found, f"{folder}/*.gz"


def _run(model, pattern, output, *more):
    return batch.main(
        [
            f"--model={model}",
            f"--histories={pattern}",
            f"--output={output}",
            "--batch-size=4",
            *more,
        ]
    )


def test_every_user_gets_what_the_model_answers(
    model, histories, catalogue, tmp_path
):
    items, pattern = histories
    assert _run(model, pattern, tmp_path / "out", "--k=38") == 0
    rows = {}
    for path in (tmp_path / "out").glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            assert row["user_id"] not in rows
            rows[row["user_id"]] = row
    assert set(rows) == set(items)
    for user, history in items.items():
        # The demo's settings leave out what the user has.
        ids, scores = catalogue.expected(history, history, 38)
        left = [i.decode() for i in ids if i]
        assert rows[user]["item_ids"] == left, user
        np.testing.assert_allclose(
            rows[user]["scores"], scores[: len(left)], rtol=1e-5, atol=1e-6
        )


def test_a_job_that_was_stopped_goes_on(
    model, histories, tmp_path, capsys, monkeypatch
):
    _, pattern = histories
    output = tmp_path / "out"
    assert _run(model, pattern, output, "--k=3") == 0
    assert "3 shards" in capsys.readouterr().out
    done = sorted(output.glob("*.parquet"))
    before = {path: path.read_bytes() for path in done}
    times = {path: path.stat().st_mtime_ns for path in done}
    done[1].unlink()
    # What a killed worker leaves behind is not taken for a result.
    (output / "_abc.tmp").write_bytes(b"half")
    assert _run(model, pattern, output, "--k=3") == 0
    assert "2 of them were there already" in capsys.readouterr().out
    assert done[1].read_bytes() == before[done[1]]
    for path in (done[0], done[2]):
        assert path.stat().st_mtime_ns == times[path]


def test_a_failing_shard_leaves_nothing(model, histories, tmp_path):
    items, pattern = histories
    job = shards.Job(str(model), 3, False)
    tmp_path.joinpath("data.gz").write_bytes(b"no gzip")

    with pytest.raises(tf.errors.OpError):
        shards.write_shard(str(tmp_path / "data.gz"), str(tmp_path), job, None)
    assert not list(tmp_path.glob("*.parquet"))


def test_a_folder_holds_one_job(model, histories, tmp_path, capsys):
    _, pattern = histories
    assert _run(model, pattern, tmp_path, "--k=3") == 0
    assert json.loads((tmp_path / "_job.json").read_text())["k"] == 3
    assert _run(model, pattern, tmp_path, "--k=4") == 1
    message = capsys.readouterr().err
    assert "holds shards of another job: `k` 3 there, 4 asked for" in message
    assert "exclude_history" not in message


def test_the_folder_is_one_table(model, histories, tmp_path):
    """Readers take every file in it, but for names with _ in front."""
    items, pattern = histories
    assert _run(model, pattern, tmp_path, "--k=3") == 0
    (tmp_path / "_abc.tmp").write_bytes(b"half")  # of a worker that was killed
    assert pq.read_table(tmp_path).num_rows == len(items)
    assert set(pd.read_parquet(tmp_path)["user_id"]) == set(items)


def test_what_a_worker_is_writing_is_not_read(
    model, histories, tmp_path, monkeypatch
):
    _, pattern = histories
    path = pattern.replace("*", f"data-0-of-{SHARDS}")
    there = []

    def rank(*_):
        there.extend(file.name for file in tmp_path.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(shards, "_rank", rank)
    with pytest.raises(KeyboardInterrupt):
        shards.write_shard(
            path, str(tmp_path), shards.Job(str(model), 3, False), None
        )
    assert len(there) == 1 and there[0].startswith("_")


def test_shards_of_an_unknown_job_are_not_taken_over(
    model, histories, tmp_path, capsys
):
    """As of a version that called its file job.json."""
    _, pattern = histories
    assert _run(model, pattern, tmp_path, "--k=3") == 0
    (tmp_path / "_job.json").rename(tmp_path / "job.json")
    assert _run(model, pattern, tmp_path, "--k=4") == 1
    assert "holds Parquet files, but no _job.json" in capsys.readouterr().err
    assert not (tmp_path / "_job.json").exists()


def test_a_job_goes_on_with_smaller_batches(model, histories, tmp_path):
    """As it must where the memory was too small for those it had."""
    _, pattern = histories
    assert _run(model, pattern, tmp_path, "--batch-size=9") == 0
    done = sorted(tmp_path.glob("*.parquet"))
    before = [pq.read_table(path).to_pydict() for path in done]
    done[0].unlink()
    assert _run(model, pattern, tmp_path, "--batch-size=2") == 0
    after = [pq.read_table(path).to_pydict() for path in done]
    for old, new in zip(before, after, strict=True):
        assert new["user_id"] == old["user_id"]
        assert new["item_ids"] == old["item_ids"]
        for ours, theirs in zip(new["scores"], old["scores"], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_folder_is_not_claimed_for_a_model_that_is_not_there(
    model, histories, tmp_path, capsys
):
    _, pattern = histories
    output = tmp_path / "out"
    versions = model.parent
    assert _run(versions, pattern, output) == 1
    assert f"a version, such as {model}." in capsys.readouterr().err
    assert not output.exists()
    assert _run(model, pattern, output) == 0


@pytest.mark.parametrize("option", ["--model", "--histories"])
def test_a_place_that_tensorflow_cannot_read_is_named(
    option, model, histories, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(file_systems, "_PLUG_IN", "no_such_package")
    _, pattern = histories
    output = tmp_path / "out"
    assert _run(model, pattern, output, f"{option}=s3://bucket/x") == 1
    assert "error: s3://bucket/x cannot be read" in capsys.readouterr().err
    assert not output.exists()


def test_files_of_the_same_name_are_not_taken_for_one(model, tmp_path, capsys):
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        history_files.write(tmp_path / day / "data.gz", {day: [b"new"]})
    output = tmp_path / "out"
    assert _run(model, f"{tmp_path}/*/*.gz", output) == 1
    message = capsys.readouterr().err
    assert "monday/data.gz" in message and "tuesday/data.gz" in message
    assert not output.exists()


def test_yesterdays_rankings_are_not_taken_for_those_of_new_histories(
    model, histories, tmp_path, capsys
):
    """The model stays where a new one was not blessed; the histories do not."""
    _, pattern = histories
    logs = tmp_path / "histories"
    shutil.copytree(Path(pattern).parent, logs)
    output = tmp_path / "out"
    assert _run(model, f"{logs}/*.gz", output) == 0
    assert _run(model, f"{logs}/*.gz", output) == 0
    history_files.write(logs / f"data-0-of-{SHARDS}.gz", {"user 0": [b"new"]})
    assert _run(model, f"{logs}/*.gz", output) == 1
    assert "`histories`" in capsys.readouterr().err


def test_a_run_that_read_no_logs_has_no_histories(monkeypatch, tmp_path):
    """Of a run that failed in its first step."""
    failed = RunRecord(
        "now", 1.0, {"HistoryExampleGen": NodeRecord("failed", 1.0, {})}
    )
    monkeypatch.setattr(run_records, "read_newest_run", lambda *_: failed)
    config = load_config(DEMO, [f"runs_dir={tmp_path}"])
    metadata = RunPaths.of(config).metadata
    metadata.parent.mkdir(parents=True)
    metadata.touch()
    with pytest.raises(batch.NothingThereError, match="now, has read no logs"):
        batch._histories(config)


def test_long_histories_are_ranked_in_smaller_parts(
    model, histories, catalogue, tmp_path, monkeypatch
):
    monkeypatch.setattr(shards, "_MAX_BATCH_IDS", 12)
    _, pattern = histories
    path = pattern.replace("*", f"data-0-of-{SHARDS}")
    parts = list(shards._batches(path, 100))
    users = [user for users, _ in parts for user in users]
    assert users == [b"user %d" % u for u in range(0, USERS, SHARDS)]
    assert len(parts) > 2
    for _, rows in parts:
        assert len(rows) == 1 or len(rows) * max(map(len, rows)) <= 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--histories=/nowhere/*.gz", "--model=m"], "No file of histories"),
        (["--histories=/nowhere/*.gz"], "No model has been pushed"),
        (["--model=m"], "There is no run in"),
    ],
)
def test_what_is_missing_is_named(arguments, message, tmp_path, capsys):
    code = batch.main(
        [
            f"--output={tmp_path / 'out'}",
            f"--set=runs_dir={tmp_path}",
            *arguments,
        ]
    )
    assert code == 1
    assert message in capsys.readouterr().err
