"""What is asked of the server, in which order, and what a person is told."""

import io
import json

import kfp_server_api
import pytest
import yaml
from urllib3.exceptions import ConnectTimeoutError

from kubeflow import submit
from kubeflow.cluster import Cluster, version_name
from kubeflow.compile import compile_pipeline
from kubeflow.report import fetch_report
from kubeflow.submit import SubmitError, parameter_values
from kubeflow.watch import watch
from serving import file_systems
from tests.kubeflow.helpers import CLUSTER, DEMO, settings
from tests.kubeflow.kfp_server import KfpServer, serve


@pytest.fixture
def server():
    return KfpServer()


@pytest.fixture
def host(server, monkeypatch, tmp_path):
    # The client keeps a context of its own in the home folder.
    monkeypatch.setattr(
        "kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json")
    )
    for name in ("KF_PIPELINES_ENDPOINT", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    with serve(server) as address:
        yield address


def call(host, *arguments, overrides=()):
    command = ["--config", str(DEMO), "--host", host, "--poll-seconds=0.01"]
    for override in (*CLUSTER, *overrides):
        command += ["--set", override]
    return submit.main([*command, *arguments])


def test_first_run(server, host, capsys):
    server.states = [
        {"state": "PENDING"},
        {
            "state": "RUNNING",
            "run_details": {"task_details": [task("Trainer")]},
        },
        {
            "state": "SUCCEEDED",
            "run_details": {"task_details": [task("Trainer", "SUCCEEDED")]},
        },
    ]
    assert call(host, "--param", "training_max_epochs=3") == 0
    out = capsys.readouterr().out
    assert out.count("Trainer ") == 2
    assert out.splitlines()[-1] == "The run has succeeded."
    text = compile_pipeline(settings())
    (version,) = server.versions.values()
    assert version["display_name"] == version_name(text)
    assert server.uploads[version["pipeline_version_id"]].decode() == text
    assert [p["display_name"] for p in server.pipelines.values()] == [
        "tiny-shop"
    ]
    (run,) = server.runs.values()
    assert run["pipeline_version_reference"] == {
        "pipeline_id": version["pipeline_id"],
        "pipeline_version_id": version["pipeline_version_id"],
    }
    assert run["runtime_config"] == {
        "pipeline_root": "s3://bucket/runs/tiny_shop/artifacts",
        # Every parameter, for a server fills in no defaults.
        "parameters": {
            "input_fingerprint": "",
            "logs_path": "s3://bucket/logs",
            "push_target": "s3://bucket/runs/tiny_shop/serving/create",
            "split_test_date": "",
            "split_test_quantile": 0.8,
            "training_max_epochs": 3,
        },
    }


def task(name, state="RUNNING", message=None):
    found = {
        "display_name": name,
        "state": state,
        "create_time": "2024-03-01T12:00:00Z",
    }
    if message:
        found["error"] = {"code": 1, "message": message}
    return found


def test_an_unchanged_pipeline_is_uploaded_once(server, host):
    assert call(host, "--no-wait") == 0
    assert call(host, "--no-wait") == 0
    assert len(server.versions) == len(server.pipelines) == 1
    assert len(server.runs) == 2
    assert call(host, "--no-wait", overrides=["training.seed=1"]) == 0
    assert len(server.versions) == 2
    assert len(server.pipelines) == len(server.experiments) == 1
    newest = list(server.runs.values())[-1]["pipeline_version_reference"]
    assert newest["pipeline_version_id"] == "pipeline_version-2"


def test_a_failed_run_says_which_step_and_why(server, host, capsys):
    server.states = [
        {
            "state": "FAILED",
            "run_details": {
                "task_details": [
                    task("Transform", "FAILED", "exit status 1"),
                    task("Transform-driver", "SUCCEEDED"),
                ]
            },
            "error": {"code": 1, "message": "1 step failed"},
        }
    ]
    assert call(host) == 1
    out = capsys.readouterr().out
    assert "Transform                    failed: exit status 1" in out
    assert "driver" not in out
    assert "1 step failed" in out
    assert "The run has failed." in out


def test_a_cancelled_run_ends_the_watch():
    states = [
        kfp_server_api.V2beta1Run(state=state)
        for state in ("RUNNING", "CANCELING", "CANCELED")
    ]
    out = io.StringIO()
    assert watch(lambda: states.pop(0), seconds=0, out=out) == "CANCELED"


def test_a_server_that_starts_again_does_not_end_the_watch(
    server, host, capsys
):
    server.outage = 6
    assert call(host) == 0
    out = capsys.readouterr().out
    assert "The server answered 503: starting again. The run goes on" in out
    assert out.splitlines()[-1] == "The run has succeeded."
    assert len(server.runs) == 1


@pytest.mark.parametrize("how", ["away", "unauthorized", "interrupted"])
def test_a_run_that_is_no_longer_watched_can_be_found_again(
    server, host, capsys, monkeypatch, how
):
    with monkeypatch.context() as patched:
        if how == "away":
            server.drop = r"GET .*/runs/[^/]+"
        elif how == "unauthorized":
            server.refuse, server.refuse_status = r"GET .*/runs/[^/]+", 401
        else:
            interrupt(patched, "get_run")
        assert call(host) == (130 if how == "interrupted" else 1)
    said = capsys.readouterr().err
    assert "No longer watched; run run-1" in said
    assert "goes on" in said
    assert "--watch run-1" in said
    # A wrong address is no explanation here: the server has answered before.
    assert "kubectl" not in said
    server.drop = server.refuse = None
    server.calls.clear()
    server.states = [{"state": "RUNNING"}, {"state": "FAILED"}]
    assert call(host, "--watch", "run-1") == 1
    assert "The run has failed." in capsys.readouterr().out
    assert [c for c in server.calls if c[0] != "GET"] == []


def test_failures_in_a_row_are_borne_with_longer_waits(monkeypatch):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    answers = [ConnectTimeoutError()] * 9
    answers += [kfp_server_api.V2beta1Run(state="RUNNING")]
    answers += [kfp_server_api.ApiException(502, "Bad Gateway")] * 10

    def get_run():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(kfp_server_api.ApiException):
        watch(get_run, seconds=10, out=io.StringIO())
    assert not answers
    # The count starts again with an answer.
    growing = [10, 20, 40, 60, 60, 60, 60, 60, 60]
    assert waits == [*growing, 10, *growing]


@pytest.mark.parametrize(
    ("status", "asked"),
    [(400, 1), (401, 1), (404, 1), (408, 2), (429, 2), (500, 2), (503, 2)],
)
def test_what_may_pass_is_asked_again(monkeypatch, status, asked):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    asked_so_far = []

    def get_run():
        asked_so_far.append(1)
        if len(asked_so_far) == 1:
            raise kfp_server_api.ApiException(status, "no")
        return kfp_server_api.V2beta1Run(state="SUCCEEDED")

    if asked == 1:
        with pytest.raises(kfp_server_api.ApiException):
            watch(get_run, out=io.StringIO())
    else:
        assert watch(get_run, out=io.StringIO()) == "SUCCEEDED"
    assert len(asked_so_far) == asked


def test_a_run_that_does_not_exist_is_not_waited_for(server, host, capsys):
    assert call(host, "--watch", "run-7") == 1
    said = capsys.readouterr().err
    assert "404: no run run-7" in said
    assert "goes on" not in said
    assert call("http://127.0.0.1:1", "--watch", "run-1") == 1
    said = capsys.readouterr().err
    assert "kubectl port-forward" in said
    assert "goes on" not in said
    with pytest.raises(SystemExit):
        call(host, "--watch", "run-7", "--schedule", "0 0 3 * * *")


def test_a_report_that_cannot_be_fetched_is_told_before_the_run(
    server, host, capsys, monkeypatch
):
    monkeypatch.setattr(file_systems, "_PLUG_IN", "no_such_package")
    root = ["kubeflow.root=s3://bucket/runs"]
    assert call(host, "--report", "out", overrides=root) == 1
    assert "--report: s3://bucket/runs" in (error := capsys.readouterr().err)
    assert "pip install tensorflow-io==" in error
    assert not server.runs


@pytest.mark.parametrize(
    "other", [["--no-wait"], ["--schedule", "0 0 3 * * *"]]
)
def test_a_report_of_a_run_that_nobody_waits_for_is_refused(
    server, host, capsys, other
):
    with pytest.raises(SystemExit):
        call(host, "--report", "out", *other)
    assert "--report needs a run that is followed" in capsys.readouterr().err
    assert not server.recurring and not server.runs


def test_a_schedule_is_made_kept_and_replaced(server, host, capsys):
    every_night = ["--schedule", "0 0 3 * * *"]
    assert call(host, *every_night) == 0
    (made,) = server.recurring.values()
    assert made["display_name"] == "tiny-shop-schedule"
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert made["mode"] == "ENABLE"
    assert int(made["max_concurrency"]) == 1
    assert made["no_catchup"] is True
    # The newest data of every run: no fingerprint of today in it.
    assert made["runtime_config"]["parameters"]["input_fingerprint"] == ""

    server.calls.clear()
    assert call(host, *every_night) == 0
    assert "(unchanged)" in capsys.readouterr().out
    assert not [c for c in server.calls if c[0] != "GET"]

    assert call(host, "--schedule", "0 0 4 * * *") == 0
    (new,) = server.recurring.values()
    assert new["trigger"]["cron_schedule"]["cron"] == "0 0 4 * * *"
    order = [c for c in server.calls if c[0] in ("POST", "DELETE")]
    assert [path.rsplit("/", 1)[1] for _, path in order] == [
        "recurringruns",
        made["recurring_run_id"],
    ]
    assert not server.runs


AT_THREE = ["--schedule", "0 0 3 * * *"]
AT_FOUR = ["--schedule", "0 0 4 * * *"]
CREATE = r"POST /apis/v2beta1/recurringruns"
REMOVE = r"DELETE /apis/v2beta1/recurringruns/.*"


def interrupt(monkeypatch, name):
    """Ctrl-C while the client asks for something."""

    def pressed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"kfp.Client.{name}", pressed)


