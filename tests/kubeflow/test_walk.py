"""A compiled pipeline, step by step from logs to a pushed model.

Every step is what the YAML says: its command, its arguments, the inputs that
the backend would resolve. One run is worth its time only once, so the tests
share it.
"""

import argparse
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
import yaml
from tfx.orchestration import metadata
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

from components.history_example_gen.fingerprint import input_fingerprint
from kubeflow.compile import compile_pipeline
from pipeline.create_pipeline import create_pipeline
from pipeline.paths import RunPaths
from pipeline.reporting_runner import ReportingRunner
from pipeline.run_records import read_newest_run
from tests.kubeflow.backend import (
    BUCKET,
    Backend,
    StepFailed,
    in_a_process,
    in_process,
)
from tests.kubeflow.helpers import TINY, make_logs, settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def text():
    # The Pusher under a time limit: its command has another form then.
    return compile_pipeline(
        settings(*TINY, "kubeflow.steps={Pusher: {timeout_seconds: 300}}")
    )


@pytest.fixture(scope="module")
def backend(bucket):
    def execute(command, args, environment):
        # One step in a process of its own shows that the command is whole.
        how = in_a_process if command[0] == "timeout" else in_process
        how(command, args, environment)

    return Backend(bucket, execute)


@pytest.fixture(scope="module")
def walked(backend, text):
    """The tasks of the first run."""
    return backend.run(text)


@pytest.fixture(scope="module")
def local(bucket, tmp_path_factory):
    """Outputs of the same pipeline under the local runner."""
    config = settings(
        *TINY,
        f"logs.path={bucket}/logs",
        f"runs_dir={tmp_path_factory.mktemp('local')}",
    )
    paths = RunPaths.of(config)
    connection = metadata.sqlite_metadata_connection_config(str(paths.metadata))
    ReportingRunner(config).run(
        create_pipeline(
            config,
            pipeline_root=paths.pipeline_root,
            serving_dir=str(paths.serving),
            checkpoint_root=str(paths.checkpoints),
            input_fingerprint=input_fingerprint(config.logs),
            metadata_connection_config=connection,
        )
    )
    return read_newest_run(str(paths.metadata), config.name).nodes


def read_json(uri, name):
    with open(os.path.join(uri, name)) as file:
        return json.load(file)


def versions(bucket):
    return sorted((bucket / "runs/tiny_shop/serving/create").iterdir())


def test_every_step_runs_to_a_pushed_model(walked, bucket):
    assert list(walked)[0] == "ResolveRun"
    assert list(walked)[-1] == "Pusher"
    assert all(not task.cached for task in walked.values())
    assert all(task.attempts == 1 for task in walked.values())
    (version,) = versions(bucket)
    pushed = walked["Pusher"].artifacts["pushed_model"]["metadata"]
    assert pushed["pushed"] == 1
    assert pushed["pushed_destination"] == str(version)
    model = tf.saved_model.load(str(version))
    answer = model.signatures["serving_default"](
        history=tf.constant([["i3", "i4"]])
    )
    assert answer["item_ids"].shape == (1, 10)
    # Checkpoints of a training that is done are of no use.
    left = bucket / "runs" / "tiny_shop" / "checkpoints"
    assert not left.exists() or not list(left.iterdir())


def test_results_are_those_of_the_local_run(walked, local):
    def both(step, output, name):
        return (
            read_json(walked[step].artifacts[output]["uri"], name),
            read_json(local[step].outputs[output].uri, name),
        )

    ours, theirs = both("HistoryExampleGen", "dead_letters", "ingest.json")
    assert ours["rows"] == theirs["rows"] == 3000
    ours, theirs = both("RankingEvaluator", "evaluation", "metrics.json")
    for key in ("metrics", "splits", "blessing", "profile"):
        assert ours[key] == theirs[key]
    ours, theirs = both("Trainer", "model_run", "training.json")
    assert ours["plan"] == theirs["plan"]
    for phase in ("selection", "refit"):
        for mine, other in zip(
            ours["phases"][phase]["epochs"],
            theirs["phases"][phase]["epochs"],
            strict=True,
        ):
            mine.pop("seconds"), other.pop("seconds")
            assert mine == other


def test_the_model_has_the_weights_of_the_local_one(walked, local):
    ours = walked["Trainer"].artifacts["model"]["uri"]
    theirs = local["Trainer"].outputs["model"].uri
    found = []
    for uri in (ours, theirs):
        reader = tf.train.load_checkpoint(
            f"{uri}/Format-Serving/variables/variables"
        )
        tensors = map(reader.get_tensor, reader.get_variable_to_shape_map())
        # Layers are numbered through within a process, so names differ.
        found.append(
            sorted(
                tensor.tobytes()
                for tensor in tensors
                if isinstance(tensor, np.ndarray) and tensor.dtype != object
            )
        )
    assert found[0] == found[1]
    assert len(found[0]) > 5


