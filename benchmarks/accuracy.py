"""Runs one configuration with several seeds and keeps the test metrics.

    python -m benchmarks.accuracy --config FILE --seeds 0 1 2

Each seed is a whole pipeline run; what does not depend on the seed comes from
the cache. The result is benchmarks/results/<pipeline name>.json. Seeds that
are in it already are skipped as long as the settings are the same. `--table`
prints all results as Markdown, in percent.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.settings import from_mapping
from pipeline.config import PipelineConfig, load_config
from pipeline.summary import read_summary

RESULTS = Path(__file__).parent / "results"
_ENCODERS = {
    "sasrec": "SASRec",
    "bert4rec": "BERT4Rec",
    "lightgcn": "LightGCN",
    "ultragcn": "UltraGCN",
}
METRICS = (
    "ndcg_at_10",
    "recall_at_10",
    "coverage_at_10",
    "ndcg_at_100",
    "recall_at_100",
    "coverage_at_100",
)


def main() -> int:
    """Runs the seeds that are missing, or prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.config:
        run_seeds(arguments.config, arguments.seeds)
    if arguments.table or not arguments.config:
        print(table())
    return 0


def run_seeds(config_file: str, seeds: list[int]) -> None:
    """Runs the pipeline once per seed and adds each result to the file."""
    name = load_config(config_file, []).name
    file = RESULTS / f"{name}.json"
    results: dict[str, Any] = {"seeds": {}}
    if file.exists():
        results = json.loads(file.read_text())
    for seed in seeds:
        override = f"training.seed={seed}"
        config = load_config(config_file, [override])
        known = results["seeds"].get(str(seed))
        if known and with_defaults(known["config"]) == settings_of(config):
            print(f"seed {seed}: in {file.name} already")
            continue
        run_pipeline(config_file, [override])
        summary = read_summary(config)
        results["seeds"][str(seed)] = _kept(summary, config)
        results["machine"] = f"{platform.machine()}, {_cpu()}"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


def run_pipeline(
    config_file: str | os.PathLike[str],
    overrides: Sequence[str],
    threads: int | None = None,
    log: Path | None = None,
) -> None:
    """Runs a whole pipeline.

    Args:
        config_file: its configuration.
        overrides: `key=value`, on top of it.
        threads: of TensorFlow, None for all cores.
        log: takes its output, None for the console.

    Raises:
        RuntimeError: it failed; names the log and repeats its end.
        CalledProcessError: it failed, and the console says why.
    """
    command = [sys.executable, "-m", "pipeline.run"]
    command += ["--config", str(config_file)]
    for override in overrides:
        command += ["--set", override]
    environment = dict(os.environ)
    if threads is not None:
        for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
            environment[name] = str(threads)
    if log is None:
        subprocess.run(command, check=True, env=environment)
        return
    with log.open("w") as output:
        done = subprocess.run(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    if done.returncode:
        end = "\n".join(log.read_text().splitlines()[-20:])
        raise RuntimeError(
            f"`{' '.join(command)}` ended with {done.returncode}. The end of "
            f"{log}:\n{end}"
        )


def _kept(summary: dict[str, Any], config: Any) -> dict[str, Any]:
    """What is worth keeping of a summary."""
    return {
        "config": settings_of(config),
        "profile": config.profile,
        "dataset": config.dataset,
        "seen_items": config.evaluation.seen_items,
        "metrics": summary["metrics"],
        "splits": summary["splits"],
        "timings": summary["timings"],
        # for people: a result of older code is not run again
        "code_fingerprint": summary["code_fingerprint"],
    }


def settings_of(config: Any) -> dict[str, Any]:
    """Everything the numbers depend on, without paths of this machine."""
    settings = dataclasses.asdict(config)
    settings["logs"].pop("path")
    settings.pop("runs_dir")
    settings.pop("beam")
    return json.loads(json.dumps(settings))


def with_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of an older run; keys it did not know had their defaults."""
    return settings_of(from_mapping(PipelineConfig, settings))


def table() -> str:
    """All results as Markdown: mean and standard deviation over seeds."""
    head = ["dataset", "profile", "model", "target", "seen", "seeds"]
    head += [m.replace("_at_", "@") for m in METRICS]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for file in sorted(RESULTS.glob("*.json")):
        content = json.loads(file.read_text())
        if "seeds" not in content:
            continue
        runs = list(content["seeds"].values())
        first = runs[0]
        for target, settings in first["metrics"]["model"].items():
            seen = first["seen_items"]
            if seen not in settings:
                continue
            cells = [
                first["dataset"],
                first["profile"],
                _model(first["config"]),
                target,
                seen,
                str(len(runs)),
            ]
            for metric in METRICS:
                values = [
                    100 * r["metrics"]["model"][target][seen][metric]
                    for r in runs
                ]
                cells.append(_mean(values))
            lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def _model(settings: dict[str, Any]) -> str:
    """What people call a model with these settings."""
    model = from_mapping(PipelineConfig, settings).model
    towers = [
        _ENCODERS[encoder]
        for encoder in (model.sequential.encoder, model.graph.encoder)
        if encoder != "none"
    ]
    return towers[0] if len(towers) == 1 else f"CREATE ({' + '.join(towers)})"


def _mean(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.2f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {statistics.stdev(values):.2f}"


def _cpu() -> str:
    return f"{os.cpu_count()} cores"


if __name__ == "__main__":
    sys.exit(main())
