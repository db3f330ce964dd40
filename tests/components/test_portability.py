"""Nothing in components/ assumes one process or a local disk.

The Beam pipelines are built as their executors build them and handed over as
to an engine: all that would travel to workers is pickled, and unpickled again.
Their source is read for files opened past Beam's and TFX's file systems and
for state of a process. tests/distributed runs them on workers for real.
"""

import ast
import gzip
import importlib
import inspect
import pathlib
import pkgutil

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.internal import cloudpickle_pickler, dill_pickler
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

import components
from components.artifacts import DeadLetters
from components.batch_scoring.scoring import write_shards
from components.batch_scoring.shards import Job
from components.event_parts import PERIODS
from components.graph_builder.build import build_graphs
from components.graph_builder.config import GraphConfig
from components.history_example_gen import executor as history_executor
from components.history_example_gen.config import KeepConfig, LogsConfig
from components.period_statistics.build import build_statistics
from components.period_statistics.config import DriftConfig
from components.ranking_evaluator import ranking
from components.ranking_evaluator.config import EvaluationConfig
from components.splits import SplitConfig
from components.transform import analyzers
from models.settings import to_json

ROOT = pathlib.Path(components.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


# --- what travels to workers ------------------------------------------------


class Captured(Exception):  # noqa: N818
    """The pipeline is complete; carries it instead of running it."""

    def __init__(self, pipeline):
        super().__init__()
        self.pipeline = pipeline


class NotRun(beam.Pipeline):
    def run(self, test_runner_api="AUTO"):
        raise Captured(self)


def ingest_pipeline(folder):
    """HistoryExampleGen, by its executor."""
    (folder / "logs").mkdir()
    with gzip.open(folder / "logs" / "a.csv.gz", "wt") as file:
        file.write("user_id,item_id,timestamp\nu,i,1\n")
    context = base_beam_executor.BaseBeamExecutor.Context(
        make_beam_pipeline_fn=NotRun, tmp_dir=str(folder)
    )
    examples, letters = standard_artifacts.Examples(), DeadLetters()
    examples.uri, letters.uri = str(folder / "e"), str(folder / "d")
    with pytest.raises(Captured) as caught:
        history_executor.Executor(context).Do(
            {},
            {"examples": [examples], "dead_letters": [letters]},
            {
                "config": to_json(
                    LogsConfig(
                        path=str(folder / "logs"),
                        keep=KeepConfig(min_item_events=2),
                    )
                )
            },
        )
    return caught.value.pipeline


def cut_pipeline(_):
    """What preprocessing_fn adds to the stock Transform."""
    pipeline = beam.Pipeline()
    batch = (np.array([1, 2], np.int64),)
    cut = analyzers.Cut("test", "user", quantile=0.8)
    _ = pipeline | beam.Create([batch]) | analyzers.ExactCut(cut)
    return pipeline


def graph_pipeline(folder):
    (folder / "examples-00000-of-00001.gz").touch()
    pipeline = beam.Pipeline()
    build_graphs(
        pipeline,
        str(folder / "examples*"),
        "transform_graph",
        "output",
        GraphConfig(),
        SplitConfig(),
    )
    return pipeline


def ranking_pipeline(_):
    pipeline = beam.Pipeline()
    config = EvaluationConfig()
    # By name: the constructor may come to take other things.
    wanted = {
        "model_directory": "model",
        "read_catalogue": list,
        "split": SplitConfig(),
        "config": config,
        "max_length": 5,
    }
    names = inspect.signature(ranking.RankTargets).parameters
    fn = ranking.RankTargets(**{n: wanted.get(n, "text") for n in names})
    ranking.rank_targets(pipeline | beam.Create([b""]), fn, config)
    return pipeline


def statistics_pipeline(folder):
    (folder / "examples-00000-of-00001.gz").touch()
    pipeline = beam.Pipeline()
    uris = {period: str(folder / period) for period in PERIODS}
    build_statistics(
        pipeline, str(folder / "examples*"), uris, "output", DriftConfig()
    )
    return pipeline


def batch_pipeline(_):
    pipeline = beam.Pipeline()
    write_shards(pipeline, ["histories"], "output", Job("model", 10, True))
    return pipeline


BUILDERS = (
    ingest_pipeline,
    cut_pipeline,
    graph_pipeline,
    statistics_pipeline,
    ranking_pipeline,
    batch_pipeline,
)


def transforms_of(pipeline):
    """All transforms of a pipeline, and the functions inside them."""

    class Visitor(beam.pipeline.PipelineVisitor):
        def __init__(self):
            self.found = []

        def enter_composite_transform(self, node):
            self.visit_transform(node)

        def visit_transform(self, node):
            if node.transform is not None:
                self.found.append(node.transform)
                self.found.append(getattr(node.transform, "fn", None))

    visitor = Visitor()
    pipeline.visit(visitor)
    return [found for found in visitor.found if found is not None]


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """Our own DoFns, CombineFns and PTransforms as the pipelines hold them."""
    found = []
    for builder in BUILDERS:
        pipeline = builder(tmp_path_factory.mktemp(builder.__name__))
        # Serializes every function with Beam's own pickler, as a job service
        # gets it.
        proto = pipeline.to_runner_api()
        assert len(proto.components.transforms) > 3
        found += transforms_of(pipeline)
    return [o for o in found if type(o).__module__.startswith("components.")]


def beam_classes():
    """Every class in components/ that travels with a Beam pipeline."""
    kinds = (beam.DoFn, beam.CombineFn, beam.PTransform)
    for module in pkgutil.walk_packages([str(ROOT)], "components."):
        members = vars(importlib.import_module(module.name)).values()
        for member in members:
            if inspect.isclass(member) and issubclass(member, kinds):
                if member.__module__ == module.name:
                    yield member


def test_the_pipelines_above_hold_every_beam_class_of_ours(ours):
    missing = set(beam_classes()) - {type(found) for found in ours}
    assert not missing, (
        f"{sorted(c.__qualname__ for c in missing)} is in none of the "
        "pipelines of BUILDERS: add the pipeline that uses it."
    )


@pytest.mark.parametrize(
    "pickler", [dill_pickler, cloudpickle_pickler], ids=["dill", "cloudpickle"]
)
def test_what_travels_comes_out_as_it_went_in(ours, pickler):
    assert len({type(found) for found in ours}) >= 6
    for found in ours:
        copy = pickler.loads(pickler.dumps(found))
        assert type(copy) is type(found)
        assert _plain(copy) == _plain(found), type(found)


def _plain(fn):
    """Attributes that we set; Beam adds its own, some of them by identity."""
    return {
        name: value
        for name, value in vars(fn).items()
        if "typehint" not in name and "type_hints" not in name
    }


def test_a_closure_that_cannot_travel_would_be_seen():
    numbers = (n for n in (1, 2))
    pipeline = beam.Pipeline()
    with pytest.raises(Exception, match="pickle"):
        _ = pipeline | beam.Create([1]) | beam.Map(lambda x: next(numbers) + x)
        pipeline.to_runner_api()


# --- files and state --------------------------------------------------------

# Calls that reach the local disk past TFX's and Beam's file systems.
LOCAL = {
    "open",
    "io.open",
    "gzip.open",
    "os.listdir",
    "os.scandir",
    "os.walk",
    "os.makedirs",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.replace",
    "os.stat",
    "os.path.exists",
    "os.path.isfile",
    "os.path.isdir",
    "os.path.getsize",
    "glob.glob",
    "glob.iglob",
}
# And whole modules that know nothing else.
LOCAL_MODULES = {"shutil", "tempfile", "pathlib"}
# (file, call) -> why it may.
ALLOWED = {
    **dict.fromkeys(
        [
            ("history_example_gen/permissions.py", "pathlib"),
            ("history_example_gen/permissions.py", "os.path.isdir"),
            ("history_example_gen/permissions.py", "os.walk"),
        ],
        "asks the local file system what listing a folder there does not say",
    ),
    **dict.fromkeys(
        [
            ("history_example_gen/readers.py", "os.walk"),
            ("history_example_gen/readers.py", "os.stat"),
        ],
        "lists local folders whose names hold a glob's characters",
    ),
    (
        "history_example_gen/readers.py",
        "os.path.isfile",
    ): "says which two keys to set where `logs.path` is a local file",
    (
        "code_fingerprint.py",
        "pathlib",
    ): "reads this repository's own source where the pipeline is started",
    (
        "serving_validator/executor.py",
        "tempfile",
    ): "a copy of the model for the server, which reads it on this machine",
}


def dotted(node):
    """`a.b.c` of an expression, or an empty text."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and dotted(node.value):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def local_calls(source):
    """What a module does on the local disk: (line, call or module)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and dotted(node.func) in LOCAL:
            yield node.lineno, dotted(node.func)
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            if name.split(".")[0] in LOCAL_MODULES:
                yield node.lineno, name.split(".")[0]


def test_files_are_opened_through_tfx_and_beam_only():
    used = set()
    for file in FILES:
        name = file.relative_to(ROOT).as_posix()
        for line, call in local_calls(file.read_text()):
            assert (name, call) in ALLOWED, (
                f"components/{name}:{line} uses {call}: artifacts may lie on "
                "gs:// or another store. Use tfx.dsl.io.fileio, tf.io.gfile "
                "or Beam's FileSystems, or say in ALLOWED why not."
            )
            used.add((name, call))
    assert used == set(ALLOWED), "entries of ALLOWED that nothing needs"


def process_state(source):
    """What lives as long as a process: (line, what)."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield node.lineno, f"global {', '.join(node.names)}"
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for decorator in node.decorator_list:
                target = decorator
                if isinstance(decorator, ast.Call):
                    target = decorator.func
                if dotted(target).rsplit(".", 1)[-1] in ("cache", "lru_cache"):
                    yield node.lineno, f"cache of {node.name}"
    for node in tree.body:
        value = getattr(node, "value", None)
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(
            value, (ast.List, ast.Dict, ast.Set)
        ):
            targets = getattr(node, "targets", None) or [node.target]
            for target in targets:
                if not dotted(target).isupper() or not ast.unparse(value)[1:-1]:
                    yield node.lineno, f"variable {dotted(target)}"


def test_no_state_of_a_process():
    found = [
        f"components/{file.relative_to(ROOT).as_posix()}:{line} {what}"
        for file in FILES
        for line, what in process_state(file.read_text())
        if what != "variable __all__"
    ]
    assert not found, (
        "A worker starts with its own copy, and a retry goes on with the old "
        f"one: {found}"
    )


def test_the_two_searches_see_what_they_look_for():
    source = (
        "import os, shutil\nfrom pathlib import Path\n"
        "seen = {}\nTABLE = {1: 2}\n"
        "@functools.lru_cache(None)\ndef f(uri):\n    global seen\n"
        "    return open(os.path.join(uri, 'x')), fileio.open(uri)\n"
    )
    assert [c for _, c in local_calls(source)] == ["shutil", "pathlib", "open"]
    assert sorted(w for _, w in process_state(source)) == [
        "cache of f",
        "global seen",
        "variable seen",
    ]
