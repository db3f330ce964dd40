"""The demo shop has the signals its docstring promises."""

import dataclasses
import gzip
import hashlib
import pathlib

import numpy as np
import pandas as pd
import pytest

from pipeline import demo_logs
from pipeline.demo_logs import DemoCounts, write_demo_logs
from pipeline.demo_shop import DemoConfig

SMALL = DemoConfig(users=60, items=50, events=900, days=70, seed=3)


@dataclasses.dataclass(frozen=True)
class Shop:
    folder: pathlib.Path
    counts: DemoCounts
    events: pd.DataFrame
    cut: int


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("demo")
    counts = write_demo_logs(str(folder), DemoConfig())
    events = _usable(_lines(folder))
    return Shop(folder, counts, events, int(events.time.quantile(0.8)))


def _lines(folder: pathlib.Path) -> list[str]:
    lines = []
    for path in sorted(folder.iterdir()):
        header, *rows = gzip.decompress(path.read_bytes()).decode().split("\n")
        assert header == "user_id,item_id,timestamp"
        assert rows.pop() == ""
        lines += rows
    return lines


def _usable(lines: list[str]) -> pd.DataFrame:
    fields = [line.split(",") for line in lines]
    good = [
        row
        for row in fields
        if len(row) == 3 and row[0] and row[1] and row[2].isdigit()
    ]
    events = pd.DataFrame(good, columns=["user", "item", "time"])
    events["time"] = events["time"].astype(int)
    return events.sort_values(["user", "time"], kind="stable")


def _digest(folder: pathlib.Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def test_counts_are_those_of_the_files(shop: Shop):
    lines = _lines(shop.folder)
    assert shop.counts == DemoCounts(
        files=len(list(shop.folder.iterdir())),
        rows=len(lines),
        events=len(shop.events),
        broken=len(lines) - len(shop.events),
        users=shop.events.user.nunique(),
        items=shop.events.item.nunique(),
    )
    assert shop.counts.files == 7
    assert shop.counts.events == 80_000
    assert shop.counts.users == 3000
    assert shop.counts.items > 1150
    assert 0.001 <= shop.counts.broken / shop.counts.rows <= 0.002


def test_every_kind_of_damage_occurs(shop: Shop):
    fields = [line.split(",") for line in _lines(shop.folder)]
    assert {len(row) for row in fields} == {2, 3, 4}
    three = [row for row in fields if len(row) == 3]
    for column in range(3):
        assert any(not row[column] for row in three)
    assert any(row[2] and not row[2].isdigit() for row in three)


def test_events_last_the_days_asked_for(shop: Shop):
    days = (shop.events.time - 1_704_067_200) / 86_400
    assert 0 <= days.min() < 2
    assert 198 < days.max() < 200


def test_users_and_items_appear_late_and_users_come_back(shop: Shop):
    first = shop.events.groupby("user").time.min()
    last = shop.events.groupby("user").time.max()
    half = shop.events.time.quantile(0.5)
    assert (first > half).mean() > 0.1
    assert (shop.events.groupby("item").time.min() > half).sum() > 50
    known = first <= shop.cut
    assert (last[known] > shop.cut).mean() > 0.5


def test_popularity_drifts(shop: Shop):
    early = shop.events[shop.events.time <= shop.events.time.quantile(0.25)]
    late = shop.events[shop.events.time > shop.events.time.quantile(0.75)]
    top = [set(part.item.value_counts().index[:100]) for part in (early, late)]
    assert len(top[0] & top[1]) < 60


def test_order_beats_sets_and_both_beat_popularity(shop: Shop):
    """First-order transitions, item-to-item cosine and popularity.

    All are counted before the 0.8-quantile cut and asked for the last event
    of users with events before and after it, seen items left out.
    """
    events = shop.events
    before = events[events.time <= shop.cut]
    catalogue = pd.Index(sorted(before.item.unique()))
    num_items = len(catalogue)
    popularity = before.item.value_counts().reindex(catalogue).to_numpy(float)
    codes = catalogue.get_indexer(before.item)
    same_user = before.user.to_numpy()[1:] == before.user.to_numpy()[:-1]
    transitions = np.zeros((num_items, num_items))
    np.add.at(transitions, (codes[:-1][same_user], codes[1:][same_user]), 1.0)
    users = before.user.factorize()[0]
    incidence = np.zeros((users.max() + 1, num_items), np.float32)
    incidence[users, codes] = 1.0
    together = incidence.T @ incidence
    norms = np.sqrt(np.diag(together))
    cosine = together / np.outer(norms, norms)
    np.fill_diagonal(cosine, 0.0)

    known = set(before.user)
    gains: dict[str, list[float]] = {"popular": [], "sets": [], "order": []}
    for user, history in events.groupby("user").item:
        last = events.time.loc[history.index[-1]]
        if user not in known or last <= shop.cut:
            continue
        items = catalogue.get_indexer(history)
        target, inputs = items[-1], items[:-1][items[:-1] >= 0]
        tie_break = popularity / popularity.sum()
        scores = {
            "popular": popularity.copy(),
            "sets": cosine[inputs].sum(axis=0),
            "order": transitions[inputs[-1]] + tie_break,
        }
        for name, values in scores.items():
            values[inputs] = -1.0
            rank = (values > values[target]).sum() if target >= 0 else 10
            gains[name].append(1 / np.log2(rank + 2) if rank < 10 else 0.0)
    ndcg = {name: float(np.mean(values)) for name, values in gains.items()}
    print(len(gains["popular"]), ndcg)
    assert len(gains["popular"]) > 1000
    assert ndcg["sets"] > 2 * ndcg["popular"]
    assert ndcg["order"] > 1.2 * ndcg["sets"]
    assert 0.12 < ndcg["order"] < 0.35


def test_the_seed_fixes_every_byte(tmp_path: pathlib.Path):
    for name in ("a", "b"):
        write_demo_logs(str(tmp_path / name), SMALL)
    write_demo_logs(str(tmp_path / "c"), dataclasses.replace(SMALL, seed=4))
    digests = [_digest(tmp_path / name) for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


def test_a_second_run_replaces_its_files_and_no_others(tmp_path: pathlib.Path):
    (tmp_path / "notes.txt").write_text("mine")
    write_demo_logs(str(tmp_path), SMALL)
    write_demo_logs(str(tmp_path), dataclasses.replace(SMALL, days=20))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "events-2024-01.csv.gz",
        "notes.txt",
    ]


def test_command_line(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    sizes = "--users 60 --items 50 --events 900 --days 70 --seed 3".split()
    demo_logs.main(["--output", str(tmp_path), *sizes])
    assert "3 files, 901 rows (900 events, 1 broken)" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="at least 3 per user, 180"):
        demo_logs.main(["--output", str(tmp_path), *sizes, "--events", "100"])
