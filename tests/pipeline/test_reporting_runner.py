"""Progress, failures and the lock, with a pipeline of two small components."""

import io
import json
import shutil
import subprocess
import sys

import pytest
from tfx import v1 as tfx
from tfx.orchestration import metadata
from tfx.types.standard_artifacts import (
    InfraBlessing,
    Model,
    ModelEvaluation,
)

from pipeline import reporting_runner
from pipeline.config import REPOSITORY, load_config
from pipeline.paths import RunPaths
from pipeline.run_lock import AlreadyRunning, run_lock


@tfx.dsl.components.component
def Make(  # noqa: N802
    described_model: tfx.dsl.components.OutputArtifact[Model],
    text: tfx.dsl.components.Parameter[str],
):
    with tfx.dsl.io.fileio.open(f"{described_model.uri}/text", "w") as file:
        file.write(text)


@tfx.dsl.components.component
def Train(  # noqa: N802
    model: tfx.dsl.components.OutputArtifact[Model],
    text: tfx.dsl.components.Parameter[str],
):
    fileio = tfx.dsl.io.fileio
    fileio.makedirs(f"{model.uri}/Format-Serving")
    path = f"{model.uri}/Format-Serving/saved_model.pb"
    with fileio.open(path, "w") as file:
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
    model: tfx.dsl.components.InputArtifact[Model],
    blessing: tfx.dsl.components.OutputArtifact[InfraBlessing],
    blessed: tfx.dsl.components.Parameter[int],
):
    """Keeps what it blesses, as ServingValidator does."""
    fileio = tfx.dsl.io.fileio
    blessing.set_int_custom_property("blessed", blessed)
    if blessed:
        stamped = f"{blessing.uri}/stamped_model"
        fileio.makedirs(stamped)
        fileio.copy(f"{model.uri}/text", f"{stamped}/saved_model.pb")


@tfx.dsl.components.component
def Evaluate(  # noqa: N802
    model: tfx.dsl.components.InputArtifact[Model],
    periods: tfx.dsl.components.InputArtifact[Model],
    evaluation: tfx.dsl.components.OutputArtifact[ModelEvaluation],
    config: tfx.dsl.components.Parameter[str],
    serving_dir: tfx.dsl.components.Parameter[str],
):
    """Writes down which version it was compared with, as RankingEvaluator."""
    fileio = tfx.dsl.io.fileio
    with fileio.open(f"{model.uri}/Format-Serving/saved_model.pb") as file:
        own = file.read()
    others = {}
    names = fileio.listdir(serving_dir) if fileio.exists(serving_dir) else []
    for name in sorted(names, key=int):
        with fileio.open(f"{serving_dir}/{name}/saved_model.pb") as file:
            if file.read() != own:
                others["now"] = {"directory": f"{serving_dir}/{name}"}
    with fileio.open(f"{evaluation.uri}/metrics.json", "w") as file:
        file.write(json.dumps({"compared": others}))


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
    make = Make(text=text)
    take = Take(model=make.outputs["described_model"], fail=fail)
    return run_all(config, [make, take.with_id(names[1])])


def run_served(config, text="x", blessed=1, fail=0):
    """Runs what a model passes on its way to a server."""
    card = Make(text=text).with_id("ModelCardWriter")
    model = card.outputs["described_model"]
    validate = Validate(model=model, blessed=blessed).with_id(
        "ServingValidator"
    )
    before = Take(model=model, fail=fail).with_id("Before")
    validate.add_upstream_node(before)
    push = Take(model=model, fail=0).with_id("Pusher")
    push.add_upstream_node(validate)
    lines = run_all(config, [card, before, validate, push])
    return {line.split()[1]: line.split()[-1] for line in lines}


def run_compared(
    config, text, compare_with='{"now": "served"}', periods="", samples=9
):
    """Whether RankingEvaluator ran or came from the cache."""
    train = Train(text=text).with_id("Trainer")
    before = Make(text=periods).with_id("PeriodStatistics")
    evaluate = Evaluate(
        model=train.outputs["model"],
        periods=before.outputs["described_model"],
        config=f'{{"compare_with": {compare_with}, '
        f'"bootstrap_samples": {samples}}}',
        serving_dir=str(RunPaths.of(config).serving),
    ).with_id("RankingEvaluator")
    lines = run_all(config, [train, before, evaluate])
    return lines[-1].split()[-1]


