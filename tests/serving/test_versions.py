"""The command for versions on disk, beside a running server."""

import os
import pathlib
import re

import pytest
import tensorflow as tf

from serving import file_systems, model_config, version_folders, versions

CONFIG = """model_config_list {{ config {{
  name: "create" base_path: "{}" model_platform: "tensorflow"
  model_version_policy {{ {} }}
  version_labels {{ key: "stable" value: 2 }}
}} }}"""


@pytest.fixture
def base_path(tmp_path):
    """Versions 1 to 6, of which 5 is not complete."""
    base = tmp_path / "models"
    for version in range(1, 7):
        (base / str(version) / "variables").mkdir(parents=True)
        (base / str(version) / "variables" / "data").write_text(f"{version}")
        if version != 5:
            (base / str(version) / "saved_model.pb").write_text("model")
    return base


def _numbers(base_path):
    return sorted(int(path.name) for path in base_path.iterdir())


def _run(*arguments):
    return versions.main([str(argument) for argument in arguments])


def test_prune_keeps_the_newest_and_what_is_still_being_written(base_path):
    arguments = ["prune", base_path, "--keep", 2, "--nothing_serves"]
    assert _run(*arguments, "--dry_run") == 0
    assert _numbers(base_path) == [1, 2, 3, 4, 5, 6]
    assert _run(*arguments) == 0
    assert _numbers(base_path) == [4, 5, 6]


