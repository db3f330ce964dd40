"""From logs to a pushed model through the tfx CLI, and what the cache does.

One run of the whole pipeline is worth its minutes only once, so the tests
share it and go on where the one before ended.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig

import pytest

from pipeline.config import REPOSITORY

pytestmark = pytest.mark.slow

NODES = [
    "HistoryExampleGen",
    "StatisticsGen",
    "ImportSchemaGen",
    "StrictExampleValidator",
    "Transform",
    "GraphBuilder",
    "Tuner",
    "Trainer",
    "PeriodStatistics",
    "RankingEvaluator",
    "ModelCardWriter",
    "ServingValidator",
    "Pusher",
]
SETTINGS = """\
base: {demo}
name: tiny
dataset: tiny
runs_dir: {runs}
logs:
  path: {logs}
  max_bad_row_share: 0.2
model:
  embedding_dim: 8
  sequential:
    max_length: 8
    num_blocks: 1
    feed_forward_dim: 8
  graph:
    num_layers: 1
training:
  warmup_epochs: 1
  max_epochs: 2
tuning:
  stages:
    - name: quick
      trials: 2
      space:
        model.sequential.dropout: {{choices: [0.0, 0.2]}}
evaluation:
  bootstrap_samples: 20
  thresholds:
    - metric: coverage_at_10
      min_value: 0.001
      min_ratio_to_baseline: 0.0