def crons(server):
    """Of the recurring runs that are on."""
    return [
        entry["trigger"]["cron_schedule"]["cron"]
        for entry in server.recurring.values()
        if entry["mode"] == "ENABLE"
    ]


@pytest.mark.parametrize("how", ["refused", "failed", "dropped", "interrupted"])
def test_without_a_new_schedule_the_old_one_goes_on(
    server, host, capsys, monkeypatch, how
):
    assert call(host, *AT_THREE) == 0
    server.on.clear()
    if how in ("refused", "failed"):
        server.refuse = CREATE
        server.refuse_status = 400 if how == "refused" else 504
    elif how == "dropped":
        server.drop = CREATE
    else:
        interrupt(monkeypatch, "create_recurring_run")
    assert call(host, *AT_FOUR) == (130 if how == "interrupted" else 1)
    said = capsys.readouterr().err
    assert "The old schedule (recurring run recurring_run-1) is still on" in (
        said
    )
    if how == "refused":
        assert "400: refused by the test" in said
        assert "the new one was not made" in said
    else:
        assert "whether the new one was made is not known" in said
    assert crons(server) == ["0 0 3 * * *"]
    assert set(server.on) == {1}


@pytest.mark.parametrize(
    "how", ["answer lost", "refused", "dropped", "interrupted"]
)
def test_two_schedules_are_told_of_and_mended(
    server, host, capsys, monkeypatch, how
):
    assert call(host, *AT_THREE) == 0
    server.on.clear()
    with monkeypatch.context() as patched:
        if how == "answer lost":
            server.drop_answer = CREATE
        elif how == "refused":
            server.refuse = REMOVE
        elif how == "dropped":
            server.drop = REMOVE
        else:
            interrupt(patched, "delete_recurring_run")
        assert call(host, *AT_FOUR) == (130 if how == "interrupted" else 1)
    said = capsys.readouterr().err
    assert "recurring run recurring_run-1" in said
    assert ("recurring run recurring_run-2" in said) == (how != "answer lost")
    assert crons(server) == ["0 0 3 * * *", "0 0 4 * * *"]
    server.drop = server.drop_answer = server.refuse = None
    assert call(host, *AT_FOUR) == 0
    assert crons(server) == ["0 0 4 * * *"]
    assert len(server.recurring) == 1
    # At no time was there none.
    assert min(server.on) == 1


