"""What is compiled: form, contents, determinism, and what is refused."""

import json
import os
import re

import pytest
import yaml
from google.protobuf import json_format
from kfp import components as kfp_components
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx import v1 as tfx
from tfx.dsl.components.base import (
    base_component,
    base_executor,
    executor_spec,
)
from tfx.types import component_spec, standard_artifacts

from kubeflow import build, compile
from kubeflow.compile import compile_pipeline
from kubeflow.errors import CompileError
from kubeflow.exec_values import exec_values
from models.settings import SettingsError, from_json
from pipeline.config import REPOSITORY, PipelineConfig
from pipeline.kubeflow_config import StepConfig
from tests.kubeflow.helpers import CLUSTER, DEMO, IMAGE, settings
from tests.kubeflow.outline import outline

GOLDEN = REPOSITORY / "tests" / "kubeflow" / "golden"
FULL = (
    "beam.runner=flink",
    'beam.pipeline_args=["--flink_master=flink:8081"]',
    'beam.steps={GraphBuilder: ["--runner=DirectRunner"]}',
    "kubeflow.gpu.count=2",
    f"kubeflow.gpu_image={IMAGE.replace('create', 'create-gpu')}",
    "kubeflow.defaults.cpu_limit=2",
    "kubeflow.defaults.env={S3_ENDPOINT: 'minio.storage:9000'}",
    "kubeflow.defaults.secret_env="
    "[storage/user=AWS_ACCESS_KEY_ID, storage/key=AWS_SECRET_ACCESS_KEY]",
    "kubeflow.defaults.image_pull_secrets=[pull]",
    "kubeflow.steps={Trainer: {cpu_request: 8, cpu_limit: 16, "
    "memory_request_gb: 24, memory_limit_gb: 32, timeout_seconds: 86400, "
    "retries: 5, node_selector: {pool: gpu}, "
    "tolerations: ['nvidia.com/gpu:NoSchedule', 'team=a:NoExecute'], "
    "volumes: ['scratch:/scratch'], secret_files: ['ca:/etc/ca']}, "
    "GraphBuilder: {cache: false}}",
)


@pytest.fixture(scope="module")
def text():
    return compile_pipeline(settings())


@pytest.fixture(scope="module")
def full():
    """The documents of a pipeline with everything set."""
    return compile_pipeline(settings(*FULL))


def tasks_of(text):
    return next(yaml.safe_load_all(text))["root"]["dag"]["tasks"]


def container(text, step):
    spec = next(yaml.safe_load_all(text))
    label = spec["components"][step]["executorLabel"]
    return spec["deploymentSpec"]["executors"][label]["container"]


def platform(text, step):
    _, document = yaml.safe_load_all(text)
    executors = document["platforms"]["kubernetes"]["deploymentSpec"]
    return executors["executors"][f"{step}_executor"]


@pytest.mark.parametrize("name", ["text", "full"])
def test_kfp_loads_it_and_the_specification_takes_every_field(name, request):
    text = request.getfixturevalue(name)
    loaded = kfp_components.load_component_from_text(text)
    assert loaded.name == "tiny-shop"
    spec, *platforms = yaml.safe_load_all(text)
    # Unknown fields and wrong types are errors here.
    message = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert message.schema_version == "2.1.0"
    json_format.ParseDict(
        spec["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig()
    )
    assert len(platforms) == (name == "full")
    for document in platforms:
        json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())


