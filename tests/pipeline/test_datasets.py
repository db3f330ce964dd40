"""The catalogue of datasets, and what its commands print and return."""

import dataclasses
import gzip
import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from components.history_example_gen.config import LogsConfig
from models.settings import SettingsError
from pipeline import datasets
from pipeline.config import REPOSITORY, load_config
from pipeline.dataset_catalogue import (
    CATALOGUE,
    Counts,
    KnownDifference,
    load_catalogue,
)
from pipeline.dataset_files import (
    FoundFile,
    configurations,
    find_file,
    overrides,
)
from pipeline.dataset_views import format_commands

REAL = load_catalogue()
CONFIGS = REPOSITORY / "pipeline" / "configs"
CONFIGURATIONS = configurations()

# Table 1 of arXiv:2602.23471: users, items, interactions.
TABLE_1 = {
    "movielens-1m": (6040, 3706, 1_000_209),
    "amazon-clothing": (39_387, 23_033, 278_677),
    "amazon-sports": (35_598, 18_357, 296_337),
    "amazon-beauty": (22_363, 12_101, 198_502),
    "yambda-50m-likes": (8283, 181_304, 881_456),
}
# Two users, three items, four events.
EVENTS = [("u1", "a", 10), ("u2", "b", 20), ("u1", "b", 30), ("u2", "c", 40)]


def catalogue_of(name, counts, **changes):
    """The real catalogue with one dataset only, and other counts."""
    dataset = dataclasses.replace(
        REAL.datasets[name], counts=Counts(*counts), **changes
    )
    return dataclasses.replace(REAL, datasets={name: dataset})


def write_events(path, layout, events=EVENTS):
    path.parent.mkdir(exist_ok=True)
    if layout == "yambda":
        users, items, times = zip(*events, strict=True)
        numbers = {"uid": [int(user[1:]) for user in users]}
        numbers |= {"item_id": [ord(item) for item in items]}
        numbers |= {"timestamp": times, "is_organic": [1] * len(times)}
        pyarrow.parquet.write_table(pa.table(numbers), path)
        return
    lines = {
        "interactions": ["user_id,item_id,rating,timestamp"]
        + [f"{user},{item},1,{time}" for user, item, time in events],
        "movielens_colons": [f"{u}::{i}::5::{t}" for u, i, t in events],
        "movielens_tabs": [f"{u}\t{i}\t5\t{t}" for u, i, t in events],
        "amazon_reviews": [
            json.dumps(
                {
                    "reviewerID": user,
                    "asin": item,
                    "helpful": [0, 0],
                    "reviewText": 'a "quote", a comma\n',
                    "overall": 5.0,
                    "unixReviewTime": time,
                }
            )
            for user, item, time in events
        ],
    }[layout]
    path.write_bytes(gzip.compress("".join(f"{x}\n" for x in lines).encode()))


def run(capsys, *argv, catalogue=None):
    code = datasets.main(list(argv), catalogue)
    out, err = capsys.readouterr()
    return code, out, err


# The catalogue


def test_counts_are_those_of_table_1():
    assert {
        name: dataclasses.astuple(dataset.counts)
        for name, dataset in REAL.datasets.items()
        if dataset.in_table_1
    } == TABLE_1


def test_every_dataset_has_its_configurations():
    claimed = []
    for name in REAL.datasets:
        stems = [path.stem for path in CONFIGURATIONS[name]]
        assert len(stems) >= 3
        for ending in ("_paper", "_paper_sasrec", "_sound"):
            assert sum(stem.endswith(ending) for stem in stems) == 1
        claimed += stems
    every = {
        path.stem
        for path in CONFIGS.glob("*.yaml")
        if path.stem.startswith(("amazon_", "movielens_", "yambda_"))
    }
    assert sorted(claimed) == sorted(every)


@pytest.mark.parametrize("name", REAL.datasets)
def test_configurations_read_a_file_of_the_catalogue(
    name, tmp_path, monkeypatch
):
    monkeypatch.setenv("CREATE_DATA_ROOT", str(tmp_path))
    dataset = REAL.datasets[name]
    layouts = {n: file.layout for file in dataset.files for n in file.names}
    for path in CONFIGURATIONS[name]:
        config = load_config(path)
        assert config.dataset == name
        assert config.name == path.stem.replace("_", "-")
        assert config.logs.path == str(tmp_path / dataset.folder)
        layout = REAL.layouts[layouts[config.logs.pattern]]
        assert reading(config.logs) == reading(layout)


