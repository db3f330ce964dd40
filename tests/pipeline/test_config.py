"""Settings: what is read, from where, and what the errors say."""

import dataclasses
import re
import typing
from pathlib import Path

import pytest
import yaml

from models.config import WeightSchedule
from models.settings import SettingsError, from_json, to_json
from pipeline.config import REPOSITORY, PipelineConfig, load_config

CONFIGS = REPOSITORY / "pipeline" / "configs"
DEMO = CONFIGS / "demo.yaml"
COMPLETE = sorted(
    path for path in CONFIGS.glob("*.yaml") if "_base" not in path.name
)
# Profiles by what is in the file name; the others are `sound`.
PROFILES = {"paper": "paper", "t2s": "time-to-split"}


def write(folder: Path, text: str, name: str = "own.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def error_of(path: Path, *overrides: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_config(path, overrides)
    return str(caught.value)


@pytest.mark.parametrize("path", COMPLETE, ids=lambda path: path.stem)
def test_shipped_configurations_load(path, monkeypatch):
    monkeypatch.setenv("CREATE_DATA_ROOT", "/logs")
    config = load_config(path)
    expected = next(
        (profile for mark, profile in PROFILES.items() if mark in path.stem),
        "sound",
    )
    assert config.profile == expected
    rules = (
        config.model.sequential.max_length,
        config.evaluation.seen_items,
        config.evaluation.item_universe,
        config.split.refit_users,
        config.split.min_user_events,
        config.split.min_development_events,
        config.split.min_test_history,
        config.graph.newest,
    )
    assert (
        rules
        == {
            "paper": (10, "kept", "log", "train", 3, 3, 2, 10),
            "sound": (
                50,
                "filtered",
                "catalogue",
                "development",
                1,
                2,
                0,
                None,
            ),
            "time-to-split": (
                128,
                "filtered",
                "log",
                "development",
                1,
                2,
                0,
                None,
            ),
        }[expected]
    )
    assert config.exclude_history == (expected != "paper")


def test_shipped_configurations_have_names_of_their_own(monkeypatch):
    monkeypatch.setenv("CREATE_DATA_ROOT", "/logs")
    names = [load_config(path).name for path in COMPLETE]
    assert len(set(names)) == len(names) >= 10


def test_sasrec_variant_differs_only_in_the_graph(monkeypatch):
    monkeypatch.setenv("CREATE_DATA_ROOT", "/logs")
    full = load_config(CONFIGS / "amazon_beauty_paper.yaml")
    alone = load_config(CONFIGS / "amazon_beauty_paper_sasrec.yaml")
    assert alone.model.graph.encoder == alone.model.alignment.kind == "none"
    assert alone.training.warmup_epochs == 0
    # of one size; how much is dropped is chosen for each on validation
    assert (
        dataclasses.replace(
            alone.model.sequential, dropout=full.model.sequential.dropout
        )
        == full.model.sequential
    )
    assert alone.split == full.split
    assert alone.evaluation == full.evaluation


def test_every_key_of_the_demo_is_explained():
    lines = DEMO.read_text().splitlines()
    for before, line in zip(lines, lines[1:], strict=False):
        if re.match(r"\s*(- )?\w+:", line):
            assert before.lstrip().startswith("#"), f"no comment: {line}"


def keys_of(cls, prefix=""):
    """Dotted names of all fields of a tree of dataclasses.

    Where a number may stand in the place of a group, the group's keys are
    explained beside the number.
    """
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        inner = [hint, *typing.get_args(hint)]
        yield f"{prefix}{field.name}"
        if float in inner:
            continue
        for candidate in inner:
            if dataclasses.is_dataclass(candidate):
                yield from keys_of(candidate, f"{prefix}{field.name}.")


def keys_in(tree, prefix=""):
    if isinstance(tree, list):
        for entry in tree:
            yield from keys_in(entry, prefix)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield f"{prefix}{key}"
            yield from keys_in(value, f"{prefix}{key}.")


def tuning_example():
    """The stages that the demo shows in a comment, as they would be read."""
    text = DEMO.read_text().split("For example")[1].split("  stages: []")[0]
    lines = [line.lstrip().removeprefix("#") for line in text.splitlines()]
    return yaml.safe_load("\n".join(lines[1:]))


def test_the_demo_shows_every_setting():
    shown = set(keys_in(yaml.safe_load(DEMO.read_text())))
    example = tuning_example()
    for stage in example["stages"]:
        # the names of the settings searched are anybody's
        stage["space"] = list(stage["space"].values())
        stage["settings"] = list(stage.get("settings", {}).values())
    shown |= set(keys_in({"tuning": example}))
    assert shown == set(keys_of(PipelineConfig))


def test_the_demos_search_can_be_taken_as_it_stands(tmp_path):
    path = tmp_path / "tuned.yaml"
    path.write_text(
        yaml.safe_dump({"base": str(DEMO), "tuning": tuning_example()})
    )
    stages = load_config(path).tuning.stages
    assert [stage.name for stage in stages] == ["sasrec", "create"]
    assert stages[0].space["training.learning_rate"].log


def test_a_run_trains_on_one_machine():
    with pytest.raises(SettingsError, match="a run of the pipeline trains on"):
        load_config(DEMO, ["training.distribution=multi_worker"])


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("model.sequental.dropout: {low: 0.1, high: 0.2}", "model.sequential"),
        (
            "model.sequential.dropot: {low: 0.1, high: 0.2}",
            "mean `dropout`|mean `model.sequential.dropout`",
        ),
        ("training.batch_size: {low: 0.5, high: 2.5}", "must be int"),
        ("training.patience: {low: 1, high: 4, step: 0.5}", "must be int"),
        ("split.quantile: {low: 0.5, high: 0.9}", "cannot be tuned"),
        ("training.seed: {low: 0, high: 9}", "luck"),
    ],
)
def test_a_search_for_what_is_no_setting_is_refused(tmp_path, space, message):
    path = tmp_path / "tuned.yaml"
    path.write_text(
        f"base: {DEMO}\ntuning:\n  stages:\n    - name: a\n      trials: 1\n"
        f"      space: {{{space}}}\n"
    )
    with pytest.raises(SettingsError, match=message) as error:
        load_config(path)
    assert "tuning.stages" in str(error.value)