def test_the_same_settings_give_the_same_bytes(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert compile_pipeline(settings()) == text
    assert compile_pipeline(settings("runs_dir=/elsewhere")) == text


def test_it_has_every_step_of_create_pipeline_and_one_before(text):
    pipeline = build._pipeline(
        settings(), build.Layout.of(settings()), "s3://b/x", ""
    )
    expected = {node.id: node for node in pipeline.components}
    tasks = tasks_of(text)
    assert set(tasks) == {"ResolveRun", *expected}
    for name, node in expected.items():
        upstream = {other.id for other in node.upstream_nodes}
        assert (
            set(tasks[name].get("dependentTasks", ())) - {"ResolveRun"}
            == upstream
        )
        for key, channel in node.inputs.items():
            assert tasks[name]["inputs"]["artifacts"][key][
                "taskOutputArtifact"
            ] == {
                "producerTask": channel.producer_component_id,
                "outputArtifactKey": channel.output_key,
            }


def test_only_containers_run(text):
    spec = yaml.safe_load(text)
    for label, executor in spec["deploymentSpec"]["executors"].items():
        assert set(executor) == {"container"}, label
        assert "lifecycle" not in executor["container"]
        assert executor["container"]["image"] == IMAGE


def test_constants_arrive_as_create_pipeline_gave_them(text):
    """All but those of ResolveRun, by value and type."""
    config = settings()
    layout = build.Layout.of(config)
    values = exec_values(build._pipeline(config, layout, layout.serving, ""))
    constants = {
        (step, name): source["runtimeValue"]["constant"]
        for step, task in tasks_of(text).items()
        if step != "ResolveRun"
        for name, source in task["inputs"]["parameters"].items()
        if "runtimeValue" in source
    }
    assert constants == {where: values[where] for where in constants}
    missing = set(values) - set(constants)
    outputs = yaml.safe_load(text)["components"]["ResolveRun"][
        "outputDefinitions"
    ]["parameters"]
    assert {f"{step}_{name}" for step, name in missing} == set(outputs)


def test_what_a_run_can_change_comes_from_its_first_step(text):
    found = {
        (step, name)
        for step, task in tasks_of(text).items()
        for name, source in task["inputs"].get("parameters", {}).items()
        if "taskOutputParameter" in source
    }
    assert found >= {
        ("HistoryExampleGen", "config"),
        ("HistoryExampleGen", "input_fingerprint"),
        ("Transform", "custom_config"),
        ("GraphBuilder", "split_config"),
        ("Trainer", "config"),
        ("RankingEvaluator", "split_config"),
        ("Pusher", "push_destination"),
        # A file of the repository lies elsewhere in the image.
        ("ImportSchemaGen", "schema_file"),
    }
    assert ("GraphBuilder", "config") not in found
    assert ("RankingEvaluator", "config") not in found


def test_what_is_served_is_where_a_run_pushes_to(text):
    name = "RankingEvaluator_serving_dir"
    compared = compile_pipeline(
        settings("evaluation.compare_with={now: served}")
    )
    for found, there in ((text, False), (compared, True)):
        steps = yaml.safe_load(found)["components"]
        (first,) = [
            c for n, c in steps.items() if n.lower().endswith("resolverun")
        ]
        assert (name in first["outputDefinitions"]["parameters"]) == there


def test_the_settings_travel_whole(text):
    config = settings()
    parameters = tasks_of(text)["ResolveRun"]["inputs"]["parameters"]
    again = from_json(
        PipelineConfig, parameters["config"]["runtimeValue"]["constant"]
    )
    assert again.logs == config.logs and again.kubeflow == config.kubeflow
    assert str(REPOSITORY) not in text


def test_what_decides_anew_is_never_cached(text):
    cached = {
        step: task.get("cachingOptions", {}).get("enableCache", False)
        for step, task in tasks_of(text).items()
    }
    for step in ("ResolveRun", "ServingValidator", "Pusher"):
        assert not cached.pop(step)
    assert all(cached.values())


@pytest.mark.parametrize(
    ("others", "anew"), [("{now: served}", True), ("{old: s3://b/m}", False)]
)
def test_a_comparison_with_what_is_served_is_never_cached(others, anew):
    """Its folder is all that the backend's cache would know of it."""
    compiled = compile_pipeline(settings(f"evaluation.compare_with={others}"))
    tasks = tasks_of(compiled)
    assert ("cachingOptions" not in tasks["RankingEvaluator"]) == anew
    assert tasks["ModelCardWriter"]["cachingOptions"] == {"enableCache": True}


def test_defaults_of_the_parameters(text):
    spec = yaml.safe_load(text)
    definitions = spec["root"]["inputDefinitions"]["parameters"]
    defaults = {k: v["defaultValue"] for k, v in definitions.items()}
    assert defaults == {
        "input_fingerprint": "",
        "push_target": "s3://bucket/runs/tiny_shop/serving/create",
        "logs_path": "s3://bucket/logs",
        "split_test_date": "",
        "split_test_quantile": 0.8,
        "training_max_epochs": settings().training.max_epochs,
    }
    assert all(v["isOptional"] for v in definitions.values())
    assert spec["defaultPipelineRoot"] == "s3://bucket/runs/tiny_shop/artifacts"


@pytest.mark.parametrize(
    ("setting", "has_date"),
    [
        ("split.test_days=7", False),
        ("split.strategy=leave_one_out", False),
        ("split.validation_date=2024-02-01", True),
    ],
)
def test_dates_that_other_settings_exclude_are_no_parameters(setting, has_date):
    spec = yaml.safe_load(compile_pipeline(settings(setting)))
    definitions = spec["root"]["inputDefinitions"]["parameters"]
    assert ("split_test_date" in definitions) == has_date
    assert "split_test_quantile" in definitions


def test_resources_and_the_gpu_of_the_trainer_alone(full):
    trainer = container(full, "Trainer")
    assert trainer["resources"] == {
        "cpuRequest": 8.0,
        "cpuLimit": 16.0,
        "memoryRequest": 24.0,
        "memoryLimit": 32.0,
        "accelerator": {"type": "nvidia.com/gpu", "count": "2"},
    }
    assert trainer["image"] == IMAGE.replace("create", "create-gpu")
    names = {entry["name"] for entry in trainer["env"]}
    assert "CUDA_VISIBLE_DEVICES" not in names
    for step in set(tasks_of(full)) - {"Trainer"}:
        other = container(full, step)
        assert other["resources"] == {
            "cpuRequest": 1.0,
            "cpuLimit": 2.0,
            "memoryRequest": 4.0,
            "memoryLimit": 8.0,
        }
        assert {"name": "CUDA_VISIBLE_DEVICES", "value": ""} in other["env"]
        assert other["image"] == IMAGE


def test_a_search_gets_the_gpu_as_well():
    stages = "[{name: a, trials: 2, space: {model.global_weight: {low: 0.1, "
    text = compile_pipeline(
        settings(
            "kubeflow.gpu.count=1", f"tuning.stages={stages}high: 1.0}}}}}}]"
        )
    )
    for step in ("Tuner", "Trainer"):
        found = container(text, step)
        assert found["resources"]["accelerator"]["count"] == "1"
        names = {entry["name"] for entry in found["env"]}
        assert "CUDA_VISIBLE_DEVICES" not in names


def test_retries_time_limits_cache_and_environment(full):
    tasks = tasks_of(full)
    assert tasks["Trainer"]["retryPolicy"] == {
        "maxRetryCount": 5,
        "backoffDuration": "60s",
        "backoffFactor": 2.0,
        "backoffMaxDuration": "1800s",
    }
    assert tasks["Transform"]["retryPolicy"]["maxRetryCount"] == 2
    assert "cachingOptions" not in tasks["GraphBuilder"]
    command = container(full, "Trainer")["command"]
    assert command[:3] == ["timeout", "--kill-after=30s", "86400s"]
    assert container(full, "Transform")["command"] == command[3:]
    for step in tasks:
        assert {"name": "TF_USE_LEGACY_KERAS", "value": "1"} in container(
            full, step
        )["env"]
        assert {"name": "S3_ENDPOINT", "value": "minio.storage:9000"} in (
            container(full, step)["env"]
        )


def test_beam_steps_run_elsewhere_while_the_trainer_has_the_gpu(full):
    def beam(step):
        return container(full, step)["args"][6:]

    flink = ["--runner=FlinkRunner", "--flink_master=flink:8081"]
    for step in ("HistoryExampleGen", "StatisticsGen", "Transform"):
        assert beam(step) == flink
    assert beam("GraphBuilder")[0] == "--runner=DirectRunner"
    assert beam("Trainer") == beam("Pusher") == []


def test_the_kubernetes_part(full):
    trainer = platform(full, "Trainer")
    assert trainer == {
        "nodeSelector": {"labels": {"pool": "gpu"}},
        "tolerations": [
            {
                "key": "nvidia.com/gpu",
                "operator": "Exists",
                "effect": "NoSchedule",
            },
            {
                "key": "team",
                "operator": "Equal",
                "value": "a",
                "effect": "NoExecute",
            },
        ],
        "secretAsEnv": [
            {
                "secretName": "storage",
                "keyToEnv": [
                    {"secretKey": "user", "envVar": "AWS_ACCESS_KEY_ID"},
                    {"secretKey": "key", "envVar": "AWS_SECRET_ACCESS_KEY"},
                ],
            }
        ],
        "secretAsVolume": [{"secretName": "ca", "mountPath": "/etc/ca"}],
        "pvcMount": [{"constant": "scratch", "mountPath": "/scratch"}],
        "imagePullSecret": [{"secretName": "pull"}],
    }
    assert set(platform(full, "Transform")) == {
        "secretAsEnv",
        "imagePullSecret",
    }
    # kfp-kubernetes 1.0 knows all of it but two that came with 1.2.
    known = {
        key: value
        for key, value in trainer.items()
        if key not in ("tolerations", "imagePullSecret")
    }
    json_format.ParseDict(
        known, kubernetes_executor_config_pb2.KubernetesExecutorConfig()
    )


def test_vertex_takes_a_job():
    text = compile_pipeline(
        settings("kubeflow.gpu.count=1", "kubeflow.root=gs://bucket/runs"),
        vertex=True,
    )
    job = json.loads(text)
    json_format.Parse(text, pipeline_spec_pb2.PipelineJob())
    runtime = job["runtimeConfig"]
    assert (
        runtime["gcsOutputDirectory"] == "gs://bucket/runs/tiny_shop/artifacts"
    )
    assert runtime["parameterValues"]["logs_path"] == "s3://bucket/logs"
    executors = job["pipelineSpec"]["deploymentSpec"]["executors"]
    assert executors["Trainer_executor"]["container"]["resources"] == {
        "memoryLimit": 8.0,
        "accelerator": {"type": "NVIDIA_TESLA_T4", "count": "1"},
    }
    with pytest.raises(CompileError, match="Vertex AI has no such thing"):
        compile_pipeline(
            settings("kubeflow.defaults.node_selector={a: b}"), vertex=True
        )


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["kubeflow.root=null"], "`kubeflow.root` is not set"),
        (
            ["kubeflow.root=minio://bucket/runs"],
            "--set kubeflow.root=s3://bucket/runs and its address",
        ),
        (["kubeflow.root=/runs"], "must be gs://bucket/folder or s3://"),
        (["kubeflow.root=hdfs://a/b"], "must be gs://bucket/folder or s3://"),
        (["kubeflow.push_target=minio://b/c"], "MinIO speaks S3"),
        (["logs.path=data/demo"], "a folder that no pod has"),
        (["kubeflow.push_target=/models"], "its volumes are none"),
        (
            ["evaluation.compare_with={old: runs/old/serving/create}"],
            "`evaluation.compare_with.old` is ",
        ),
        (["kubeflow.image=null"], "`kubeflow.image` is not set"),
        (["kubeflow.steps={Trainr: {retries: 1}}"], "names Trainr, but the"),
        (
            ["kubeflow.runtime_parameters=[training.epochs]"],
            "`epochs` is unknown",
        ),
        (["kubeflow.runtime_parameters=[training.seed, logs.keep]"], "group"),
        (
            ["kubeflow.runtime_parameters=[kubeflow.gpu.vertex_type]"],
            "changes no step",
        ),
        (["logs.separator='{{'"], "a placeholder of its own"),
        (["name=__"], "has no letter or digit"),
    ],
)
def test_what_cannot_run_is_refused_with_the_fix(overrides, words):
    with pytest.raises(CompileError, match=re.escape(words)):
        compile_pipeline(settings(*overrides))