"""
PREDICT = """\
import sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
answer = model.signatures["serving_default"](
    history=tf.constant([sys.argv[2:], [""] * len(sys.argv[2:])])
)
print(answer["item_ids"].shape, answer["scores"].shape)
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A copy of the repository with tiny logs and settings beside it."""
    root = tmp_path_factory.mktemp("end-to-end")
    repository = root / "repository"
    repository.mkdir()
    for name in ("pipeline", "components", "models", "serving"):
        shutil.copytree(REPOSITORY / name, repository / name)
    shutil.copy(REPOSITORY / "requirements.lock", repository)
    make_logs(root / "logs")
    (root / "tiny.yaml").write_text(
        SETTINGS.format(
            demo=repository / "pipeline" / "configs" / "demo.yaml",
            runs=root / "runs",
            logs=root / "logs",
        )
    )
    return root


def make_logs(folder):
    """60 users walk round a ring of 30 items: order matters, a little."""
    import gzip

    folder.mkdir()
    rows = ["user_id,item_id,timestamp"]
    for event in range(900):
        user, step = event * 7 % 60, event // 60
        item = (user % 5 * 6 + step) % 30
        rows.append(f"u{user},i{item},{1_600_000_000 + 600 * event}")
    rows.append("u1,,1600000000")
    with gzip.open(folder / "log.csv.gz", "wt") as file:
        file.write("\n".join(rows) + "\n")


def environment_of(workspace):
    """What the tfx command and the file it executes need to know."""
    scripts = sysconfig.get_path("scripts")
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([scripts, os.environ["PATH"]]),
        "CREATE_CONFIG": str(workspace / "tiny.yaml"),
        "LOCAL_HOME": str(workspace / "cli"),
    }
    environment.pop("CREATE_SET", None)
    return environment


def call(workspace, command):
    """Runs a command as a person would, from another folder."""
    result = subprocess.run(
        command,
        cwd=workspace,
        env=environment_of(workspace),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def kill_at(workspace, command, line_start):
    """Runs a command and kills it -9 when it prints a line."""
    with subprocess.Popen(
        command,
        cwd=workspace,
        env=environment_of(workspace),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        for line in process.stdout:
            if line.startswith(line_start):
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL, line


def went(result):
    """Component -> how its line of progress says that it went."""
    return dict(
        re.findall(
            r"^\[\d+/\d+\] (\w+) +(cached|[\d.]+ s)$", result.stdout, re.M
        )
    )


def read_summary(workspace):
    path = workspace / "runs" / "tiny" / "summary.json"
    return json.loads(path.read_text())


def local_runner(workspace):
    return str(workspace / "repository" / "pipeline" / "local_runner.py")


def test_logs_become_a_pushed_model(workspace):
    path = f"--pipeline_path={local_runner(workspace)}"
    call(workspace, ["tfx", "pipeline", "create", "--engine=local", path])
    # Killed in the middle of training: the same run goes on from there. That
    # it ends as an undisturbed one would is seen below, where an edit makes
    # the Trainer run again from nothing.
    runner = [sys.executable, local_runner(workspace)]
    kill_at(workspace, runner, "[refit] epoch 1/")
    assert not (workspace / "runs" / "tiny" / "summary.json").exists()
    result = call(
        workspace,
        ["tfx", "run", "create", "--engine=local", "--pipeline_name=tiny"],
    )
    lines = went(result)
    assert sorted(lines) == sorted(NODES)
    assert lines["Transform"] == "cached"
    assert lines["Trainer"] != "cached"
    assert re.search(
        r"from the Tuner: model.sequential.dropout 0.[02]$", result.stdout, re.M
    )
    assert "[selection] resumed after epoch" in result.stdout
    assert "[refit] resumed after epoch 1" in result.stdout
    summary = read_summary(workspace)
    assert "property_predicate" not in result.stderr

    assert summary["name"] == "tiny"
    assert summary["profile"] == "sound"
    assert summary["ingest"]["rows"] == 901
    assert summary["ingest"]["used"] == 900
    assert summary["splits"]["test"]["users"] > 0
    assert summary["splits"]["validation_cut"] < summary["splits"]["test_cut"]
    assert set(summary["metrics"]) == {
        "model",
        "random",
        "popular_random",
        "most_popular",
        "most_popular_recent",
        "pure_svd",
        "item_knn",
    }
    for target in ("last", "first"):
        for rule in ("kept", "filtered"):
            values = summary["metrics"]["model"][target][rule]
            assert 0 <= values["ndcg_at_10"] <= values["recall_at_10"] <= 1
    assert list(summary["timings"]["components"]) == list(lines)
    assert len(summary["timings"]["epochs"]["selection"]) >= 1
    assert summary["blessed"] is True
    assert os.path.isfile(summary["report"])
    for name in ("pure_svd", "item_knn"):
        compared = summary["comparisons"]["last"]["filtered"][name]
        low, high = compared["ndcg_at_10"]["interval"]
        assert low <= compared["ndcg_at_10"]["difference"] <= high
    assert summary["slices"]["last"]["users"]


def test_the_pushed_model_serves_in_a_process_without_our_code(workspace):
    summary = read_summary(workspace)
    versions = workspace / "runs" / "tiny" / "serving" / "create"
    assert [str(path) for path in versions.iterdir()] == [
        summary["pushed_model"]
    ]
    result = subprocess.run(
        [sys.executable, "-c", PREDICT, summary["pushed_model"], "i3", "i4"],
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert result.stdout == "(2, 10) (2, 10)\n", result.stderr
    # The card of its evaluation lies beside it.
    card = os.path.join(summary["pushed_model"], "assets.extra/model_card.md")
    with open(card) as pushed, open(summary["model_card"]) as written:
        assert pushed.read() == written.read()
    # Up to when it has learned: who compares it later must know.
    facts = os.path.join(summary["pushed_model"], "assets.extra/model.json")
    with open(facts) as file:
        version_info = json.load(file)["version_info"]
    assert version_info["fitted_until"] == summary["splits"]["test_cut"]


def test_a_second_run_is_cached_and_an_edit_is_not(workspace):
    before = read_summary(workspace)
    # What `tfx run create` executes, without the CLI's own 15 s.
    command = [sys.executable, local_runner(workspace)]
    lines = went(call(workspace, command))
    assert set(lines.values()) == {"cached"}
    summary = read_summary(workspace)
    assert summary["cached"] == list(lines)
    assert summary["timings"]["total"] < before["timings"]["total"] / 3
    assert summary["metrics"] == before["metrics"]
    assert summary["pushed_model"] == before["pushed_model"]

    # A comment is enough: nobody should have to think about the cache.
    training = workspace / "repository" / "models" / "fitting" / "fit.py"
    training.write_text(training.read_text() + "\n# edited\n")
    lines = went(call(workspace, command))
    ran = [name for name, how in lines.items() if how != "cached"]
    summary = read_summary(workspace)
    assert ran == [
        "Tuner",
        "Trainer",
        "RankingEvaluator",
        "ModelCardWriter",
        "ServingValidator",
        "Pusher",
    ]
    assert summary["code_fingerprint"] != before["code_fingerprint"]
    # The same seed, data and meaning: the same model.
    assert summary["metrics"]["model"] == before["metrics"]["model"]
