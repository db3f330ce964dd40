"""Writes `summary.json`: what the newest run came to."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from components.artifact_files import (
    DRIFT_FILE,
    INGEST_FILE,
    METRICS_FILE,
    MODEL_CARD_FILE,
    REPORT_FILE,
    TRAINING_FILE,
    VALIDATION_FILE,
)
from components.code_fingerprint import code_fingerprint
from components.package_versions import versions
from pipeline.config import PipelineConfig
from pipeline.paths import RunPaths
from pipeline.run_records import RunRecord, read_newest_run
from pipeline.summary import SummaryError
from serving import version_folders

# Of drift.json; the rest is for pictures.
_DRIFT = ("periods", "popularity_shift", "comparisons", "warnings")


def write_summary(config: PipelineConfig) -> dict[str, Any]:
    """Writes the summary of the newest run and returns it.

    Raises:
        SummaryError: an output that the summary needs is missing.
    """
    paths = RunPaths.of(config)
    run = read_newest_run(str(paths.metadata), config.name)
    summary = make_summary(run, config)
    temporary = paths.summary.with_suffix(".tmp")
    temporary.write_text(
        json.dumps(summary, indent=2, allow_nan=False) + "\n",
        encoding="utf-8",
    )
    # In one step: readers see the old or the new one, never half of it.
    os.replace(temporary, paths.summary)
    return summary


def make_summary(run: RunRecord, config: PipelineConfig) -> dict[str, Any]:
    """Puts together the results of one run."""
    evaluation = _json_output(
        run, "RankingEvaluator", "evaluation", METRICS_FILE
    )
    training = _json_output(run, "Trainer", "model_run", TRAINING_FILE)
    ingest = _json_output(run, "HistoryExampleGen", "dead_letters", INGEST_FILE)
    drift = _json_output(run, "PeriodStatistics", "statistics", DRIFT_FILE)
    serving = _json_output(run, "ServingValidator", "blessing", VALIDATION_FILE)
    blessing = evaluation["blessing"]
    blessed = bool(
        run.nodes["RankingEvaluator"]
        .outputs["blessing"]
        .properties.get("blessed", 0)
    )
    return {
        "name": config.name,
        "dataset": config.dataset,
        "profile": evaluation["profile"],
        "run_id": run.run_id,
        "ingest": ingest,
        "splits": evaluation["splits"],
        "drift": {key: drift[key] for key in _DRIFT},
        "metrics": evaluation["metrics"],
        "best_baseline": evaluation["best_baseline"],
        "comparisons": evaluation["comparisons"],
        "slices": evaluation["slices"],
        "compared": evaluation["compared"],
        "index": evaluation["index"],
        "timings": {
            "total": run.seconds,
            "components": {
                name: node.seconds for name, node in run.nodes.items()
            },
            "epochs": _epoch_seconds(training),
        },
        "cached": [
            name for name, node in run.nodes.items() if node.state == "cached"
        ],
        "training": _training_result(training),
        "blessed": blessed,
        "blessing": blessing,
        "serving_validation": serving,
        "pushed_model": (pushed := _pushed_model(run)),
        # another one after a rollback
        "served_model": pushed
        and version_folders.newest(os.path.dirname(pushed)),
        "report": _evaluation_file(run, REPORT_FILE),
        "model_card": _evaluation_file(run, MODEL_CARD_FILE),
        "example_items": _example_items(run),
        "config": dataclasses.asdict(config),
        "versions": versions(),
        "code_fingerprint": code_fingerprint(
            "pipeline", "components", "models", "serving"
        ),
    }


def _json_output(
    run: RunRecord, node: str, output: str, file: str
) -> dict[str, Any]:
    # Artifacts may lie on any file system TFX can write to.
    from tfx.dsl.io import fileio

    try:
        uri = run.nodes[node].outputs[output].uri
    except KeyError:
        raise SummaryError(
            f"Run {run.run_id} has no output `{output}` of {node}; it ran "
            f"{', '.join(run.nodes) or 'nothing'}."
        ) from None
    path = os.path.join(uri, file)
    if not fileio.exists(path):
        raise SummaryError(
            f"{node} left no {file} in {uri}: the artifact was removed. Fix: "
            "delete artifacts/ and metadata.sqlite in the folder of the "
            "pipeline in runs/ (serving/ may stay) and run again."
        )
    with fileio.open(path) as stream:
        return json.loads(stream.read())


def _evaluation_file(run: RunRecord, name: str) -> str:
    uri = run.nodes["RankingEvaluator"].outputs["evaluation"].uri
    return os.path.join(uri, name)


def _epoch_seconds(training: dict[str, Any]) -> dict[str, Any]:
    """Seconds of every epoch, by selection and refit."""
    return {
        phase: [
            {key: epoch[key] for key in ("epoch", "phase", "seconds")}
            for epoch in result["epochs"]
        ]
        for phase, result in training["phases"].items()
    }


def _training_result(training: dict[str, Any]) -> dict[str, Any]:
    """Everything of the training but its epochs: best epoch and so on."""
    return {
        phase: {
            **{k: v for k, v in result.items() if k != "epochs"},
            "num_epochs": len(result["epochs"]),
        }
        for phase, result in training["phases"].items()
    }


def _pushed_model(run: RunRecord) -> str | None:
    """The folder that this run's model was pushed to; None if it is gone."""
    from tfx.dsl.io import fileio

    pushed = run.nodes["Pusher"].outputs["pushed_model"].properties
    if not pushed.get("pushed"):
        return None
    folder = str(pushed["pushed_destination"])
    return folder if fileio.exists(folder) else None


def _example_items(run: RunRecord) -> list[str]:
    """Ids of the three most frequent items, to try the model with."""
    from components.transform.vocabularies import read_item_ids

    uri = run.nodes["Transform"].outputs["transform_graph"].uri
    ids = read_item_ids(uri, "train")[:3]
    return [item.decode("utf-8", "replace") for item in ids]
