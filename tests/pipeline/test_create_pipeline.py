"""The pipeline's nodes, edges and what the cache key sees."""

import ast
import hashlib
import json
import shutil

import pytest

from components.code_fingerprint import code_fingerprint
from pipeline import create_pipeline as module
from pipeline.beam_config import BEAM_STEPS
from pipeline.config import REPOSITORY, load_config

DEMO = REPOSITORY / "pipeline" / "configs" / "demo.yaml"
PACKAGES = ("components", "models", "serving", "pipeline")


def build(*overrides, input_fingerprint="logs-1"):
    return module.create_pipeline(
        load_config(DEMO, overrides),
        pipeline_root="/runs/demo/artifacts",
        serving_dir="/runs/demo/serving/create",
        checkpoint_root="/runs/demo/checkpoints",
        input_fingerprint=input_fingerprint,
    )


def nodes(pipeline):
    return {component.id: component for component in pipeline.components}


def parameters(pipeline):
    """Component id -> the parameters that its cache key consists of."""
    return {
        name: {key: str(value) for key, value in node.exec_properties.items()}
        for name, node in nodes(pipeline).items()
    }


def changed(before, after):
    """Ids of the components whose parameters differ."""
    return {name for name in before if before[name] != after[name]}


def test_components_and_edges():
    pipeline = build()
    upstream = {
        name: {node.id for node in component.upstream_nodes}
        for name, component in nodes(pipeline).items()
    }
    assert upstream == {
        "HistoryExampleGen": set(),
        "StatisticsGen": {"HistoryExampleGen"},
        "ImportSchemaGen": set(),
        "StrictExampleValidator": {"StatisticsGen", "ImportSchemaGen"},
        "Transform": {
            "HistoryExampleGen",
            "ImportSchemaGen",
            "StrictExampleValidator",
        },
        "GraphBuilder": {"Transform"},
        "Trainer": {"Transform", "GraphBuilder"},
        "PeriodStatistics": {"Transform"},
        "RankingEvaluator": {
            "HistoryExampleGen",
            "Transform",
            "Trainer",
            "PeriodStatistics",
        },
        "ModelCardWriter": {"Trainer", "RankingEvaluator"},
        "ServingValidator": {
            "ImportSchemaGen",
            "Transform",
            "ModelCardWriter",
            "RankingEvaluator",
        },
        "Pusher": {"RankingEvaluator", "ServingValidator"},
    }
    assert list(upstream)[-1] == "Pusher"
    assert pipeline.enable_cache
    assert pipeline.pipeline_info.pipeline_name == "demo"


def test_settings_reach_their_components():
    pipeline = build(
        "serving.default_k=7",
        "logs.separator=;",
        "graph.newest=3",
        "model.sequential.max_length=20",
        "beam.running_mode=multi_threading",
        "beam.num_workers=2",
    )
    found = parameters(pipeline)
    assert json.loads(found["HistoryExampleGen"]["config"])["separator"] == ";"
    assert json.loads(found["GraphBuilder"]["config"])["newest"] == 3
    trainer = json.loads(found["Trainer"]["config"])
    assert trainer["default_k"] == 7
    assert trainer["exclude_history"] is True
    assert trainer["scann"] is None
    assert trainer["name"] == "demo"
    assert found["RankingEvaluator"]["max_length"] == "20"
    assert found["RankingEvaluator"]["profile"] == "sound"
    custom = json.loads(found["Transform"]["custom_config"])
    assert custom["split"]["test_quantile"] == 0.8
    assert "/runs/demo/serving/create" in found["Pusher"]["push_destination"]
    expected = [
        "--direct_running_mode=multi_threading",
        "--direct_num_workers=2",
        "--sdk_container_image=none",
    ]
    assert beam_arguments(pipeline) == dict.fromkeys(BEAM_STEPS, expected)


def test_an_approximate_index_reaches_the_trainer():
    pipeline = build("serving.index=scann", "serving.scann.leaves=50")
    trainer = json.loads(parameters(pipeline)["Trainer"]["config"])
    assert trainer["scann"] == {
        "leaves": 50,
        "leaves_to_search": None,
        "candidates": 400,
    }


def beam_arguments(pipeline):
    """Component id -> the Beam arguments that its executor gets."""
    return {
        name: node.executor_spec.beam_pipeline_args
        for name, node in nodes(pipeline).items()
        if hasattr(node.executor_spec, "beam_pipeline_args")
    }


