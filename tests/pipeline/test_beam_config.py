"""Where the Beam steps run: arguments per step, and what is refused."""

import logging

import pytest
from apache_beam.options import pipeline_options

from models.settings import SettingsError
from pipeline.beam_config import BEAM_STEPS, RUNNERS, BeamConfig
from pipeline.config import REPOSITORY, load_config
from pipeline.paths import RunPaths

CONFIGS = REPOSITORY / "pipeline" / "configs"
DEMO = CONFIGS / "demo.yaml"
BLOCKS = sorted((CONFIGS / "beam").glob("*.yaml"))


def test_one_process_is_the_default():
    config = BeamConfig()
    for step in BEAM_STEPS:
        assert config.arguments(step) == [
            "--direct_running_mode=in_memory",
            "--direct_num_workers=1",
            "--sdk_container_image=none",
        ]


def test_arguments_go_to_all_steps_as_they_are():
    config = BeamConfig(
        runner="flink",
        pipeline_args=("--flink_master=http://f:8081", "--parallelism=3"),
    )
    for step in BEAM_STEPS:
        assert config.arguments(step) == [
            "--runner=FlinkRunner",
            "--flink_master=http://f:8081",
            "--parallelism=3",
        ]


def test_a_step_replaces_the_arguments():
    config = BeamConfig(
        runner="portable",
        pipeline_args=("--job_endpoint=a:1", "--parallelism=3"),
        steps={
            "Transform": ("--job_endpoint=b:2",),
            "StatisticsGen": ("--runner=DirectRunner",),
        },
    )
    assert config.arguments("GraphBuilder") == [
        "--runner=PortableRunner",
        "--job_endpoint=a:1",
        "--parallelism=3",
    ]
    assert config.arguments("Transform") == [
        "--runner=PortableRunner",
        "--job_endpoint=b:2",
    ]
    assert config.arguments("StatisticsGen") == [
        "--runner=DirectRunner",
        "--sdk_container_image=none",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        BeamConfig().arguments("Transform"),
        BeamConfig(
            steps={"Transform": ("--sdk_container_image=own",)}
        ).arguments("Transform"),
        BeamConfig(
            runner="flink", steps={"Transform": ("--runner=DirectRunner",)}
        ).arguments("Transform"),
    ],
)
def test_tfx_does_not_pack_itself_for_the_direct_runner(arguments, monkeypatch):
    from tfx.utils import dependency_utils

    def pack():
        raise AssertionError("TFX packs itself up")

    monkeypatch.setattr(dependency_utils, "build_ephemeral_package", pack)
    kept = dependency_utils.make_beam_dependency_flags(list(arguments))
    assert kept == arguments
    images = [a for a in arguments if a.startswith("--sdk_container_image")]
    assert len(images) == 1