def test_a_second_run_takes_all_that_only_inputs_decide_from_the_cache(
    walked, backend, text, bucket
):
    again = backend.run(text)
    assert [name for name, task in again.items() if not task.cached] == [
        "ResolveRun",
        "ServingValidator",
        "Pusher",
    ]
    assert len(versions(bucket)) == 1  # nothing is pushed twice


def test_new_logs_are_no_stale_hit(walked, backend, text, bucket):
    make_logs(bucket / "logs", num_events=10, name="new")
    try:
        tasks = backend.run(text, until="HistoryExampleGen")
    finally:
        (bucket / "logs" / "new.csv.gz").unlink()
    assert not tasks["HistoryExampleGen"].cached
    ingest = read_json(
        tasks["HistoryExampleGen"].artifacts["dead_letters"]["uri"],
        "ingest.json",
    )
    assert ingest["rows"] == 3010
    # Back to the old files: back to the old outputs.
    tasks = backend.run(text, until="HistoryExampleGen")
    assert tasks["HistoryExampleGen"].cached


def test_a_parameter_reaches_the_steps_that_it_concerns(walked, backend, text):
    def changed(**parameters):
        tasks = backend.run(text, until="ResolveRun", **parameters)
        before = walked["ResolveRun"].parameters
        after = tasks["ResolveRun"].parameters
        return {k: after[k] for k in before if after[k] != before[k]}

    found = changed(training_max_epochs=7)
    assert set(found) == {"Trainer_config"}
    assert json.loads(found["Trainer_config"])["training"]["max_epochs"] == 7
    found = changed(split_test_date="2020-09-20")
    assert set(found) >= {"Transform_custom_config", "Trainer_config"}
    assert (
        json.loads(found["Transform_custom_config"])["split"]["test_date"]
        == "2020-09-20"
    )
    assert set(changed(push_target="s3://bucket/elsewhere")) == {
        "Pusher_push_destination"
    }
    assert changed(input_fingerprint="2020-09-20") == {
        "HistoryExampleGen_input_fingerprint": "2020-09-20"
    }


def test_a_bad_parameter_stops_the_run_before_any_work(backend, text):
    with pytest.raises(StepFailed, match="test_quantile. must lie in"):
        backend.run(text, split_test_quantile=1.5)
    with pytest.raises(StepFailed, match="ResolveRun.*does not exist"):
        backend.run(text, logs_path="s3://bucket/nothing")


def test_another_image_than_was_compiled_for_is_refused(backend, text):
    spec = yaml.safe_load(text)
    task = spec["root"]["dag"]["tasks"]["ResolveRun"]
    task["inputs"]["parameters"]["code_fingerprint"]["runtimeValue"] = {
        "constant": "0" * 64
    }
    with pytest.raises(StepFailed, match="image holds other code"):
        backend.run(yaml.safe_dump(spec))


def test_a_retry_never_reads_what_a_killed_attempt_left(
    walked, bucket, text, tmp_path
):
    """A shard too many would be read as more users."""
    shutil.copytree(bucket / "logs", tmp_path / "logs")
    attempts = []

    def evicted_once(command, args, environment):
        if "history_example_gen" in args[1] and not attempts:
            attempts.append(1)
            request = json.loads(args[3])
            examples = request["outputs"]["artifacts"]["examples"]
            folder = f"{examples['artifacts'][0]['uri']}/Split-all"
            os.makedirs(folder)
            with open(f"{folder}/data_tfrecord-00000-of-00099.gz", "wb") as f:
                f.write(b"half a record")
            raise RuntimeError("evicted")
        in_process(command, args, environment)

    tasks = Backend(tmp_path, evicted_once).run(text, until="HistoryExampleGen")
    assert tasks["HistoryExampleGen"].attempts == 2

    def files(task):
        folder = f"{task.artifacts['examples']['uri']}/Split-all"
        return {
            name: os.path.getsize(os.path.join(folder, name))
            for name in os.listdir(folder)
        }

    assert files(tasks["HistoryExampleGen"]) == files(
        walked["HistoryExampleGen"]
    )


def test_tfx_itself_cannot_read_untyped_artifacts(walked, text):
    """What kubeflow.run_step is for; a TFX that can would need it no more."""
    request = {
        "inputs": {
            "artifacts": {
                "examples": {
                    "artifacts": [
                        walked["HistoryExampleGen"].artifacts["examples"]
                    ]
                }
            }
        }
    }
    arguments = argparse.Namespace(
        executor_class_path="components.graph_builder.executor.Executor",
        json_serialized_invocation_args=json.dumps(request),
    )
    with pytest.raises(UnboundLocalError, match="title"):
        kubeflow_v2_run_executor.main((arguments, []))


def test_nothing_of_this_machine_is_in_the_text(text, bucket):
    assert str(bucket) not in text
    assert BUCKET in text
