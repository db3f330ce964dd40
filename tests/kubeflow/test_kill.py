"""A step killed half-way: what the next run reads, on the local runner."""

import json
import os
import time

import pytest
from tfx import v1 as tfx
from tfx.orchestration import metadata
from tfx.types.standard_artifacts import Model

from pipeline import reporting_runner
from pipeline.config import load_config
from pipeline.paths import RunPaths
from pipeline.run_records import read_newest_run
from tests.kubeflow.helpers import killed_after

pytestmark = pytest.mark.slow


@tfx.dsl.components.component
def Make(  # noqa: N802
    model: tfx.dsl.components.OutputArtifact[Model],
    hold: tfx.dsl.components.Parameter[str],
):
    for part in range(2):
        with tfx.dsl.io.fileio.open(f"{model.uri}/part-{part}", "w") as file:
            file.write("x")
        if os.path.exists(hold):
            print("half", flush=True)
            time.sleep(60)


@tfx.dsl.components.component
def Take(  # noqa: N802
    model: tfx.dsl.components.InputArtifact[Model],
    seen: tfx.dsl.components.Parameter[str],
):
    with open(seen, "a") as file:
        file.write(json.dumps(sorted(os.listdir(model.uri))) + "\n")


def run(folder):
    """Runs the two steps; holds in the first while `hold` exists."""
    config = load_config(
        "pipeline/configs/demo.yaml", ["name=shop", f"runs_dir={folder}"]
    )
    paths = RunPaths.of(config)
    make = Make(hold=f"{folder}/hold")
    take = Take(model=make.outputs["model"], seen=f"{folder}/seen")
    reporting_runner.ReportingRunner(config).run(
        tfx.dsl.Pipeline(
            pipeline_name=config.name,
            pipeline_root=paths.pipeline_root,
            components=[make, take],
            enable_cache=True,
            metadata_connection_config=(
                metadata.sqlite_metadata_connection_config(str(paths.metadata))
            ),
        )
    )
    return read_newest_run(str(paths.metadata), config.name)


def test_the_next_run_never_reads_half_an_artifact(tmp_path, monkeypatch):
    (tmp_path / "hold").touch()
    killed_after(
        "half",
        [
            "-c",
            "import sys; from tests.kubeflow.test_kill import run; "
            "run(sys.argv[1])",
            str(tmp_path),
        ],
    )
    artifacts = tmp_path / "shop" / "artifacts" / "Make" / "model"
    (half,) = artifacts.iterdir()
    assert os.listdir(half) == ["part-0"]
    assert not (tmp_path / "seen").exists()

    (tmp_path / "hold").unlink()
    monkeypatch.setattr(
        reporting_runner.summary_writer, "write_summary", lambda config: None
    )
    record = run(tmp_path)
    assert {name: node.state for name, node in record.nodes.items()} == {
        "Make": "complete",
        "Take": "complete",
    }
    # Another folder than the killed one's, and both parts in it.
    assert record.nodes["Make"].outputs["model"].uri != str(half)
    assert (tmp_path / "seen").read_text() == '["part-0", "part-1"]\n'
    # The run after that goes on as if nothing had happened.
    record = run(tmp_path)
    assert {node.state for node in record.nodes.values()} == {"cached"}