def test_a_step_of_the_direct_runner_takes_another_mode():
    config = BeamConfig(
        steps={
            "Transform": (
                "--direct_running_mode=multi_processing",
                "--direct_num_workers=2",
            )
        }
    )
    options = pipeline_options.PipelineOptions(config.arguments("Transform"))
    direct = options.view_as(pipeline_options.DirectOptions)
    assert direct.direct_running_mode == "multi_processing"
    assert direct.direct_num_workers == 2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("runner=dataflaw", "`runner` must be one of direct, portable"),
        ("running_mode=quick", "`running_mode` must be one of"),
        ("num_workers=-1", "must not be negative"),
        ("num_workers=2", "no effect with `running_mode: in_memory`"),
        ("steps={Transfrom: []}", "Did you mean `Transform`?"),
        ("steps={Trainer: []}", "The Beam steps are HistoryExampleGen"),
        ("pipeline_args=[runner=X]", "two dashes"),
        ('pipeline_args=["-p=1"]', "two dashes"),
        (
            'pipeline_args=["--job_endpoint", "localhost:8099"]',
            "'localhost:8099'",
        ),
        ('pipeline_args=["--a_b 8 --c"]', "an entry of its own"),
        ('pipeline_args=["--runner=FlinkRunner"]', "set `runner`"),
        ('pipeline_args=["--flink_master=x:1"]', "it is for flink"),
        ('pipeline_args=["--environment_type=DOCKER"]', "it is for portable"),
        ('pipeline_args=["--direct_num_workers=2"]', "`num_workers` instead"),
        ('steps={Transform: ["--spark_version=3"]}', "it is for spark"),
        (
            'steps={Transform: ["--runner=Dataflow"]}',
            "DataflowRunner",
        ),
        (
            'steps={Transform: ["--runner=DataflowRunner", "--project=p"]}',
            "needs --region=",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_its_place(override, words):
    with pytest.raises(SettingsError) as caught:
        load_config(DEMO, [f"beam.{override}"])
    message = str(caught.value)
    assert message.startswith(f"--set beam.{override.partition('=')[0]}")
    assert words in message


@pytest.mark.parametrize("runner", sorted(set(RUNNERS) - {"direct"}))
def test_modes_of_the_direct_runner_with_another_are_refused(runner):
    overrides = [
        f"beam.runner={runner}",
        "beam.running_mode=multi_threading",
    ]
    with pytest.raises(SettingsError, match="no effect with `runner"):
        load_config(DEMO, overrides)


@pytest.mark.parametrize(
    ("runner", "missing"),
    [("portable", "--job_endpoint"), ("dataflow", "--project")],
)
def test_an_engine_without_its_address_is_refused(runner, missing):
    with pytest.raises(SettingsError) as caught:
        load_config(DEMO, [f"beam.runner={runner}"])
    assert f"needs {missing}=" in str(caught.value)
    assert f"configs/beam/{runner}.yaml" in str(caught.value)


def test_there_is_a_block_for_every_engine():
    assert {path.stem for path in BLOCKS} == set(RUNNERS) - {"direct"}


@pytest.mark.parametrize("path", BLOCKS, ids=lambda path: path.stem)
def test_ready_blocks_load_and_beam_knows_every_option(path, tmp_path, caplog):
    own = tmp_path / "own.yaml"
    own.write_text(
        f"base: {path}\nname: own\ndataset: own\nlogs: {{path: /logs}}\n"
    )
    config = load_config(own).beam
    assert config.runner == path.stem
    for step in BEAM_STEPS:
        arguments = config.arguments(step)
        # Beam leaves out what it does not know and logs it; nothing else
        # says so. An option is known only once its class is defined.
        with caplog.at_level(logging.WARNING):
            options = pipeline_options.PipelineOptions(arguments)
            found = options.get_all_options(drop_default=True)
        assert "unparseable" not in caplog.text
        assert "Unknown" not in caplog.text
        kept = {str(v) for v in found.values() if not isinstance(v, list)}
        kept |= {v for vs in found.values() if isinstance(vs, list) for v in vs}
        for argument in arguments:
            name, equals, value = argument.partition("=")
            assert _is_option(name), f"Beam has no option {name}"
            if equals and value not in _DEFAULTS:
                assert value in kept, argument


# Values that are Beam's defaults as well, which drop_default leaves out.
_DEFAULTS = {"1.18", "3"}


def _is_option(name):
    """Whether an option class of Beam has exactly this name."""
    parser = pipeline_options._BeamArgumentParser(allow_abbrev=False)
    for cls in pipeline_options.PipelineOptions.__subclasses__():
        if cls.__module__ == pipeline_options.__name__:
            cls._add_argparse_args(parser)
    return name in parser._option_string_actions


def test_the_parser_above_would_see_a_wrong_name():
    assert _is_option("--flink_master")
    assert not _is_option("--flink_mastr")


@pytest.mark.parametrize("path", BLOCKS, ids=lambda path: path.stem)
def test_every_key_of_a_ready_block_is_explained(path):
    lines = path.read_text().splitlines()
    entries = [i for i, line in enumerate(lines) if line.startswith("    -")]
    assert entries
    groups = [i for i in entries if not lines[i - 1].startswith("    -")]
    for first in groups:
        assert lines[first - 1].strip().startswith("#"), lines[first]


def test_artifacts_lie_where_the_workers_reach_them():
    near = RunPaths.of(load_config(DEMO, ["runs_dir=/r"]))
    assert near.pipeline_root == "/r/demo/artifacts"
    far = RunPaths.of(
        load_config(DEMO, ["runs_dir=/r", "beam.artifact_root=gs://b/create/"])
    )
    assert far.pipeline_root == "gs://b/create/demo"
    assert str(far.metadata) == "/r/demo/metadata.sqlite"
    shared = load_config(DEMO, ["beam.artifact_root=shared"]).beam
    assert shared.artifact_root == str(REPOSITORY / "shared")


def test_file_systems_have_their_options_before_the_logs_are_looked_at():
    """hdfs:// asks for them; they come with the first Beam pipeline only."""
    from pipeline.local_runner import _run

    config = load_config(DEMO, ["logs.path=hdfs://shop/logs"])
    with pytest.raises(SystemExit) as caught:
        _run(config)
    # Not "pipeline_options is not set", which nobody could do anything about.
    assert "hdfs_host is not set" in str(caught.value)