@pytest.mark.parametrize(
    "group", ["model.sequential: {max_length: 50}", "model.graph: {l2: 0.1}"]
)
def test_a_whole_group_in_a_stage_is_refused(tmp_path, group):
    """It would get round the checks, and its other settings be defaults."""
    text = (
        f"base: {DEMO}\ntuning:\n  stages:\n    - name: a\n      trials: 1\n"
        "      space: {training.patience: {low: 2, high: 9}}\n"
        "      settings: {%s}\n"
    )
    message = error_of(write(tmp_path, text % group))
    assert "tuning.stages" in message
    assert "is a group of settings. Fix: name the setting itself" in message
    schedule = "model.global_weight: {start: 1, end: 0.5, epochs: 4}"
    load_config(write(tmp_path, text % schedule))
    message = error_of(write(tmp_path, text % "model.embedding_dim: {low: 4}"))
    assert "`model.embedding_dim` must be int, found dict" in message


@pytest.mark.parametrize("key", ["global_weight", "alignment_weight"])
def test_the_demo_explains_weights_that_change(key):
    text = DEMO.read_text()
    comment = text[: text.index(f"\n  {key}:")].rsplit("\n  alignment", 1)[-1]
    for field in dataclasses.fields(WeightSchedule):
        assert re.search(rf"# .*\b{field.name}\b", comment)


def test_a_weight_is_a_number_or_a_schedule():
    config = load_config(
        DEMO,
        [
            "model.global_weight={start: 1, end: 0.5, epochs: 4}",
            "model.alignment_weight=1",
        ],
    )
    assert config.model.global_weight == WeightSchedule(1.0, 0.5, 4, "linear")
    assert config.model.alignment_weight == 1.0
    again = from_json(type(config.model), to_json(config.model))
    assert again == config.model


