"""Settings and logs of the tests of Kubeflow."""

import gzip
import signal
import subprocess
import sys

from pipeline.config import REPOSITORY, load_config

DEMO = REPOSITORY / "pipeline" / "configs" / "demo.yaml"
IMAGE = "example/create@sha256:" + "0" * 64
# What a pipeline needs to be compiled at all.
CLUSTER = (
    "name=tiny_shop",
    "dataset=tiny",
    "logs.path=s3://bucket/logs",
    "kubeflow.root=s3://bucket/runs",
    f"kubeflow.image={IMAGE}",
)
# A model that trains in seconds and is always blessed.
TINY = (
    "logs.num_buckets=2",
    "model.embedding_dim=8",
    "model.sequential.max_length=8",
    "model.sequential.num_blocks=1",
    "model.sequential.feed_forward_dim=8",
    "model.graph.num_layers=1",
    "training.warmup_epochs=1",
    "training.max_epochs=1",
    "evaluation.bootstrap_samples=20",
    "evaluation.targets=[last]",
    "evaluation.thresholds=[{metric: coverage_at_10, min_value: 0.001, "
    "min_ratio_to_baseline: 0.0}]",
)


def settings(*overrides):
    """Settings of the demo with those of a cluster, and more."""
    return load_config(DEMO, [*CLUSTER, *overrides])


def make_logs(folder, *, num_users=200, num_events=3000, name="log"):
    """Users walk round a ring of 30 items: order matters, a little."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["user_id,item_id,timestamp"]
    for event in range(num_events):
        user, step = event * 7 % num_users, event // num_users
        item = (user % 5 * 6 + step) % 30
        rows.append(f"u{user},i{item},{1_600_000_000 + 600 * event}")
    with gzip.open(folder / f"{name}.csv.gz", "wt") as file:
        file.write("\n".join(rows) + "\n")


def killed_after(words, arguments):
    """Runs Python and kills it as soon as it says something.

    Args:
        words: in a line of its output.
        arguments: of Python.

    Returns:
        The lines until then.
    """
    lines = []
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout:
            lines.append(line)
            if words in line:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL, "".join(lines[-20:])
    return lines