def test_a_folder_on_a_volume_is_a_place():
    config = settings(
        "logs.path=/logs/shop",
        "kubeflow.push_target=/models/shop",
        "evaluation.compare_with={old: /models/old, now: served}",
        "kubeflow.steps={HistoryExampleGen: {volumes: ['logs:/logs']}, "
        "ResolveRun: {volumes: ['logs:/logs']}, "
        "RankingEvaluator: {volumes: ['models:/models']}, "
        "Pusher: {volumes: ['models:/models/']}}",
    )
    text = compile_pipeline(config)
    assert platform(text, "HistoryExampleGen")["pvcMount"] == [
        {"constant": "logs", "mountPath": "/logs"}
    ]
    with pytest.raises(CompileError, match="its volumes are /logs"):
        compile_pipeline(
            settings(
                "logs.path=/logs2/shop",
                "kubeflow.defaults.volumes=['logs:/logs']",
            )
        )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("kubeflow.image=create:1", "docker inspect"),
        ("kubeflow.defaults.tolerations=[gpu]", "kubectl taint"),
        ("kubeflow.defaults.secret_env=[a=B]", "secret/key=VARIABLE"),
        ("kubeflow.defaults.volumes=[a]", "claim:/folder"),
        ("kubeflow.defaults.retries=-1", "at least 0"),
        ("kubeflow.defaults.cpu_limit=0.5", "no node would take the pod"),
        ("kubeflow.defaults.env={A-B: c}", "letters, digits"),
        (
            "kubeflow.steps={Trainer: {memory: 3}}",
            "`kubeflow.steps.Trainer.memory`",
        ),
        ("kubeflow.gpu.count=-1", "at least 0"),
        ("kubeflow.runtime_parameters=[seed]", "dotted key"),
    ],
)
def test_bad_settings_are_refused_when_they_are_read(override, words):
    with pytest.raises(SettingsError, match=re.escape(words)):
        settings(override)