def test_a_step_has_beam_arguments_of_its_own():
    """In the place of all others: TFX itself would put them behind."""
    pipeline = build(
        "beam.runner=portable",
        'beam.pipeline_args=["--job_endpoint=a:1"]',
        'beam.steps={GraphBuilder: ["--runner=DirectRunner"]}',
    )
    assert not pipeline.beam_pipeline_args
    portable = ["--runner=PortableRunner", "--job_endpoint=a:1"]
    assert beam_arguments(pipeline) == {
        **dict.fromkeys(BEAM_STEPS, portable),
        "GraphBuilder": ["--runner=DirectRunner", "--sdk_container_image=none"],
    }
    # A second pipeline in the same process starts from nothing.
    assert beam_arguments(build())["GraphBuilder"] == [
        "--direct_running_mode=in_memory",
        "--direct_num_workers=1",
        "--sdk_container_image=none",
    ]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "evaluation.bootstrap_samples=10",
            {"RankingEvaluator", "ServingValidator"},
        ),
        ("serving_validation.max_p99_ms=9", {"ServingValidator"}),
        ("training.seed=1", {"Trainer"}),
        ("graph.newest=5", {"GraphBuilder"}),
        ("logs.num_buckets=2", {"HistoryExampleGen"}),
        ("drift.gap=0.1", {"PeriodStatistics"}),
        (
            "split.test_quantile=0.7",
            {
                "Transform",
                "GraphBuilder",
                "Trainer",
                "RankingEvaluator",
                "ServingValidator",
            },
        ),
        (
            "evaluation.seen_items=kept training.filter_seen=false",
            {"Trainer", "RankingEvaluator", "ServingValidator"},
        ),
        ("runs_dir=/elsewhere", set()),
        ("beam.running_mode=multi_threading", set()),
    ],
)
def test_a_setting_changes_only_the_components_it_concerns(override, expected):
    after = build(*override.split())
    assert changed(parameters(build()), parameters(after)) == expected


def test_new_log_files_make_a_new_run():
    before = parameters(build())
    after = parameters(build(input_fingerprint="logs-2"))
    assert changed(before, after) == {"HistoryExampleGen"}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "models/fitting/fit.py",
            {"Trainer", "RankingEvaluator"},
        ),
        (
            "serving/export.py",
            {
                "Trainer",
                "RankingEvaluator",
                "ModelCardWriter",
                "ServingValidator",
            },
        ),
        ("components/ranking_evaluator/executor.py", {"RankingEvaluator"}),
        (
            "components/ranking_evaluator/report/templates/report.html.j2",
            {"RankingEvaluator"},
        ),
        (
            "components/ranking_evaluator/model_card/sections.py",
            {"RankingEvaluator"},
        ),
        ("components/serving_validator/checks.py", {"ServingValidator"}),
        ("components/period_statistics/drift.py", {"PeriodStatistics"}),
        (
            "components/transform/preprocessing.py",
            {"Transform", "GraphBuilder", "Trainer", "RankingEvaluator"},
        ),
        (
            "components/splits.py",
            {
                "HistoryExampleGen",
                "Transform",
                "GraphBuilder",
                "Trainer",
                "PeriodStatistics",
                "RankingEvaluator",
                "ModelCardWriter",
                "ServingValidator",
            },
        ),
        ("components/model_card/executor.py", {"ModelCardWriter"}),
        ("pipeline/summary.py", set()),
        ("pipeline/summary_writer.py", set()),
    ],
)
def test_an_edit_changes_the_components_that_run_it(
    file, expected, tmp_path, monkeypatch
):
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, tmp_path / package)
    monkeypatch.setattr(
        module,
        "code_fingerprint",
        lambda *packages: code_fingerprint(*packages, root=tmp_path),
    )
    before = parameters(build())
    assert changed(before, parameters(build())) == set()
    with open(tmp_path / file, "a") as stream:
        stream.write("# edited\n")
    assert changed(before, parameters(build())) == expected


def imports_of(file):
    """Our own modules that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            names += [f"{node.module}.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            path = REPOSITORY.joinpath(*name.split("."))
            for candidate in (path.with_suffix(".py"), path / "__init__.py"):
                if name.split(".")[0] in PACKAGES and candidate.is_file():
                    yield candidate


def reachable(package):
    """All our files that the package's modules import, however far off."""
    todo = list((REPOSITORY / package).rglob("*.py"))
    seen = set()
    while todo:
        file = todo.pop()
        if file not in seen:
            seen.add(file)
            todo.extend(imports_of(file))
    return seen


@pytest.mark.parametrize("component", sorted(module.CODE))
def test_fingerprints_cover_all_the_code_a_component_runs(component):
    packages = module.CODE[component]
    covered = set()
    for package in packages:
        path = REPOSITORY.joinpath(*package.split("."))
        covered |= set(path.rglob("*.py"))
        covered |= set(REPOSITORY.joinpath(package.split(".")[0]).glob("*.py"))
    needed = reachable(packages[0].replace(".", "/"))
    missing = {
        file.relative_to(REPOSITORY).as_posix()
        for file in needed - covered
        # Settings modules say what the parameters are, and those are in the
        # key themselves; an __init__ only sets the environment.
        if file.name not in ("config.py", "__init__.py", "settings.py")
    }
    assert missing == set()


def test_fingerprint_by_hand(tmp_path):
    (tmp_path / "models" / "graph").mkdir(parents=True)
    (tmp_path / "models" / "a.py").write_text("x = 1\n")
    (tmp_path / "models" / "graph" / "b.py").write_text("y = 2\n")
    (tmp_path / "models" / "notes.txt").write_text("not code")
    (tmp_path / "requirements.lock").write_text("tfx==1\n")
    expected = hashlib.sha256(
        b"11 models/a.py 6 x = 1\n"
        b"17 models/graph/b.py 6 y = 2\n"
        b"17 requirements.lock 7 tfx==1\n"
    ).hexdigest()
    assert code_fingerprint("models", root=tmp_path) == expected
    assert code_fingerprint("models.graph", root=tmp_path) == expected
    (tmp_path / "requirements.lock").write_text("tfx==2\n")
    assert code_fingerprint("models", root=tmp_path) != expected
    with pytest.raises(ValueError, match="models.none"):
        code_fingerprint("models.none", root=tmp_path)
