"""The types of `logs` in YAML files and through JSON."""

from pathlib import Path

import pytest

from components.history_example_gen.config import LogsConfig
from models.settings import SettingsError, from_json, to_json
from pipeline.config import load_config

DEMO = "pipeline/configs/demo.yaml"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a", "a"), ("[a]", ("a",)), ("[a, b]", ("a", "b"))],
)
def test_one_glob_or_several(value: str, expected: object):
    logs = load_config(DEMO, [f"logs.pattern={value}"]).logs
    assert logs.pattern == expected
    # The component gets its settings as JSON, which has no tuples.
    assert from_json(LogsConfig, to_json(logs)) == logs


def test_globs_of_the_wrong_type():
    with pytest.raises(
        SettingsError, match="`logs.pattern` must be str or a list"
    ):
        load_config(DEMO, ["logs.pattern=5"])
    with pytest.raises(SettingsError, match=r"`logs.pattern\[1\]` must be str"):
        load_config(DEMO, ["logs.pattern=[a, 5]"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-01", "2024-03-01"),
        ('"2024-03-01"', "2024-03-01"),
        ("2024-03-01T12:00:00Z", "2024-03-01T12:00:00+00:00"),
        ("now", "now"),
        ("null", None),
    ],
)
def test_dates_need_no_quotes(tmp_path: Path, text: str, expected: str | None):
    path = tmp_path / "own.yaml"
    path.write_text(
        "name: own\ndataset: own\nlogs:\n  path: /logs\n"
        f"  latest_time: {text}\n"
    )
    assert load_config(path).logs.latest_time == expected


def test_errors_name_the_key(tmp_path: Path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "name: own\ndataset: own\nlogs:\n  path: /logs\n  format: csv\n"
    )
    with pytest.raises(SettingsError) as caught:
        load_config(path)
    assert "`format` must be delimited, json_lines or parquet" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("logs", "line"),
    [("", ""), ("logs:\n  header: true\n", ":3"), ("logs: {path: ''}\n", ":3")],
)
def test_the_folder_of_the_logs_has_no_default(
    tmp_path: Path, logs: str, line: str
):
    """Not the demo's: a model of a made-up shop would bear the own name."""
    path = tmp_path / "own.yaml"
    path.write_text(f"name: own\ndataset: own\n{logs}")
    with pytest.raises(SettingsError) as caught:
        load_config(path)
    assert str(caught.value).startswith(
        f"{path}{line}: Missing key `logs.path`"
    )
    assert load_config(path, ["logs.path=/logs"]).logs.path == "/logs"
    # A key that is written wrong comes first: it says what is meant.
    path.write_text("name: own\ndataset: own\nlog: {path: /logs}\n")
    with pytest.raises(SettingsError, match="Did you mean `logs`"):
        load_config(path)


def test_a_column_left_empty_is_a_name_or_a_number(tmp_path: Path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "name: own\ndataset: own\nlogs:\n  path: /logs\n  columns:\n    user:\n"
    )
    with pytest.raises(SettingsError) as caught:
        load_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:6: `logs.columns.user` must be str or")
    assert "int, found NoneType: None. (a key without a value" in message


def test_nulls_in_quotes(tmp_path: Path):
    settings = load_config(DEMO).logs
    assert settings.null_values == LogsConfig().null_values
    assert from_json(LogsConfig, to_json(settings)) == settings
    with pytest.raises(SettingsError, match=r"`logs.null_values\[0\]` must be"):
        load_config(DEMO, ["logs.null_values=[null]"])


def test_a_tabulator_is_written_in_double_quotes(tmp_path: Path):
    path = tmp_path / "own.yaml"
    text = "name: x\ndataset: x\nlogs: {path: /x, separator: %s}\n"
    path.write_text(text % r"'\t'")
    with pytest.raises(SettingsError, match=r"own.yaml:3: .*\"\\t\" in double"):
        load_config(path)
    path.write_text(text % r'"\t"')
    assert load_config(path).logs.separator == "\t"