def test_unknown_key_names_file_line_and_nearest_key(tmp_path):
    path = write(tmp_path, "name: x\ndataset: x\nmodel:\n  sequental: {}\n")
    message = error_of(path)
    assert message.startswith(f"{path}:4: Unknown key `model.sequental`.")
    assert "Did you mean `sequential`?" in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.seed=many", "`training.seed` must be int, found str"),
        ("training.seed=true", "`training.seed` must be int, found bool"),
        (
            "training.seed=2147483648",
            "`seed` must lie in [-2147483648, 2147483647], found 2147483648",
        ),
        ("training.seed=-2147483649", "found -2147483649"),
        ("evaluation.seed=-1", "`seed` must be at least 0, found -1"),
        ("training.learning_rate=1e-3", "write 1.0e-3"),
        ("logs.header=1", "`logs.header` must be bool, found int"),
        ("model.sequential.dropout=2", "must lie in [0.0, 0.99]"),
        ("name=Demo", "lower-case"),
        ("beam.num_workers=2", "multi_threading"),
        ("beam.running_mode=spark", "in_memory, multi_threading"),
        ("model.graph.encoder=none", "`model.alignment.kind` must be none"),
        ("model.global_weight=1e-1", "must be float"),
        ("model.global_weight=-1", "`global_weight` must be at least 0.0"),
        ("model.global_weight=0", "must be above 0 in the warm-up"),
        ("model.global_weight={start: 1}", "Missing key `model.global_weight."),
        (
            "model.global_weight={start: 0, end: 1, epochs: 2}",
            "`model.global_weight` must be above 0 in the warm-up",
        ),
        (
            "model.alignment_weight={start: 0, end: 1, epochs: 0}",
            "`model.alignment_weight`: `epochs` must be at least 1",
        ),
        (
            "model.alignment_weight={start: 0, stop: 1, epochs: 1}",
            "Unknown key `model.alignment_weight.stop`",
        ),
        ("training.validate_every=5", "is more than `patience` 4"),
        ("training.warmup_steps=9", "set `warmup_epochs` to 0 or"),
        ("training.warmup_steps=0", "`warmup_steps` must be at least 1"),
        ("training.warmup_patience=2", "can never end a warm-up of at most 2"),
        ("training.learning_rate_decay=step", "none, cosine, linear"),
        ("training.graph_learning_rate=0", "must be positive"),
        ("training.clip_norm=.inf", "`clip_norm` must be a finite number"),
        ("model.alignment_weight=.inf", "must be a finite number, found inf"),
        ("model.init_stddev=0", "`init_stddev` must be positive, found 0.0"),
        ("evaluation.thresholds=[{metric: hits}]", "ndcg_at_10, recall_at_10"),
        (
            "evaluation.thresholds=[{metric: mrr_at_10}]",
            "Did you mean mrr_at_1",
        ),
        ("evaluation.thresholds=[{baseline: best}]", "most_popular"),
        ("evaluation.targets=[first]", "must be one of first (see `targets`)"),
        ("serving.default_k=0", "at least 1"),
        ("serving.index=faiss", "`serving`: `index` must be one of exact"),
        (
            "serving.scann.candidates=8",
            "`serving.scann`: `candidates` must be from 16",
        ),
        ("seed", "expected key=value"),
        ("name.first=x", "not a group of settings"),
    ],
)
def test_bad_values_are_refused_in_words(override, words):
    assert words in error_of(DEMO, override)


def test_an_approximate_index_is_what_the_metrics_are_of():
    few = "serving.scann.candidates=199"
    message = error_of(DEMO, "serving.index=scann", few)
    assert "(199) must be at least twice the largest" in message
    assert "raise `candidates` to 200" in message
    load_config(DEMO, [few])
    load_config(DEMO, ["serving.index=scann", "evaluation.cutoffs=[10]", few])
    # The fix that the message names is one.
    enough = "serving.scann.candidates=200"
    load_config(DEMO, ["serving.index=scann", enough])


def test_warm_up_needs_a_graph():
    message = error_of(
        DEMO, "model.graph.encoder=none", "model.alignment.kind=none"
    )
    assert "`training.warmup_epochs` must be 0" in message
    line = DEMO.read_text().splitlines().index("  warmup_epochs: 2") + 1
    assert f"demo.yaml:{line}:" in message


@pytest.mark.parametrize("tower", ["graph", "sequential"])
def test_warm_up_by_steps_needs_both_towers(tower):
    message = error_of(
        DEMO,
        f"model.{tower}.encoder=none",
        "model.alignment.kind=none",
        "training.warmup_epochs=0",
        "training.warmup_steps=10",
    )
    assert "`training.warmup_steps` must be null" in message
    assert message.startswith("--set training.warmup_steps=10")


