"""The command for versions on disk, beside a running server."""

import pytest

from serving import model_config, versions

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


def test_rollback_to_what_is_not_there(base_path, tmp_path, capsys):
    assert _run("rollback", base_path, "--to", 5) == 1
    assert "There is no version 5" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert _run("rollback", tmp_path / "empty") == 1
    assert "none to go back to" in capsys.readouterr().err
    assert _run("list", tmp_path / "missing") == 1


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


def test_list(base_path, exported, capsys):
    assert _run("list", exported.parent) == 0
    assert capsys.readouterr().out == "1  40 items\n"