def run_all(config, components):
    paths = RunPaths.of(config)
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


def serve(config, number, text, copy_of=None):
    """Puts a version where servers look."""
    version = RunPaths.of(config).serving / str(number)
    (version / "assets.extra").mkdir(parents=True)
    (version / "saved_model.pb").write_text(text)
    if copy_of:
        mark = version / "assets.extra" / "copy_of.json"
        mark.write_text(f'{{"version": {copy_of}}}')


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


def test_the_way_back_to_an_earlier_model_is_pushed(config, written):
    """From the cache, the model pushed in between would stay served."""
    assert run_served(config, "a")["Pusher"] == "s"
    serve(config, 1, "a")
    assert run_served(config, "b")["Pusher"] == "s"
    serve(config, 2, "b")
    assert run_served(config, "b")["Pusher"] == "cached"
    again = run_served(config, "a")
    assert again["ServingValidator"] == "cached"
    assert again["Pusher"] == "s"


def test_a_rollback_stays_until_there_is_another_model(config, written):
    for number, text in ((1, "a"), (2, "b")):
        run_served(config, text)
        serve(config, number, text)
    serve(config, 3, "a", copy_of=1)
    assert run_served(config, "b")["Pusher"] == "cached"
    assert run_served(config, "c")["Pusher"] == "s"


def test_a_blessing_from_before_another_model_was_pushed_is_old(
    config, written
):
    """It would let the worse model a replace b, which it never met."""
    assert run_compared(config, "a") == "s"
    serve(config, 1, "a")
    assert run_compared(config, "a") == "cached"  # it is what is served
    assert run_compared(config, "b") == "s"
    serve(config, 2, "b")
    assert run_compared(config, "b") == "cached"
    assert run_compared(config, "a") == "s"
    # Not for ever: now it has been compared with what is served.
    assert run_compared(config, "a") == "cached"


def test_what_is_served_may_be_copied_back_or_gone(config, written):
    for number, text in ((1, "a"), (2, "b")):
        run_compared(config, text)
        serve(config, number, text)
    serve(config, 3, "a", copy_of=1)
    assert run_compared(config, "b") == "s"  # was compared with 1
    assert run_compared(config, "b") == "cached"
    serving = RunPaths.of(config).serving
    for number in (1, 3):
        shutil.rmtree(serving / str(number))
    assert run_compared(config, "b") == "cached"  # it is what is served
    shutil.rmtree(serving / "2")
    assert run_compared(config, "b") == "s"
    assert run_compared(config, "b") == "cached"


@pytest.mark.parametrize("other", [{"samples": 7}, {"periods": "others"}])
def test_an_old_blessing_is_old_whatever_was_measured_since(
    config, written, other
):
    """The cache goes by settings and inputs, so it would take the first."""
    run_compared(config, "a")
    serve(config, 1, "b")
    assert run_compared(config, "a", **other) == "s"
    assert run_compared(config, "a") == "s"
    assert run_compared(config, "a", **other) == "cached"


def test_only_what_is_compared_with_the_served_one_is_measured_again(
    config, written
):
    for others in ("{}", '{"old": "/models/old"}'):
        run_compared(config, "a", others)
    serve(config, 1, "b")
    for others in ("{}", '{"old": "/models/old"}'):
        assert run_compared(config, "a", others) == "cached"


@pytest.mark.parametrize(("blessed", "again"), [(1, "cached"), (0, "s")])
def test_a_refused_model_is_validated_again(config, written, blessed, again):
    run_served(config, blessed=blessed)
    assert run_served(config, blessed=blessed)["ServingValidator"] == again


def test_a_refusal_is_remembered_over_a_failed_run(config, written):
    run_served(config, blessed=0)
    with pytest.raises(reporting_runner.ComponentError):
        run_served(config, blessed=0, fail=1)
    assert run_served(config, blessed=0)["ServingValidator"] == "s"


def test_an_edited_schema_is_imported_again(config, written, tmp_path):
    """The cache knows it by its path."""
    file = tmp_path / "own.pbtxt"
    states = []
    for text in ('feature {name: "a"}', "# nothing", "# nothing"):
        file.write_text(text)
        importer = tfx.components.ImportSchemaGen(schema_file=str(file))
        (line,) = run_all(config, [importer])
        states.append(line.split()[-1])
    assert states == ["s", "s", "cached"]


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