def reading(logs: LogsConfig):
    """What of `logs` says how a file is read."""
    default = LogsConfig()
    return dataclasses.replace(
        logs, path="", pattern="*", keep=default.keep, num_buckets=1
    )


SASREC = [
    path
    for paths in CONFIGURATIONS.values()
    for path in paths
    if path.stem.endswith("_sasrec")
]


def test_every_dataset_has_sasrec_alone():
    assert {name for name in CONFIGURATIONS if name in REAL.datasets} == {
        name
        for name, paths in CONFIGURATIONS.items()
        if any(path in SASREC for path in paths)
    }


@pytest.mark.parametrize("path", SASREC, ids=lambda path: path.stem)
def test_sasrec_differs_only_in_the_graph(path, monkeypatch):
    monkeypatch.setenv("CREATE_DATA_ROOT", "/data")
    sasrec = load_config(path)
    full = load_config(
        path.with_name(path.name.replace("_sasrec.yaml", ".yaml"))
    )
    assert sasrec.model.graph.encoder == sasrec.model.alignment.kind == "none"
    as_full = dataclasses.replace(
        sasrec,
        name=full.name,
        model=dataclasses.replace(
            sasrec.model,
            graph=full.model.graph,
            alignment=full.model.alignment,
            # chosen on validation for each
            sequential=dataclasses.replace(
                sasrec.model.sequential,
                dropout=full.model.sequential.dropout,
            ),
        ),
        training=dataclasses.replace(
            sasrec.training,
            warmup_epochs=full.training.warmup_epochs,
            max_epochs=full.training.max_epochs,
        ),
    )
    assert as_full == full


@pytest.mark.parametrize("name", REAL.datasets)
def test_overrides_make_a_configuration_read_any_layout(
    name, tmp_path, monkeypatch
):
    monkeypatch.setenv("CREATE_DATA_ROOT", str(tmp_path))
    dataset = REAL.datasets[name]
    (tmp_path / dataset.folder).mkdir()
    for file in dataset.files:
        path = tmp_path / dataset.folder / file.names[0]
        path.touch()
        found = find_file(REAL, dataset, tmp_path, file.layout)
        assert found is not None and found.path == path
        for config_path in CONFIGURATIONS[name]:
            changes = overrides(found.logs, config_path)
            assert not any(" " in change for change in changes)
            logs = load_config(config_path, changes).logs
            assert (logs.path, logs.pattern) == (
                str(path.parent),
                file.names[0],
            )
            assert reading(logs) == reading(found.logs)
            if load_config(config_path).logs.pattern == file.names[0]:
                assert changes == []