def test_only_one_key_says_when_the_warm_up_ends():
    for overrides, words in (
        (["warmup_steps=9", "warmup_patience=2"], "set one of them to null"),
        (["warmup_epochs=0", "warmup_patience=2"], "as the most epochs"),
    ):
        message = error_of(DEMO, *(f"training.{text}" for text in overrides))
        assert words in message
    for overrides in (
        ["warmup_epochs=0", "warmup_steps=9"],
        ["warmup_epochs=9", "warmup_patience=2"],
    ):
        load_config(DEMO, [f"training.{text}" for text in overrides])


def test_a_graph_alone_needs_a_weight():
    alone = [
        "model.sequential.encoder=none",
        "model.alignment.kind=none",
        "training.warmup_epochs=0",
    ]
    message = error_of(DEMO, *alone, "model.global_weight=0")
    assert "must be above 0 in the graph tower" in message
    load_config(DEMO, alone)
    # In every epoch, not in the first alone.
    message = error_of(
        DEMO, *alone, "model.global_weight={start: 1, end: 0, epochs: 3}"
    )
    assert "must be above 0 in the graph tower" in message


def test_patience_has_room_for_a_second_validation():
    """With both at 4 epochs 4 and 8 are validated before it runs out."""
    config = load_config(DEMO, ["training.validate_every=4"])
    assert config.training.patience == 4


def test_a_repeated_key_is_an_error_with_both_lines(tmp_path):
    path = write(tmp_path, "name: x\ndataset: d\nname: y\n")
    assert error_of(path) == (
        f"{path}:3: `name` is given twice, first at {path}:1."
    )


def test_broken_yaml_names_the_line(tmp_path):
    path = write(tmp_path, "name: x\nlogs: [1\nsplit: 2\n")
    assert error_of(path).startswith(f"{path}:3: not valid YAML")


@pytest.mark.parametrize(
    ("lines", "fix"),
    [
        ("logs:\n  pattern: *.csv\n", '`pattern: "*.csv"`'),
        ("logs:\n  {path: /x, pattern: *.csv}\n", '`pattern: "*.csv"`'),
        ("logs:\n  pattern: [a.csv, **/*.csv]\n", '`"**/*.csv"`'),
        ("pattern:\n    - **/*.csv\n", '`"**/*.csv"`'),
    ],
)
def test_a_pattern_wants_quotes(tmp_path, lines, fix):
    """An asterisk begins an alias in YAML."""
    path = write(tmp_path, f"name: x\n{lines}")
    message = error_of(path)
    assert message.startswith(f"{path}:3: not valid YAML")
    assert message.endswith(f"Fix: quote the value: {fix}.")
    message = error_of(DEMO, "logs.pattern=*.csv")
    assert """'logs.pattern="*.csv"'""" in message


def test_tabs_are_no_indentation(tmp_path):
    path = write(tmp_path, "name: x\ntraining:\n\tseed: 1\n")
    message = error_of(path)
    assert message.startswith(f"{path}:3: not valid YAML")
    assert message.endswith("Fix: indent with spaces, not with tabs.")


def test_a_date_that_does_not_exist_names_the_line(tmp_path):
    path = write(tmp_path, "name: x\nsplit:\n  test_date: 2024-02-31\n")
    wanted = "2024-02-31 cannot be read: day is out of range for month."
    assert error_of(path) == f"{path}:3: {wanted}"
    override = "split.test_date=2024-02-31"
    assert error_of(DEMO, override) == f"--set {override}: {wanted}"


def test_a_group_without_keys_is_said_to_be_empty(tmp_path):
    """As where all of its keys are commented out."""
    path = write(tmp_path, "name: x\ndataset: x\ntraining:\n  # seed: 1\n")
    message = error_of(path)
    assert message.startswith(f"{path}:3: `training` must be a mapping")
    assert message.endswith("(a key without a value in YAML)")


def test_the_epoch_is_chosen_by_the_rule_that_is_measured():
    message = error_of(DEMO, "evaluation.seen_items=kept")
    assert "`training.filter_seen` is true, but" in message
    assert "set `training.filter_seen` to false" in message
    both = ["evaluation.seen_items=kept", "training.filter_seen=false"]
    assert not load_config(DEMO, both).exclude_history