def test_what_the_server_says_is_passed_on(server, host, capsys):
    server.refuse = r"POST /apis/v2beta1/runs"
    assert call(host) == 1
    assert "The server answered 500: refused by the test" in (
        capsys.readouterr().err
    )
    assert call(host, "--schedule", "0 3 * * *") == 1
    assert "expected six fields" in capsys.readouterr().err
    assert call(host, overrides=["kubeflow.root=null"]) == 2
    assert "`kubeflow.root` is not set" in capsys.readouterr().err


def test_parameters_are_checked_before_anything_is_asked(server, host, capsys):
    assert call(host, "--param", "epochs=3") == 1
    assert "expected NAME=VALUE with one of input_fingerprint, logs_path" in (
        capsys.readouterr().err
    )
    assert not server.calls
    spec = next(yaml.safe_load_all(compile_pipeline(settings())))
    with pytest.raises(SubmitError, match="expected int"):
        parameter_values(spec, ["training_max_epochs=many"])
    values = parameter_values(spec, ["split_test_quantile=0.7"])
    assert values["split_test_quantile"] == 0.7


def test_no_server_at_the_address(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(
        "kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json")
    )
    assert call("http://127.0.0.1:1") == 1
    assert "kubectl port-forward" in capsys.readouterr().err


def test_a_cluster_of_several_users(server, host):
    cluster = Cluster(host, "team-a")
    cluster.experiment("e")
    (made,) = server.experiments.values()
    assert made["namespace"] == "team-a"