def test_commands_name_the_folder_and_the_changes(monkeypatch):
    monkeypatch.delenv("CREATE_DATA_ROOT", raising=False)
    dataset = REAL.datasets["movielens-1m"]
    logs = dataclasses.replace(
        REAL.layouts["movielens_colons"], pattern="ratings.dat"
    )
    found = FoundFile(Path("/my data/ml-1m"), dataset.files[0], logs)
    text = format_commands("movielens-1m", found, Path("/my data"))
    assert (
        "  CREATE_DATA_ROOT='/my data' make run "
        "CONFIG=pipeline/configs/movielens_1m_paper.yaml "
        "SET=logs.pattern=ratings.dat\n"
    ) in text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("layout: yambda", "layout: yambada", "`datasets.yambda-50m-likes"),
        ("publisher: yandex", "publisher: y", "one of grouplens, mcauley"),
        ("url: https", "url: ftp", "`url` must be https"),
        ("digest: md5:", "digest: md5:0", "`digest` must be md5: or sha256:"),
        ("users: 6040", "users: many", "must be int"),
        ("in_table_1: true", "in_table: true", "Did you mean `in_table_1`?"),
    ],
)
def test_a_wrong_catalogue_names_the_line(old, new, words, tmp_path):
    text = CATALOGUE.read_text()
    assert old in text
    path = tmp_path / "own.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(SettingsError) as caught:
        load_catalogue(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")


# list and show


def test_list_says_what_is_found(tmp_path, capsys):
    write_events(tmp_path / "ml-100k" / "u.data", "movielens_tabs")
    write_events(
        tmp_path / "amazon-beauty" / "interactions.csv.gz", "interactions"
    )
    code, out, _ = run(capsys, "--root", str(tmp_path))
    lines = {line.split()[0]: line for line in out.splitlines()[1:9]}
    assert code == 0
    assert list(lines) == list(REAL.datasets)
    assert lines["movielens-100k"].split()[1:4] == ["943", "1,682", "100,000"]
    assert "  movielens_tabs  " in lines["movielens-100k"]
    assert "  interactions  " in lines["amazon-beauty"]
    assert "  -  " in lines["movielens-1m"]
    shipped = len(list(CONFIGS.glob("movielens_1m_*.yaml")))
    assert lines["movielens-1m"].endswith(f"movielens_1m_* ({shipped})")
    assert "no redistribution" in lines["movielens-1m"]
    assert "Apache-2.0" in lines["yambda-50m-likes"]
    assert f"Files: in {tmp_path}" in out


def test_list_works_without_a_data_folder(capsys, monkeypatch):
    monkeypatch.delenv("CREATE_DATA_ROOT", raising=False)
    code, out, _ = run(capsys)
    assert code == 0
    assert "CREATE_DATA_ROOT is not set" in out
    assert run(capsys, "list")[1] == out


@pytest.mark.parametrize("name", REAL.datasets)
def test_show_has_what_a_person_needs(name, tmp_path, capsys):
    code, out, _ = run(capsys, "show", name, "--root", str(tmp_path))
    dataset = REAL.datasets[name]
    assert code == 0
    words = " ".join(out.split())
    for text in (
        dataset.page,
        dataset.download.url,
        REAL.publisher(dataset).terms,
        REAL.publisher(dataset).citation,
        f"{dataset.counts.events:,} events",
        str(tmp_path / dataset.folder),
        *dataset.notes,
    ):
        assert text in words
    assert "found no" in words and "Run it" not in out


def test_show_tells_the_known_traps(capsys):
    beauty = " ".join(run(capsys, "show", "amazon-beauty")[1].split())
    assert "1996-2018" in beauty and "2014 5-core files" in beauty
    movies = " ".join(run(capsys, "show", "movielens-1m")[1].split())
    assert "3,706" in movies and "3,416" in movies
    clothing = " ".join(run(capsys, "show", "amazon-clothing")[1].split())
    assert "39,230 users, 22,948 items, 277,534 events" in clothing


@pytest.mark.parametrize("command", ["show", "check", "download"])
def test_an_unknown_name_gets_a_suggestion(command, capsys):
    code, out, err = run(capsys, command, "amazon-beuty")
    assert code == 2
    assert out == ""
    assert "Did you mean amazon-beauty? Known: movielens-1m, " in err


@pytest.mark.parametrize(
    ("root", "words"),
    [
        (None, "Fix: export CREATE_DATA_ROOT=/path/to/data"),
        ("/no/such/folder", "Fix: mkdir -p /no/such/folder"),
    ],
)
def test_a_missing_data_folder_has_a_fix(root, words, capsys, monkeypatch):
    monkeypatch.delenv("CREATE_DATA_ROOT", raising=False)
    if root:
        monkeypatch.setenv("CREATE_DATA_ROOT", root)
    for command in (["check"], ["download", "amazon-office"]):
        code, _, err = run(capsys, *command)
        assert code == 2
        assert words in err


# check


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("movielens-1m", "movielens_colons"),
        ("movielens-100k", "movielens_tabs"),
        ("amazon-office", "amazon_reviews"),
        ("amazon-office", "interactions"),
        ("yambda-50m-likes", "yambda"),
    ],
)
def test_check_counts_every_layout(name, layout, tmp_path, capsys):
    catalogue = catalogue_of(name, (2, 3, 4))
    dataset = catalogue.datasets[name]
    (file,) = (file for file in dataset.files if file.layout == layout)
    write_events(tmp_path / dataset.folder / file.names[0], layout)
    code, out, _ = run(
        capsys, "check", name, "--root", str(tmp_path), catalogue=catalogue
    )
    assert code == 0
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["users", "ok", "2"],
        ["items", "ok", "3"],
        ["events", "ok", "4"],
    ]


def test_check_fails_where_one_count_differs(tmp_path, capsys):
    catalogue = catalogue_of("movielens-1m", (2, 3, 1004))
    write_events(tmp_path / "ml-1m" / "ratings.dat.gz", "movielens_colons")
    code, out, _ = run(
        capsys, "check", "--root", str(tmp_path), catalogue=catalogue
    )
    assert code == 1
    assert "events  DIFFERENT  found 4, expected 1,004" in out
    assert out.count("DIFFERENT") == 1