def test_a_pod_may_ask_for_all_that_it_may_have():
    """Kubernetes then evicts it last."""
    step = StepConfig(
        cpu_request=2, cpu_limit=2, memory_request_gb=8, memory_limit_gb=8
    )
    assert step.cpu_request == step.cpu_limit


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {
        "numbers": component_spec.ExecutionParameter(
            type=list[int], optional=True
        ),
        "number": component_spec.ExecutionParameter(type=int, optional=True),
    }
    INPUTS = {}
    OUTPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model)
    }


class _Executor(base_executor.BaseExecutor):
    def Do(self, *_):  # noqa: N802
        pass


class _Component(base_component.BaseComponent):
    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(_Executor)

    def __init__(self, **values):
        channel = tfx.dsl.Channel(type=standard_artifacts.Model)
        super().__init__(_Spec(model=channel, **values))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"numbers": [1, 2]}, "`numbers` is a list. TFX hands it"),
        ({"number": 2**53 + 1}, "round integers above 2**53"),
    ],
)
def test_values_that_would_arrive_as_others_are_refused(values, words):
    pipeline = tfx.dsl.Pipeline("p", "/r", components=[_Component(**values)])
    with pytest.raises(CompileError, match=re.escape(words)):
        exec_values(pipeline)


def with_node(monkeypatch, make):
    """create_pipeline with one node more at its end."""
    original = build.create_pipeline

    def create(*args, **kwargs):
        pipeline = original(*args, **kwargs)
        nodes = {node.id: node for node in pipeline.components}
        node = make(nodes)
        with pipeline.dsl_context_registry.temporary_mutable():
            pipeline.dsl_context_registry.put_node(node)
        pipeline.components = [*pipeline.components, node]
        return pipeline

    monkeypatch.setattr(build, "create_pipeline", create)