def test_every_namespace_has_a_pipeline_of_its_own(server, host):
    teams = [["--namespace", "team-a"], ["--namespace", "team-b"], []]
    for team in teams * 2:
        assert call(host, "--no-wait", *team) == 0
    made = [p.get("namespace") for p in server.pipelines.values()]
    assert made == ["team-a", "team-b", None]
    # Unchanged, so uploaded once for each, and every run is of its team's.
    assert len(server.versions) == 3
    used = [
        run["pipeline_version_reference"]["pipeline_id"]
        for run in server.runs.values()
    ]
    assert used == [*server.pipelines] * 2


def evaluation(folder, text):
    folder.mkdir(parents=True)
    (folder / "report.html").write_text(text)
    (folder / "metrics.json").write_text(json.dumps({"of": text}))


def test_the_report_of_the_run_is_fetched(tmp_path):
    root = tmp_path / "tiny-shop"
    # Backends since 2.5 put a folder per attempt in between.
    evaluation(root / "run-1/RankingEvaluator/evaluation", "one")
    evaluation(root / "run-2/RankingEvaluator/7f3a/evaluation", "two")
    for run, text in (("run-1", "one"), ("run-2", "two")):
        files, source = fetch_report(str(root), run, tmp_path / run)
        assert source == run
        assert [f.read_text() for f in files] == [
            text,
            json.dumps({"of": text}),
        ]


def test_a_cached_evaluation_is_found_in_an_earlier_run(tmp_path):
    root = tmp_path / "tiny-shop"
    evaluation(root / "run-1/RankingEvaluator/evaluation", "one")
    files, source = fetch_report(str(root), "run-2", tmp_path / "out")
    assert source == "run-1"
    assert files[0].read_text() == "one"
    with pytest.raises(FileNotFoundError, match="before it was measured"):
        fetch_report(str(tmp_path / "other"), "run-1", tmp_path / "out")