def test_the_rules_of_no_profile_bear_no_profiles_name(tmp_path):
    path = write(tmp_path, "name: x\ndataset: d\nlogs: {path: /d}\n")
    assert load_config(path).profile == "custom"


def test_missing_file_lists_the_files_there(tmp_path):
    write(tmp_path, "name: x\n", "mine.yaml")
    assert "mine.yaml" in error_of(tmp_path / "mein.yaml")


def test_missing_file_suggests_the_one_that_is_meant(tmp_path):
    for name in ("shop_paper.yaml", "demo.yaml"):
        (tmp_path / name).touch()
    with pytest.raises(SettingsError, match=r"Did you mean shop_paper\.yaml\?"):
        load_config(tmp_path / "shop_papr.yaml")


def test_missing_name_is_named(tmp_path):
    path = write(tmp_path, "dataset: x\n")
    assert error_of(path) == f"{path}: Missing key `name`."


def test_base_is_merged_key_by_key_and_lists_replaced(tmp_path):
    write(
        tmp_path,
        "dataset: d\nlogs: {path: /logs}\n"
        "training:\n  seed: 3\n  batch_size: 7\n"
        "evaluation:\n  cutoffs: [10, 50]\n",
        "base.yaml",
    )
    path = write(
        tmp_path,
        "base: base.yaml\nname: x\ntraining:\n  seed: 4\n"
        "evaluation:\n  cutoffs: [10]\n",
    )
    config = load_config(path)
    assert config.dataset == "d"
    assert (config.training.seed, config.training.batch_size) == (4, 7)
    assert config.evaluation.cutoffs == (10,)


def test_an_error_in_the_base_names_the_base(tmp_path):
    base = write(tmp_path, "training:\n  sed: 3\n", "base.yaml")
    path = write(tmp_path, "base: base.yaml\nname: x\ndataset: x\n")
    assert error_of(path).startswith(f"{base}:2: Unknown key `training.sed`")


def test_bases_in_a_circle_are_an_error(tmp_path):
    path = write(tmp_path, "base: other.yaml\n")
    write(tmp_path, "base: own.yaml\n", "other.yaml")
    assert "leads back to this file" in error_of(path)


def test_overrides_win_and_are_typed():
    config = load_config(
        DEMO,
        [
            "training.seed=5",
            "graph.newest=10",
            "evaluation.targets=[last]",
            "name=other",
            "split.test_date=null",
        ],
    )
    assert config.training.seed == 5
    assert config.graph.newest == 10
    assert config.evaluation.targets == ("last",)
    assert config.name == "other"
    assert config.split.test_date is None


def test_environment_variable_in_the_path(tmp_path, monkeypatch):
    path = write(
        tmp_path, "name: x\ndataset: x\nlogs:\n  path: ${MY_LOGS}/shop\n"
    )
    monkeypatch.setenv("MY_LOGS", "/data")
    assert load_config(path).logs.path == "/data/shop"
    monkeypatch.delenv("MY_LOGS")
    message = error_of(path)
    assert message.startswith(f"{path}:4: ")
    assert "export MY_LOGS=" in message


def test_environment_variable_with_a_default(monkeypatch):
    override = "logs.path=${MY_LOGS:-/fallback}/x"
    monkeypatch.delenv("MY_LOGS", raising=False)
    assert load_config(DEMO, [override]).logs.path == "/fallback/x"
    monkeypatch.setenv("MY_LOGS", "")  # as a shell has it
    assert load_config(DEMO, [override]).logs.path == "/fallback/x"
    monkeypatch.setenv("MY_LOGS", "/given")
    assert load_config(DEMO, [override]).logs.path == "/given/x"


def test_relative_paths_start_at_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(DEMO)
    assert config.logs.path == str(REPOSITORY / "data/demo")
    assert config.runs_dir == str(REPOSITORY / "runs")
    config = load_config(DEMO, [f"runs_dir={tmp_path}", "logs.path=gs://b/l"])
    assert config.runs_dir == str(tmp_path)
    assert config.logs.path == "gs://b/l"
