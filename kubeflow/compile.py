"""Compiles the pipeline for Kubeflow Pipelines 2 or Vertex AI.

python -m kubeflow.compile --config FILE --output pipeline.yaml [--vertex]

The same create_pipeline() that runs locally; the same settings give the same
bytes. `--vertex` writes the JSON of a Vertex AI PipelineJob.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from kubeflow.errors import CompileError
from models.settings import SettingsError
from pipeline import console
from pipeline.config import PipelineConfig, load_config
from pipeline.paths import add_config_arguments

_HEADER = (
    "# Compiled by kubeflow.compile from the settings of `{name}`; do not "
    "edit.\n"
)


def compile_pipeline(config: PipelineConfig, *, vertex: bool = False) -> str:
    """Returns the text of the compiled pipeline.

    Args:
        config: all settings.
        vertex: JSON of a Vertex AI PipelineJob instead of Kubeflow's YAML.

    Raises:
        CompileError: something that cannot run there, with the fix.
    """
    # TFX takes 10 s that wrong arguments need not wait for.
    from kubeflow.build import build
    from kubeflow.finish import finish
    from kubeflow.platform_spec import platform_spec

    job = finish(build(config), config, vertex=vertex)
    if vertex:
        return json.dumps(job, indent=2, sort_keys=True) + "\n"
    spec = job["pipelineSpec"]
    documents = [spec]
    platform = platform_spec(spec, config)
    if platform:
        documents.append(platform)
    return _HEADER.format(name=config.name) + yaml.safe_dump_all(
        documents, sort_keys=True, width=10_000
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the compiled pipeline and returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_arguments(parser)
    parser.add_argument(
        "--output", required=True, help="file to write, .yaml or .json"
    )
    parser.add_argument(
        "--vertex", action="store_true", help="JSON for Vertex AI"
    )
    arguments = parser.parse_args(argv)
    output = Path(arguments.output)
    expected = (".json",) if arguments.vertex else (".yaml", ".yml")
    if output.suffix not in expected:
        parser.error(
            f"--output {output}: expected a name ending in "
            f"{' or '.join(expected)}"
        )
    if not output.parent.is_dir():
        parser.error(f"--output {output}: there is no folder {output.parent}")
    console.quiet()
    try:
        config = load_config(arguments.config, arguments.overrides)
        text = compile_pipeline(config, vertex=arguments.vertex)
    except (SettingsError, CompileError) as error:
        print(error, file=sys.stderr)
        return 2
    temporary = output.with_name(f".{output.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, output)
    print(f"{output}: {config.name}, {len(text)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
