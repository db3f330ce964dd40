"""Progress, failures and the lock, with a pipeline of two small components."""

import io
import shutil
import subprocess
import sys

import pytest
from tfx import v1 as tfx
from tfx.orchestration import metadata
from tfx.types.standard_artifacts import InfraBlessing, Model

from pipeline import reporting_runner
from pipeline.config import REPOSITORY, load_config
from pipeline.paths import RunPaths
from pipeline.run_lock import AlreadyRunning, run_lock


@tfx.dsl.components.component
def Make(  # noqa: N802
    model: tfx.dsl.components.OutputArtifact[Model],
    text: tfx.dsl.components.Parameter[str],
):
    with tfx.dsl.io.fileio.open(f"{model.uri}/text", "w") as file:
        file.write(text)


@tfx.dsl.components.component
def Take(  # noqa: N802
    model: tfx.dsl.components.InputArtifact[Model],
    fail: tfx.dsl.components.Parameter[int],
):
    if fail:
        raise ValueError("Column `time` holds words. Fix: name another.")


@tfx.dsl.components.component
def Validate(  # noqa: N802
    blessing: tfx.dsl.components.OutputArtifact[InfraBlessing],
    text: tfx.dsl.components.Parameter[str],
    fail: tfx.dsl.components.Parameter[int],
):
    blessing.set_int_custom_property("blessed", fail)


@pytest.fixture
def config(tmp_path):
    return load_config(
        "pipeline/configs/demo.yaml", ["name=shop", f"runs_dir={tmp_path}"]
    )


@pytest.fixture
def written(monkeypatch):
    """Names of the pipelines that a summary was written for."""
    names = []
    monkeypatch.setattr(
        reporting_runner.summary_writer,
        "write_summary",
        lambda config: names.append(config.name),
    )
    return names


def run(config, text="x", fail=0, names=("Make", "Take")):
    """Runs the two components and returns the lines printed."""
    paths = RunPaths.of(config)
    if names[0] == "Validate":
        components = [Validate(text=text, fail=fail).with_id(names[1])]
    else:
        make = Make(text=text)
        take = Take(model=make.outputs["model"], fail=fail)
        components = [make, take.with_id(names[1])]
    pipeline = tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(paths.pipeline_root),
        components=components,
        enable_cache=True,
        metadata_connection_config=metadata.sqlite_metadata_connection_config(
            str(paths.metadata)
        ),
    )
    out = io.StringIO()
    try:
        reporting_runner.ReportingRunner(config, out).run(pipeline)
    finally:
        run.lines = out.getvalue().splitlines()
    return run.lines


def test_a_line_per_component_and_cached_on_the_second_run(config, written):
    lines = [line.split() for line in run(config)]
    assert [line[:2] for line in lines] == [
        ["[1/2]", "Make"],
        ["[2/2]", "Take"],
    ]
    assert all(float(seconds) >= 0 for _, _, seconds, _ in lines)
    assert written == ["shop"]

    lines = [line.split() for line in run(config)]
    assert lines == [["[1/2]", "Make", "cached"], ["[2/2]", "Take", "cached"]]
    assert written == ["shop", "shop"]

    lines = [line.split() for line in run(config, text="y")]
    assert [line[-1] for line in lines] == ["s", "s"]


def test_a_model_that_is_gone_is_pushed_again(config, written):
    """Taken from the cache, the run would say that it lies there."""
    run(config, names=("Make", "Pusher"))
    assert run.lines[-1].split()[-1] == "s"
    run(config, names=("Make", "Pusher"))
    assert run.lines[-1].split()[-1] == "s"  # nothing lies there yet
    version = RunPaths.of(config).serving / "17"
    version.mkdir(parents=True)
    (version / "saved_model.pb").touch()
    run(config, names=("Make", "Pusher"))
    assert [line.split()[-1] for line in run.lines] == ["cached", "cached"]
    shutil.rmtree(version)
    run(config, names=("Make", "Pusher"))
    assert [line.split()[-1] for line in run.lines][0] == "cached"
    assert run.lines[-1].split()[-1] == "s"


@pytest.mark.parametrize(("blessed", "again"), [(1, "cached"), (0, "s")])
def test_a_refused_model_is_validated_again(config, written, blessed, again):
    names = ("Validate", "ServingValidator")
    run(config, names=names, fail=blessed)
    run(config, names=names, fail=blessed)
    assert run.lines[-1].split()[-1] == again


def test_a_failure_is_told_in_the_components_words(config, written):
    with pytest.raises(reporting_runner.ComponentError) as caught:
        run(config, fail=1)
    first, second = str(caught.value).splitlines()
    assert first.startswith("Take failed after ")
    assert first.endswith(
        "s: ValueError: Column `time` holds words. Fix: name another."
    )
    assert second == f"Log with traceback: {RunPaths.of(config).log}"
    assert run.lines[-1].split() == ["[2/2]", "Take", "FAILED"]
    assert written == []
    log = RunPaths.of(config).log.read_text()
    assert "Traceback (most recent call last)" in log
    assert "Column `time` holds words" in log
    # The next run takes up where this one stopped.
    assert run(config)[0].split() == ["[1/2]", "Make", "cached"]


def test_two_runs_do_not_collide(config, written):
    with run_lock(RunPaths.of(config).lock):
        with pytest.raises(AlreadyRunning, match="shop is already running"):
            run(config)
    run(config)


def test_a_killed_run_leaves_no_lock(tmp_path):
    path = tmp_path / "shop" / "run.lock"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time, pathlib\n"
            "from pipeline.run_lock import run_lock\n"
            "with run_lock(pathlib.Path(sys.argv[1])):\n"
            "    print('locked', flush=True); time.sleep(60)",
            str(path),
        ],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
    )
    assert holder.stdout.readline() == b"locked\n"
    with pytest.raises(AlreadyRunning, match=f"process {holder.pid}"):
        with run_lock(path):
            pass
    holder.kill()
    holder.wait()
    with run_lock(path):
        pass
