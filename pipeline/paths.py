"""Where a pipeline's runs keep their files.

python -m pipeline.paths --config FILE [--set k=v] [--serving-flags]
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from models.settings import SettingsError
from pipeline.config import PipelineConfig, load_config
from serving import version_folders


@dataclasses.dataclass(frozen=True)
class RunPaths:
    """The folder of one pipeline and what lies in it.

    Attributes:
        run_dir: <runs_dir>/<name>.
        model_name: folder name of the pushed model.
        artifact_root: folder or URI of the artifacts, where it is not in
            `run_dir`.
    """

    run_dir: Path
    model_name: str
    artifact_root: str | None = None

    @classmethod
    def of(cls, config: PipelineConfig) -> RunPaths:
        return cls(
            Path(config.runs_dir) / config.name,
            config.serving.model_name,
            config.beam.artifact_root,
        )

    @property
    def pipeline_root(self) -> str:
        """TFX's artifacts: the only part that may lie on another machine."""
        if self.artifact_root is None:
            return str(self.run_dir / "artifacts")
        return f"{self.artifact_root.rstrip('/')}/{self.run_dir.name}"

    @property
    def metadata(self) -> Path:
        """ML Metadata: one SQLite file per pipeline, for it has one writer."""
        return self.run_dir / "metadata.sqlite"

    @property
    def serving(self) -> Path:
        """Base path of the pushed versions."""
        return self.run_dir / "serving" / self.model_name

    @property
    def checkpoints(self) -> Path:
        """Training checkpoints: they outlive a killed run."""
        return self.run_dir / "checkpoints"

    @property
    def summary(self) -> Path:
        return self.run_dir / "summary.json"

    @property
    def log(self) -> Path:
        """Everything the newest run logged, with full tracebacks."""
        return self.run_dir / "run.log"

    @property
    def lock(self) -> Path:
        return self.run_dir / "run.lock"


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --config and --set of the commands that need a configuration."""
    parser.add_argument(
        "--config",
        default="pipeline/configs/demo.yaml",
        help="YAML file of settings (default: %(default)s)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="setting that wins over the file, such as training.seed=1",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the folder of the runs, or flags for serving.server."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    parser.add_argument(
        "--serving-flags",
        action="store_true",
        help="model name and base path as serving.server takes them",
    )
    arguments = parser.parse_args(argv)
    try:
        config = load_config(arguments.config, arguments.overrides)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    paths = RunPaths.of(config)
    if not arguments.serving_flags:
        print(paths.run_dir)
        return 0
    if version_folders.newest(str(paths.serving)) is None:
        print(
            f"No model has been pushed to {paths.serving} yet. Fix: make run "
            f"CONFIG={arguments.config}",
            file=sys.stderr,
        )
        return 1
    print(serving_flags(config))
    return 0


def serving_flags(config: PipelineConfig) -> str:
    """Which models serving.server serves, as a shell reads it."""
    return (
        f"--model_name {config.serving.model_name} "
        f"--model_base_path {shlex.quote(str(RunPaths.of(config).serving))}"
    )


if __name__ == "__main__":
    sys.exit(main())