def test_check_knows_a_copy_by_all_its_counts(tmp_path, capsys):
    name = "amazon-clothing"
    original, copy = REAL.datasets[name].files
    write_events(tmp_path / name / "interactions.csv.gz", "interactions")
    for counts, code in (((2, 3, 4), 0), ((2, 3, 5), 1)):
        known = KnownDifference(Counts(*counts), "a copy without titles")
        catalogue = catalogue_of(
            name,
            (9, 9, 9),
            files=(original, dataclasses.replace(copy, differs=known)),
        )
        result = run(
            capsys, "check", "--root", str(tmp_path), catalogue=catalogue
        )
        assert result[0] == code
        assert result[1].count("DIFFERENT") == 3
        assert ("known: a copy without titles" in result[1]) == (code == 0)


def test_check_takes_the_publishers_file_first(tmp_path, capsys):
    folder = tmp_path / "ml-1m"
    write_events(folder / "ratings.dat.gz", "movielens_colons")
    write_events(folder / "interactions.csv.gz", "interactions", EVENTS[:1])
    catalogue = catalogue_of("movielens-1m", (2, 3, 4))
    arguments = ("check", "--root", str(tmp_path))
    code, out, _ = run(capsys, *arguments, catalogue=catalogue)
    assert code == 0 and "ratings.dat.gz" in out
    arguments += ("movielens-1m", "--layout", "interactions")
    code, out, _ = run(capsys, *arguments, catalogue=catalogue)
    assert code == 1 and "found 1, expected 4" in out
    arguments = ("check", "--root", str(tmp_path), "--layout", "csv")
    code, _, err = run(capsys, *arguments, catalogue=catalogue)
    assert code == 2 and "no layout 'csv'" in err


def test_check_says_what_became_of_other_rows(tmp_path, capsys):
    catalogue = catalogue_of("movielens-100k", (2, 3, 4))
    events = [*EVENTS * 50, ("u3", "d", "soon")]
    write_events(tmp_path / "ml-100k" / "u.data.gz", "movielens_tabs", events)
    code, out, _ = run(
        capsys, "check", "--root", str(tmp_path), catalogue=catalogue
    )
    assert code == 1
    assert "events  DIFFERENT  found 200, expected 4" in out
    assert "201 rows" in out and "200 used" in out


def test_check_reports_a_damaged_file_and_goes_on(tmp_path, capsys):
    whole = catalogue_of("movielens-100k", (2, 3, 4))
    other = catalogue_of("movielens-1m", (2, 3, 4))
    catalogue = dataclasses.replace(
        REAL, datasets={**other.datasets, **whole.datasets}
    )
    write_events(tmp_path / "ml-100k" / "u.data.gz", "movielens_tabs")
    broken = tmp_path / "ml-1m" / "ratings.dat.gz"
    write_events(broken, "movielens_colons")
    broken.write_bytes(broken.read_bytes()[:-12])
    code, out, _ = run(
        capsys, "check", "--root", str(tmp_path), catalogue=catalogue
    )
    assert code == 1
    assert "damaged" in out and "Traceback" not in out
    assert out.count(" ok ") == 3


def test_nothing_to_check_is_an_error(tmp_path, capsys):
    code, out, err = run(capsys, "check", "--root", str(tmp_path))
    assert code == 1
    assert out.count(": not in ") == 8
    assert "download NAME" in err
    code, out, err = run(
        capsys, "check", "amazon-office", "--root", str(tmp_path)
    )
    assert code == 1
    assert "reviews_Office_Products_5.json.gz" in out


@pytest.mark.data
def test_check_of_the_data_at_hand(capsys):
    root = os.environ.get("CREATE_DATA_ROOT")
    if not root:
        pytest.skip("CREATE_DATA_ROOT names no folder of datasets")
    present = [
        name
        for name, dataset in REAL.datasets.items()
        if find_file(REAL, dataset, Path(root), None)
    ]
    if not present:
        pytest.skip("no known dataset in CREATE_DATA_ROOT")
    code, out, _ = run(capsys, "check", *present)
    assert code == 0, out
    blocks = re.split(r"\n(?=\S)", out.strip())
    for name, block in zip(present, blocks, strict=True):
        copy = name == "amazon-clothing" and "interactions.csv.gz" in block
        assert block.startswith(f"{name}: {root}")
        assert block.count(" ok ") == (0 if copy else 3), block
        assert block.count("DIFFERENT") == (3 if copy else 0), block
        assert ("known: " in block) == copy