def test_nodes_that_the_backend_cannot_run_are_refused(monkeypatch):
    with monkeypatch.context() as patch:
        with_node(
            patch,
            lambda nodes: tfx.components.InfraValidator(
                model=nodes["Trainer"].outputs["model"],
                serving_spec=tfx.proto.ServingSpec(),
            ),
        )
        with pytest.raises(CompileError, match="ServingValidator"):
            compile_pipeline(settings())
    with_node(
        monkeypatch, lambda nodes: tfx.components.CsvExampleGen("s3://b/logs")
    )
    with pytest.raises(CompileError, match="driver.*never calls"):
        compile_pipeline(settings())


@pytest.mark.parametrize(
    ("strategy", "names"),
    [
        (tfx.dsl.experimental.LatestArtifactStrategy, {"Served"}),
        (
            tfx.dsl.experimental.LatestBlessedModelStrategy,
            {"Served-model-resolver", "Served-model-blessing-resolver"},
        ),
    ],
)
def test_a_resolver_becomes_a_step_of_our_own(monkeypatch, strategy, names):
    channels = {"model": tfx.dsl.Channel(type=standard_artifacts.Model)}
    if len(names) == 2:
        channels["model_blessing"] = tfx.dsl.Channel(
            type=standard_artifacts.ModelBlessing
        )
    with_node(
        monkeypatch,
        lambda nodes: tfx.dsl.Resolver(
            strategy_class=strategy, **channels
        ).with_id("Served"),
    )
    text = compile_pipeline(settings())
    spec = yaml.safe_load(text)
    tasks = tasks_of(text)
    found = {name for name in tasks if name.startswith("Served")}
    assert found == names
    for name in names:
        assert "cachingOptions" not in tasks[name]
        assert tasks[name]["inputs"] == {
            "parameters": {
                "serving_dir": {"componentInputParameter": "push_target"}
            }
        }
        assert container(text, name)["args"][1] == (
            "kubeflow.served_model.executor.Executor"
        )
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())


def test_the_command_writes_the_file(tmp_path, capsys):
    output = tmp_path / "pipeline.yaml"
    arguments = ["--config", str(DEMO), "--output", str(output)]
    for override in CLUSTER:
        arguments += ["--set", override]
    assert compile.main(arguments) == 0
    assert output.read_text() == compile_pipeline(settings())
    assert os.listdir(tmp_path) == ["pipeline.yaml"]

    assert compile.main([*arguments, "--set", "kubeflow.root=minio://b"]) == 2
    assert "MinIO speaks S3" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        compile.main([*arguments, "--vertex"])
    assert "a name ending in .json" in capsys.readouterr().err


def test_a_folder_that_is_missing_is_named_before_the_work(tmp_path, capsys):
    with pytest.raises(SystemExit):
        compile.main([f"--output={tmp_path / 'no' / 'pipeline.yaml'}"])
    assert f"there is no folder {tmp_path / 'no'}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["text", "full"])
def test_golden_outline(name, request):
    """UPDATE_GOLDEN=1 writes the files anew, for a person to review."""
    found = outline(request.getfixturevalue(name))
    file = GOLDEN / f"{'plain' if name == 'text' else name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(found)
    assert found == file.read_text(), "UPDATE_GOLDEN=1 writes it anew"