def test_no_server_ever_sees_half_a_version(base_path, monkeypatch):
    """What counts as a version is whole, at every moment of a change."""

    def check():
        for version, path in version_folders.find(str(base_path)).items():
            files = {
                os.path.relpath(os.path.join(folder, name), path)
                for folder, _, names in os.walk(path)
                for name in names
            }
            copy = {version_folders.COPY_OF_FILE} if version > 6 else set()
            assert files == {"saved_model.pb", "variables/data"} | copy

    def checked(step):
        def act(*arguments):
            step(*arguments)
            check()

        return act

    def piecemeal(folder):
        """As a kill, or another process, finds it in between."""
        for path in sorted(pathlib.Path(folder).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
            check()
        os.rmdir(folder)

    monkeypatch.setattr(tf.io.gfile, "copy", checked(tf.io.gfile.copy))
    monkeypatch.setattr(tf.io.gfile, "rmtree", piecemeal)
    assert _run("rollback", base_path) == 0
    assert _run("prune", base_path, "--keep", 2, "--nothing_serves") == 0
    assert len(version_folders.find(str(base_path))) == 2


def test_prune_keeps_what_a_configuration_names(base_path, tmp_path, capsys):
    config = tmp_path / "models.config"
    config.write_text(CONFIG.format(base_path, "specific { versions: 1 }"))
    arguments = ["prune", base_path, "--keep", 1]
    assert _run(*arguments, "--model_config_file", config) == 0
    assert _numbers(base_path) == [1, 2, 5, 6]
    config.write_text(CONFIG.format(base_path, "all {}"))
    assert _run(*arguments, "--model_config_file", config) == 1
    assert "serves all versions" in capsys.readouterr().err
    assert _numbers(base_path) == [1, 2, 5, 6]


def test_prune_keeps_as_many_as_a_configuration_serves(base_path, tmp_path):
    config = tmp_path / "models.config"
    config.write_text(CONFIG.format(base_path, "latest { num_versions: 3 }"))
    prune = ["prune", base_path, "--keep", 1, "--model_config_file", config]
    assert _run(*prune) == 0
    assert _numbers(base_path) == [2, 3, 4, 5, 6]  # 2 has a label.


def test_prune_refuses_a_configuration_of_other_models(
    base_path, tmp_path, capsys
):
    config = tmp_path / "models.config"
    config.write_text(CONFIG.format(base_path, "specific { versions: 1 }"))
    prune = ["prune", base_path, "--keep", 1, "--model_config_file", config]
    assert _run(*prune, "--model_name", "shop") == 1
    error = capsys.readouterr().err
    assert "no model 'shop', found ['create']" in error
    assert "--model_name" in error
    assert _numbers(base_path) == [1, 2, 3, 4, 5, 6]


def test_prune_must_be_told_who_serves(base_path, capsys):
    assert _run("prune", base_path, "--keep", 1) == 1
    assert "--target HOST:PORT" in capsys.readouterr().err
    assert _numbers(base_path) == [1, 2, 3, 4, 5, 6]
    with pytest.raises(SystemExit):
        _run("prune", base_path, "--keep", 0, "--nothing_serves")


@pytest.mark.parametrize(("to", "source"), [([], "4"), (["--to", "1"], "1")])
def test_rollback_pushes_an_older_version(base_path, to, source):
    assert _run("rollback", base_path, *to) == 0
    newest = base_path / str(_numbers(base_path)[-1])
    assert int(newest.name) > 6
    assert (newest / "variables" / "data").read_text() == source
    assert (newest / "saved_model.pb").read_text() == "model"


def _served(base_path):
    """What the newest version answers with."""
    newest = base_path / str(_numbers(base_path)[-1])
    return (newest / "variables" / "data").read_text()


def test_a_second_rollback_goes_further_back(base_path, capsys):
    """The version before the copy is the one that was left."""
    for expected in ("4", "3", "2", "1"):
        assert _run("rollback", base_path) == 0
        assert _served(base_path) == expected
    before = _numbers(base_path)
    capsys.readouterr()
    assert _run("rollback", base_path) == 1
    error = capsys.readouterr().err
    assert f"the newest version is {before[-1]}, a copy of 1" in error
    assert "--to" in error
    assert _numbers(base_path) == before
    assert _run("rollback", base_path, "--to", 4) == 0
    assert _served(base_path) == "4"


def test_a_new_version_after_a_rollback(base_path):
    """What was served before it is the copy, and that is one of version 4."""
    assert _run("rollback", base_path) == 0
    new = base_path / str(_numbers(base_path)[-1] + 1)
    (new / "variables").mkdir(parents=True)
    (new / "variables" / "data").write_text("new")
    (new / "saved_model.pb").write_text("model")
    assert _run("rollback", base_path) == 0
    assert _served(base_path) == "4"
    assert _run("rollback", base_path) == 0
    assert _served(base_path) == "3"


def test_rollback_to_what_is_not_there(base_path, tmp_path, capsys):
    assert _run("rollback", base_path, "--to", 5) == 1
    assert "There is no version 5" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert _run("rollback", tmp_path / "empty") == 1
    assert "none to go back to" in capsys.readouterr().err
    assert _run("list", tmp_path / "missing") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "s3://bucket/models"],
        ["rollback", "s3://bucket/models"],
        ["prune", "s3://bucket/models", "--keep", 1, "--nothing_serves"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_file_system_that_tensorflow_lacks_is_named(
    monkeypatch, capsys, arguments
):
    monkeypatch.setattr(file_systems, "_PLUG_IN", "no_such_package")
    assert _run(*arguments) == 1
    error = capsys.readouterr().err
    assert "TensorFlow has no file system for s3:// here" in error
    assert "pip install tensorflow-io==0.37.1" in error
    assert "There is no folder" not in error


def test_label_is_moved(base_path, tmp_path, capsys):
    config = tmp_path / "models.config"
    config.write_text(CONFIG.format(base_path, "all {}"))
    arguments = ["label", config, "--label", "stable", "--version"]
    assert _run(*arguments, 3) == 0
    assert "stable is version 3 (was 2)" in capsys.readouterr().out
    (model,) = model_config.read(str(config))
    assert model.labels == {"stable": 3}
    assert model.policy.limit is None  # All else stays.
    assert _run(*arguments, 5) == 1
    # For a server elsewhere, whose folder is not here.
    config.write_text(CONFIG.format("/nowhere/create", "all {}"))
    assert _run(*arguments, 5) == 0
    assert _run(*arguments, 3, "--model_name", "other") == 1
    assert "no model 'other'" in capsys.readouterr().err


def test_list_tells_versions_and_their_copies_apart(
    catalogue, tmp_path, capsys
):
    catalogue.export(tmp_path / "7")
    catalogue.export(
        tmp_path / "8",
        exclude_history=True,
        version_info={"name": "shop", "seed": 3, "fitted_until": 1700000000},
    )
    os.utime(tmp_path / "7" / "saved_model.pb", (86400, 86400))
    os.utime(tmp_path / "8" / "saved_model.pb", (86460, 86460))
    (tmp_path / "9").mkdir()
    (tmp_path / "9" / "saved_model.pb").write_text("no model.json")
    for _ in range(2):
        assert _run("rollback", tmp_path, "--to", 8) == 0
    new = [number for number in _numbers(tmp_path) if number > 9]
    capsys.readouterr()
    assert _run("list", tmp_path) == 0
    lines = [
        re.split(r" {2,}", line)
        for line in capsys.readouterr().out.splitlines()
    ]
    pushed = [line[1] for line in lines]
    assert pushed[1:3] == ["1970-01-02 00:00", "1970-01-02 00:01"]
    facts = ["2023-11-14 22:13", "40", "filtered", "shop, seed 3"]
    assert [line[:1] + line[2:] for line in lines] == [
        ["version", "learned until", "items", "seen items", "run"],
        ["7", "?", "40", "kept"],
        ["8", *facts],
        ["9", "?", "?", "?"],
        *([str(v), *facts[:-1], f"{facts[-1]}, copy of 8"] for v in new),
    ]
    (tmp_path / "empty").mkdir()
    assert _run("list", tmp_path / "empty") == 0
    assert "no numbered version in" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["prune", "d", "--keep", "9" * 20],
        ["prune", "d", "--keep", 1, "--target", "http://127.0.0.1:8501"],
        ["rollback", "d", "--to", "9" * 20],
        ["label", "f", "--label", "a", "--version", "9" * 20],
    ],
)
def test_wrong_arguments_are_named(capsys, arguments):
    with pytest.raises(SystemExit):
        _run(*arguments)
    assert f"found {str(arguments[-1])!r}" in capsys.readouterr().err
