"""Whose report is fetched where the evaluation came from the cache.

The runs are those of a stand-in for the backend, with its cache. ResolveRun is
run as it is; the other steps only leave files, and the evaluation a report that
names the run it was written in.
"""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from kubeflow import submit
from kubeflow.compile import compile_pipeline
from kubeflow.report import evaluation_settings, fetch_report
from tests.kubeflow.backend import Backend, in_process
from tests.kubeflow.helpers import settings


def leave_files(command, args, environment):
    """A step without its work; ResolveRun with it."""
    if any("resolve_run" in arg for arg in args):
        in_process(command, args, environment)
        return
    place = args.index("--json_serialized_invocation_args")
    outputs = json.loads(args[place + 1])["outputs"]
    for name, entry in outputs["artifacts"].items():
        folder = Path(entry["artifacts"][0]["uri"])
        folder.mkdir(parents=True)
        if name == "evaluation":
            run = folder.parts[-3]
            (folder / "report.html").write_text(f"of {run}")
            (folder / "metrics.json").write_text(json.dumps({"of": run}))
    output = Path(outputs["outputFile"])
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("{}")


@pytest.fixture(scope="module")
def text():
    return compile_pipeline(settings())


@pytest.fixture(scope="module")
def spec(text):
    return next(yaml.safe_load_all(text))


@pytest.fixture(scope="module")
def finished(bucket, text):
    """Folder of four runs: whose evaluation is whose is in `tasks`."""
    backend = Backend(bucket, leave_files)
    runs = [
        backend.run(text),
        backend.run(text, training_max_epochs=2),
        backend.run(text),
        backend.run(text, push_target="s3://bucket/elsewhere"),
    ]
    evaluations = [run["RankingEvaluator"] for run in runs]
    assert [task.cached for task in evaluations] == [False, False, True, True]
    # The backend's own knowledge, which its API does not hand out.
    (root,) = (bucket / "runs/tiny_shop/artifacts").iterdir()
    return root, [
        Path(task.artifacts["evaluation"]["uri"]).parts[-3]
        for task in evaluations
    ]


@pytest.fixture
def root(finished, tmp_path):
    """A copy of the folder, for tests that change it."""
    return shutil.copytree(finished[0], tmp_path / "artifacts")


def test_the_report_is_of_the_run_that_the_cache_was_filled_by(
    finished, spec, tmp_path
):
    root, owners = finished
    assert owners == ["run-1", "run-2", "run-1", "run-1"]
    for number, owner in enumerate(owners, 1):
        files, source = fetch_report(
            str(root),
            f"run-{number}",
            tmp_path / str(number),
            evaluation_settings(spec),
        )
        assert source == owner
        assert files[0].read_text() == f"of {owner}"
        assert json.loads(files[1].read_text()) == {"of": owner}


def test_attempts_in_folders_of_their_own_tell_the_settings_too(
    root, spec, tmp_path
):
    for run in root.iterdir():
        resolved = run / "ResolveRun"
        os.rename(resolved, run / "moved")
        resolved.mkdir()
        os.rename(run / "moved", resolved / "7f3a")
    _, source = fetch_report(
        str(root), "run-3", tmp_path / "out", evaluation_settings(spec)
    )
    assert source == "run-1"


def test_of_several_attempts_the_last_one_counts(root, spec, tmp_path):
    step = root / "run-1" / "RankingEvaluator"
    for attempt, seconds in (("9c", 10), ("1b", 30), ("5a", 20)):
        folder = shutil.copytree(
            root / "run-2/RankingEvaluator/evaluation",
            step / attempt / "evaluation",
        )
        (folder / "report.html").write_text(attempt)
        os.utime(folder / "report.html", (seconds, seconds))
    shutil.rmtree(step / "evaluation")
    (report, _), source = fetch_report(
        str(root), "run-1", tmp_path / "out", evaluation_settings(spec)
    )
    assert source == "run-1"
    assert report.read_text() == "1b"


def test_several_that_may_be_the_one_are_listed_and_none_is_taken(
    root, spec, tmp_path
):
    # As if the cache had been emptied in between.
    shutil.copytree(root / "run-1", root / "run-0")
    os.utime(root / "run-0/RankingEvaluator/evaluation/report.html", (0, 0))
    with pytest.raises(FileNotFoundError) as caught:
        fetch_report(
            str(root), "run-3", tmp_path / "out", evaluation_settings(spec)
        )
    said = str(caught.value)
    assert "2 reports may be the one" in said
    assert said.index("run-1/Ranking") < said.index("run-0/Ranking")
    assert "run-2" not in said
    assert "--param input_fingerprint" in said
    assert not (tmp_path / "out").exists()


def test_a_report_of_other_settings_is_never_taken(root, spec, tmp_path):
    shutil.rmtree(root / "run-1")
    with pytest.raises(FileNotFoundError, match="no longer below") as caught:
        fetch_report(
            str(root), "run-3", tmp_path / "out", evaluation_settings(spec)
        )
    assert "Fix: have every step done anew" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_run_without_readable_settings_guesses_nothing(root, spec, tmp_path):
    shutil.rmtree(root / "run-3/ResolveRun")
    with pytest.raises(FileNotFoundError, match="2 reports may be the one"):
        fetch_report(
            str(root), "run-3", tmp_path / "out", evaluation_settings(spec)
        )


def test_what_is_made_of_the_evaluation_does_not_decide_about_it(spec):
    found = evaluation_settings(spec)
    assert {
        "HistoryExampleGen_input_fingerprint",
        "Trainer_config",
        "RankingEvaluator_split_config",
    } <= found
    assert not [
        name
        for name in found
        if name.startswith(("Pusher", "ServingValidator", "ModelCard"))
    ]


def test_submit_says_whose_results_they_are(finished, spec, tmp_path, capsys):
    root = finished[0]
    here = {**spec, "defaultPipelineRoot": str(root.parent)}
    submit._fetch(here, "run-3", tmp_path / "out")
    said = capsys.readouterr().out
    assert "came from the cache: results of run run-1." in said
    assert (tmp_path / "out/report.html").read_text() == "of run-1"
