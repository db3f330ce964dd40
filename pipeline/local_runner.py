"""The file the tfx CLI executes to run the pipeline on this machine.

    export TF_USE_LEGACY_KERAS=1
    export CREATE_CONFIG=pipeline/configs/demo.yaml
    tfx pipeline create --engine=local \
        --pipeline_path="$PWD/pipeline/local_runner.py"
    tfx run create --engine=local --pipeline_name=demo

The CLI hands over no arguments, so the settings come from the environment:
CREATE_CONFIG names the YAML file (default: the demo), CREATE_SET holds
overrides such as "training.seed=1 name=x". `make run` does all of this.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

REPOSITORY = str(Path(__file__).resolve().parents[1])


def _make_importable() -> None:
    """Puts the repository on the import path, here and in Beam's workers."""
    if REPOSITORY not in sys.path:
        # Not first: the CLI takes the first entry away again.
        sys.path.insert(1, REPOSITORY)
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if REPOSITORY not in folders:
        os.environ["PYTHONPATH"] = os.pathsep.join(
            [REPOSITORY, *filter(None, folders)]
        )


def main() -> None:
    """Calls LocalDagRunner.run exactly once, as the CLI demands.

    Raises:
        SystemExit: with a readable message where something failed.
    """
    _make_importable()
    from models.settings import SettingsError
    from pipeline import console, parent
    from pipeline.config import load_config

    parent.end_with_parent()
    console.quiet()
    # Transform is the first to touch a GPU, long before the Trainer could ask
    # for this, and ServingValidator's server wants its part of it as well.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    try:
        config = load_config(
            os.environ.get("CREATE_CONFIG")
            or os.path.join(REPOSITORY, "pipeline", "configs", "demo.yaml"),
            shlex.split(os.environ.get("CREATE_SET", "")),
        )
    except SettingsError as error:
        sys.exit(str(error))

    _run(config)


def _run(config: PipelineConfig) -> None:
    # Loaded here: TFX takes 10 s that wrong settings need not wait for.
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions
    from tfx.orchestration import metadata

    from components.beam_flush import flush_when_full_only
    from components.history_example_gen.fingerprint import input_fingerprint
    from pipeline.create_pipeline import create_pipeline
    from pipeline.paths import RunPaths
    from pipeline.reporting_runner import ComponentError, ReportingRunner
    from pipeline.run_lock import AlreadyRunning

    flush_when_full_only()
    # s3:// and hdfs:// ask for options, and the logs are looked at before
    # any Beam pipeline has brought them.
    FileSystems.set_options(
        PipelineOptions(config.beam.arguments("HistoryExampleGen"))
    )
    paths = RunPaths.of(config)
    connection = metadata.sqlite_metadata_connection_config(str(paths.metadata))
    try:
        pipeline = create_pipeline(
            config,
            pipeline_root=paths.pipeline_root,
            serving_dir=str(paths.serving),
            checkpoint_root=str(paths.checkpoints),
            input_fingerprint=input_fingerprint(config.logs),
            metadata_connection_config=connection,
        )
        ReportingRunner(config).run(pipeline)
    except (AlreadyRunning, ComponentError, OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
