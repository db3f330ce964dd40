"""The driver behind `make run`: its stages, their failures, the last lines."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from pipeline import paths, run
from pipeline.config import REPOSITORY, load_config
from serving import client
from serving import flags as server_flags

DEMO = str(REPOSITORY / "pipeline" / "configs" / "demo.yaml")


@pytest.fixture
def stages(monkeypatch, tmp_path):
    """Replaces what takes long; holds the commands that would have run."""
    calls = []
    monkeypatch.setattr(run.console, "quiet", lambda: None)
    monkeypatch.setattr(run.doctor, "main", lambda checks, brief: 0)
    monkeypatch.setattr(run, "run_tfx", lambda *words: calls.append(words))
    monkeypatch.setattr(
        run, "show_results", lambda *arguments: calls.append(("results",))
    )
    monkeypatch.setattr(
        run.subprocess, "call", lambda command, cwd: calls.append(command)
    )
    for name in (
        *("CREATE_CONFIG", "CREATE_SET", "LOCAL_HOME", "PATH"),
        run.parent.VARIABLE,
    ):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    return calls


def start(tmp_path, *overrides):
    words = [f"runs_dir={tmp_path}", f"logs.path={tmp_path}", *overrides]
    arguments = ["--config", DEMO]
    for word in words:
        arguments += ["--set", word]
    return run.main(arguments)


def test_registers_runs_and_shows(stages, tmp_path, capsys):
    assert start(tmp_path, "name=shop", "dataset=two words") == 0
    dsl = REPOSITORY / "pipeline" / "local_runner.py"
    assert stages == [
        ("pipeline", "create", "--engine=local", f"--pipeline_path={dsl}"),
        ("run", "create", "--engine=local", "--pipeline_name=shop"),
        ("results",),
    ]
    assert os.environ["CREATE_CONFIG"] == DEMO
    assert shlex.split(os.environ["CREATE_SET"])[-1] == "dataset=two words"
    assert os.environ["LOCAL_HOME"] == str(tmp_path / ".tfx")
    assert "Done in" in capsys.readouterr().out


def test_an_index_without_its_package_stops_before_anything_runs(
    stages, tmp_path, monkeypatch, capsys
):
    found = {"scann": None}
    monkeypatch.setattr(
        run.custom_ops.importlib.util, "find_spec", found.__getitem__
    )
    assert start(tmp_path, "serving.index=scann") == 1
    assert not stages
    assert "pip install scann==1.3.2" in capsys.readouterr().err
    found["scann"] = "there"
    assert start(tmp_path, "serving.index=scann") == 0


def test_a_known_pipeline_is_updated(stages, tmp_path):
    (tmp_path / ".tfx" / "demo").mkdir(parents=True)
    assert start(tmp_path) == 0
    assert stages[0][:2] == ("pipeline", "update")


def test_wrong_settings_end_before_anything_runs(stages, tmp_path, capsys):
    assert start(tmp_path, "trainig.seed=1") == 2
    assert stages == []
    assert "Did you mean `training`?" in capsys.readouterr().err


def test_a_sick_environment_ends_the_run(stages, tmp_path, monkeypatch):
    monkeypatch.setattr(run.doctor, "main", lambda checks, brief: 1)
    assert start(tmp_path) == 1
    assert stages == []


def test_a_failed_stage_ends_the_run(stages, tmp_path, monkeypatch, capsys):
    def fail(*words):
        raise run.StageError("`tfx pipeline create` failed: no such thing")

    monkeypatch.setattr(run, "run_tfx", fail)
    assert start(tmp_path) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "`tfx pipeline create` failed: no such thing"


def test_demo_logs_are_made_only_where_they_are_missing(
    stages, tmp_path, monkeypatch
):
    config = load_config(DEMO)
    monkeypatch.setattr(run, "_DEMO_LOGS", tmp_path)
    run.make_demo_logs(config)
    assert stages == []  # the logs lie elsewhere: not ours to make

    config = load_config(DEMO, [f"logs.path={tmp_path}"])
    run.make_demo_logs(config)
    assert stages[0][2:] == ["pipeline.demo_logs", "--output", str(tmp_path)]

    (tmp_path / "a.csv.gz").write_bytes(b"")
    run.make_demo_logs(config)
    assert len(stages) == 1


def test_a_failed_cli_command_says_which_and_why(capsys, tmp_path):
    with pytest.raises(run.StageError) as caught:
        run.run_tfx(
            "pipeline", "create", "--engine=local", "--pipeline_path=/none"
        )
    assert str(caught.value).startswith("`tfx pipeline create` failed: ")
    assert "/none" in str(caught.value)


@pytest.mark.parametrize("pushed", ["/runs/shop/serving/own/17", None])
def test_the_last_lines_say_what_to_try(tmp_path, capsys, monkeypatch, pushed):
    config = load_config(
        DEMO, [f"runs_dir={tmp_path}", "serving.model_name=own"]
    )
    folder = paths.RunPaths.of(config).run_dir
    folder.mkdir()
    (folder / "summary.json").write_text(
        json.dumps(
            {
                "pushed_model": pushed,
                "report": "/runs/shop/report.html",
                "example_items": ["a", "b c"],
                "config": {"serving": {"model_name": "own"}},
            }
        )
    )
    monkeypatch.setattr(run, "format_summary", lambda summary: "TABLE")
    arguments = run.argparse.Namespace(
        config="own.yaml", overrides=["training.seed=1", "name=x"]
    )
    run.show_results(config, arguments)
    out = capsys.readouterr().out
    assert "TABLE" in out
    if pushed:
        assert "make serve CONFIG=own.yaml SET='training.seed=1 name=x'" in out
        assert "serving.client --model_name own --history='a,b c'" in out
    else:
        assert "not pushed" in out
        assert "make serve" not in out


@pytest.mark.parametrize("value", ["My shop", "a$b", "it's"])
def test_settings_that_make_would_change_are_not_handed_to_it(
    tmp_path, capsys, monkeypatch, value
):
    overrides = [f"runs_dir={tmp_path}/my runs", f"dataset={value}"]
    monkeypatch.setattr(
        run,
        "read_summary",
        lambda config: {
            "pushed_model": "/m/1",
            "report": "r",
            "example_items": ["a"],
        },
    )
    monkeypatch.setattr(run, "format_summary", lambda summary: "")
    run.show_results(
        load_config(DEMO, overrides),
        run.argparse.Namespace(config=DEMO, overrides=overrides),
    )
    line = capsys.readouterr().out.splitlines()[-2]
    command = shlex.split(line.removeprefix("Try it:"))
    assert command[:3] == [".venv/bin/python", "-m", "serving.server"]
    served = server_flags.parse(command[3:])
    assert served.model_base_path == f"{tmp_path}/my runs/demo/serving/create"


@pytest.mark.parametrize("seen_items", ["filtered", "kept"])
def test_the_client_is_asked_for_what_was_measured(
    tmp_path, capsys, monkeypatch, seen_items
):
    config = load_config(
        DEMO,
        [
            f"evaluation.seen_items={seen_items}",
            f"training.filter_seen={str(seen_items == 'filtered').lower()}",
        ],
    )
    items = ["-a,b", "it's", 'say "x"', "c d"]
    monkeypatch.setattr(
        run,
        "read_summary",
        lambda config: {
            "pushed_model": "/m/1",
            "report": "r",
            "example_items": items,
        },
    )
    monkeypatch.setattr(run, "format_summary", lambda summary: "")
    run.show_results(config, run.argparse.Namespace(config=DEMO, overrides=[]))
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert command[:3] == [".venv/bin/python", "-m", "serving.client"]
    flags = client._parse(command[3:])
    assert flags.history == items
    assert flags.keep_seen is (seen_items == "kept")


def test_serving_flags_need_a_pushed_model(tmp_path, capsys):
    arguments = ["--config", DEMO, "--set", f"runs_dir={tmp_path}/my runs"]
    assert paths.main([*arguments, "--serving-flags"]) == 1
    assert "Fix: make run" in capsys.readouterr().err
    base = tmp_path / "my runs" / "demo" / "serving" / "create"
    (base / "5").mkdir(parents=True)
    (base / "5" / "saved_model.pb").write_bytes(b"")
    assert paths.main([*arguments, "--serving-flags"]) == 0
    assert shlex.split(capsys.readouterr().out) == [
        "--model_name",
        "create",
        "--model_base_path",
        str(base),
    ]


def test_the_file_for_the_cli_refuses_wrong_settings_in_one_line(tmp_path):
    environment = {**os.environ, "CREATE_SET": "model.embeding_dim=3"}
    environment.pop("CREATE_CONFIG", None)
    result = subprocess.run(
        [sys.executable, str(REPOSITORY / "pipeline" / "local_runner.py")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "Did you mean `embedding_dim`?" in result.stderr
