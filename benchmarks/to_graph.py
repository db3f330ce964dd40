"""Seconds from log files to graph tensors, by component.

    python -m benchmarks.to_graph --config FILE --output FILE.json

Runs the pipeline's own components up to GraphBuilder as `tfx run` would, in
a new folder, and prints the seconds of each as ML Metadata has them; the
wall clock includes loading TFX.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LAST = "GraphBuilder"


def main() -> int:
    """Runs the measurement in a process of its own, or is that process."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", required=True)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        run_to_graph(arguments.config, arguments.folder)
        return 0
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.to_graph"]
        command += ["--config", arguments.config, "--folder", folder]
        environment = os.environ | {"TF_USE_LEGACY_KERAS": "1"}
        subprocess.run(command, check=True, env=environment)
        wall = time.perf_counter() - started
        seconds = json.loads((Path(folder) / "seconds.json").read_text())
    print(table(seconds, wall))
    if arguments.output:
        result: dict[str, Any] = {
            "config": arguments.config,
            "cores": os.cpu_count(),
            "components": seconds,
            "wall_with_imports": round(wall, 1),
        }
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def run_to_graph(config_file: str, folder: Path) -> None:
    """Runs all components up to `LAST` and writes their seconds."""
    from pipeline import console

    console.quiet()
    from tfx import v1 as tfx
    from tfx.orchestration import metadata
    from tfx.orchestration.local import local_dag_runner

    from components.history_example_gen.fingerprint import input_fingerprint
    from pipeline.config import load_config
    from pipeline.create_pipeline import create_pipeline
    from pipeline.run_records import read_newest_run

    config = load_config(config_file)
    config = dataclasses.replace(config, runs_dir=str(folder))
    store = str(folder / "metadata.sqlite")
    whole = create_pipeline(
        config,
        pipeline_root=str(folder / "artifacts"),
        serving_dir=str(folder / "serving"),
        checkpoint_root=str(folder / "checkpoints"),
        input_fingerprint=input_fingerprint(config.logs),
        metadata_connection_config=None,
    )
    wanted = _up_to(whole.components)
    local_dag_runner.LocalDagRunner().run(
        tfx.dsl.Pipeline(
            pipeline_name=config.name,
            pipeline_root=str(folder / "artifacts"),
            components=wanted,
            enable_cache=False,
            metadata_connection_config=(
                metadata.sqlite_metadata_connection_config(store)
            ),
        )
    )
    nodes = read_newest_run(store, config.name).nodes
    seconds = {name: node.seconds for name, node in nodes.items()}
    (folder / "seconds.json").write_text(json.dumps(seconds))


def _up_to(components: list[Any]) -> list[Any]:
    """`LAST` and the components that it needs, in the pipeline's order."""
    by_id = {component.id: component for component in components}
    needed, todo = set(), [LAST]
    while todo:
        name = todo.pop()
        if name not in needed:
            needed.add(name)
            todo += [node.id for node in by_id[name].upstream_nodes]
    for component in components:
        if component.id not in needed:
            for node in component.upstream_nodes:
                node.downstream_nodes.discard(component)
    return [c for c in components if c.id in needed]


def table(seconds: dict[str, float], wall: float) -> str:
    """Markdown: seconds and shares."""
    total = sum(seconds.values())
    lines = ["| component | seconds | share |", "| --- | --- | --- |"]
    for name, value in seconds.items():
        lines.append(f"| {name} | {value:.1f} | {value / total:.0%} |")
    lines.append(f"| all components | {total:.1f} | 100% |")
    lines.append(f"| wall clock, loading TFX included | {wall:.1f} | |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
