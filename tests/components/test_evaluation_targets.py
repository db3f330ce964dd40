"""Every target rule through the whole evaluator, against plain Python."""

import dataclasses
import html
import json
import re
import tracemalloc
import weakref
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components import histories as histories_lib
from components import splits
from components.ranking_evaluator import baselines, collected, measures
from components.ranking_evaluator import ranking as ranking_lib
from components.ranking_evaluator import results as results_lib
from components.ranking_evaluator.config import (
    BASELINES,
    EvaluationConfig,
    ThresholdConfig,
)
from components.ranking_evaluator.ranking import SEEN_SETTINGS
from components.ranking_evaluator.report import drift_plots
from components.targets import RULES, Targets, select_targets
from models.baselines.popularity import MostPopular
from models.metrics.ranking import UNRANKED
from tests.components import test_ranking_evaluator as evaluator
from tests.components.test_targets import random_test_histories

artifacts = evaluator.artifacts

# Items, train events, development events; x is unknown before the test cut.
USERS = {
    b"v1": ("abcde", 2, 2),
    b"v2": ("bcxaxb", 2, 2),
    b"v3": ("acbd", 0, 0),  # gives up a as input
    b"v4": ("abab", 2, 3),  # has had the target
    b"v5": ("axx", 1, 1),  # only unknown targets
    b"v6": ("abc", 3, 3),  # nothing to predict
}
SPLIT = splits.SplitConfig(
    min_user_events=1, min_development_events=1, min_test_history=0
)
CONFIG = EvaluationConfig(
    targets=RULES,
    cutoffs=(2, 4),
    batch_size=3,
    bootstrap_samples=20,
    thresholds=(ThresholdConfig(metric="ndcg_at_4", target="all"),),
)


def answers(history: str, excluded: str) -> str:
    """What the stand-in model recommends, best first."""
    order = "edcba"
    if history[-1] in order:
        order = history[-1] + order.replace(history[-1], "")
    return "".join(item for item in order if item not in excluded)[:4]


def requests_of(items: str, development: int, rule: str):
    """(events before, places of the targets) of a user's requests."""
    first = max(development, 1)
    places = range(first, len(items))
    if rule == "all":
        return [(first, [p for p in places if items[p] not in items[first:p]])]
    if rule == "last":
        places = places[-1:]
    if rule == "first":
        places = places[:1]
    return [(place, [place]) for place in places]


def metrics_of(requests, items: str, seen: str) -> list[dict[str, float]]:
    found = []
    for end, places in requests:
        wanted = [items[place] for place in places]
        given = answers(items[:end], items[:end] if seen == "filtered" else "")
        hits = [place + 1 for place, i in enumerate(given) if i in wanted]
        values = {"mrr_at_4": 1 / hits[0] if hits else 0.0}
        for k in (2, 4):
            within = [rank for rank in hits if rank <= k]
            ideal = range(1, min(k, len(wanted)) + 1)
            values[f"recall_at_{k}"] = len(within) / len(wanted)
            values[f"ndcg_at_{k}"] = sum(
                1 / np.log2(r + 1) for r in within
            ) / sum(1 / np.log2(r + 1) for r in ideal)
        found.append(values)
    return found


def expected(rule: str, seen: str, dropped: bool, random_places=None):
    """Means over users of the means over their requests, and the users."""
    users = {}
    for user, (items, _, development) in USERS.items():
        if len(items) == development:
            continue
        if rule == "random":
            place = random_places.get(user.decode())
            requests = [(place, [place])] if place else []
        else:
            requests = requests_of(items, development, rule)
        if dropped:
            requests = [
                (end, [p for p in places if items[p] != "x"])
                for end, places in requests
            ]
        requests = [r for r in requests if r[1]]
        if requests:
            users[user.decode()] = pd.DataFrame(
                metrics_of(requests, items, seen)
            ).mean()
    return pd.DataFrame(users).mean(axis=1).to_dict(), users


@pytest.fixture
def many(monkeypatch, request):
    monkeypatch.setattr(evaluator, "USERS", USERS)
    return request.getfixturevalue("artifacts")


@pytest.mark.parametrize("cold_items", ["kept", "dropped"])
def test_every_rule_is_what_plain_python_makes_of_it(
    many, tmp_path, cold_items
):
    evaluator._save(tmp_path / "model" / "Format-Serving")
    config = dataclasses.replace(CONFIG, cold_items=cold_items)
    found = evaluator._execute(many, tmp_path, config, SPLIT)
    rows = pd.read_parquet(tmp_path / "evaluation" / "rankings")
    drawn = rows[rows.target_rule == "random"].groupby("user_id")
    places = drawn.target_position.first().to_dict()
    dropped = cold_items == "dropped"
    for rule in RULES:
        for seen in ("kept", "filtered"):
            metrics = found["metrics"]["model"][rule][seen]
            wanted, users = expected(rule, seen, dropped, places)
            assert {name: metrics[name] for name in wanted} == {
                name: pytest.approx(value) for name, value in wanted.items()
            }, (rule, seen)
            assert found["splits"]["test"]["targets"][rule]["users"] == (
                len(users)
            )
            low, high = metrics["intervals"]["recall_at_4"]
            assert low <= metrics["recall_at_4"] <= high
    counts = found["splits"]["test"]["targets"]
    # v1 3, v2 4 (two of them x), v3 3, v4 1, v5 2 (both x).
    assert counts["successive"] == {
        "users": 4 if dropped else 5,
        "targets": 9 if dropped else 13,
        "cold": 4,
        "dropped": 4 if dropped else 0,
    }
    # v2 x a b, v5 x.
    assert counts["all"]["targets"] == (9 if dropped else 11)
    assert found["splits"]["test"]["cold_target_share"]["all"] == (
        pytest.approx(2 / 11)
    )
    assert found["leaks_future"] is False
    for name in ("model", *BASELINES):
        assert set(found["metrics"][name]) == set(RULES)
    json.dumps(found, allow_nan=False)
    check = found["blessing"]["checks"][0]["check"]
    assert check.startswith("NDCG@4 (all targets, seen items kept)")
    _check_rows(rows, dropped)
    page = (tmp_path / "evaluation" / "report.html").read_text()
    for text in ("Successive targets, seen items", "All targets, seen items"):
        assert text in page
    assert 'role="alert"' not in page


def _check_rows(rows: pd.DataFrame, dropped: bool) -> None:
    """A row per target, with its place in the history."""
    chosen = rows[(rows.target_rule == "all") & (rows.seen_items == "kept")]
    chosen = chosen[chosen.user_id == "v2"].sort_values("target_position")
    places, items = [2, 3, 5], ["x", "a", "b"]
    if dropped:
        places, items = places[1:], items[1:]
    assert chosen.target_position.tolist() == places
    assert chosen.target_item.tolist() == items
    # One list for all of them: c e d b.
    assert [list(top) for top in chosen.top_items] == [list("cedb")] * len(
        items
    )
    ranks = [None if pd.isna(rank) else int(rank) for rank in chosen["rank"]]
    assert ranks == ([None, 4] if dropped else [None, None, 4])


def test_successive_is_the_mean_of_evaluations_of_single_targets(
    many, tmp_path, monkeypatch, request
):
    """Each test event as the last one of a history that ends with it."""
    config = dataclasses.replace(CONFIG, targets=("last",), thresholds=())
    serialized, owners = [], []
    for user, (items, train, development) in USERS.items():
        for end in range(max(development, 1) + 1, len(items) + 1):
            name = b"%s-%d" % (user, end)
            owners.append(user)
            cut = {name: (items[:end], train, development)}
            monkeypatch.setattr(evaluator, "USERS", cut)
            serialized.append(evaluator._serialized(name))
    monkeypatch.setattr(evaluator, "USERS", USERS)
    single = _ranks(serialized, config, tmp_path)["last"]
    whole = dataclasses.replace(config, targets=("successive",))
    successive = _ranks(
        [evaluator._serialized(user) for user in USERS], whole, tmp_path
    )["successive"]
    assert len(single) == 13
    assert successive == single
    # The metrics of successive are means of those of a user's targets.
    test = histories_lib.parse_histories(
        [evaluator._serialized(user) for user in USERS]
    )
    test = test.select(splits.test_users(test, SPLIT))
    targets = select_targets(test, "successive", 0)
    ranks = np.array([rank or UNRANKED for rank in successive])
    found = measures.user_values(ranks, "successive", targets, (2, 4))
    one_by_one = measures.user_values(ranks, "last", targets, (2, 4))
    for name, values in found.items():
        means = pd.Series(one_by_one[name]).groupby(owners).mean()
        np.testing.assert_allclose(values, means)


def _ranks(serialized, config, tmp_path) -> dict[str, list]:
    """Ranks by the stand-in model, seen items kept, in order."""
    directory = evaluator._save(tmp_path / "stand-in")
    fn = ranking_lib.RankTargets(
        directory, lambda: evaluator.CATALOGUE, SPLIT, config, 2
    )
    fn.setup()
    tables = [t for t in fn.process(serialized) if hasattr(t, "column_names")]
    frame = pd.concat([table.to_pandas() for table in tables])
    frame = frame[frame.seen_items == "kept"]
    return {
        rule: [None if pd.isna(r) else int(r) for r in part["rank"]]
        for rule, part in frame.groupby("target_rule")
    }


def test_the_model_is_asked_for_few_requests_at_a_time():
    class Recorder:
        sizes = []

        def recommend(self, inputs, excluded, k):
            self.sizes.append(len(inputs))
            assert len(excluded) == len(inputs)
            return np.full((len(inputs), k), b"a", object)

    fn = ranking_lib.RankTargets("", list, SPLIT, CONFIG, 2)
    fn._model = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluator, "USERS", USERS)
        list(fn.process([evaluator._serialized(user) for user in USERS]))
    # Five users and thirteen requests, three at a time, kept and filtered.
    assert max(fn._model.sizes) == CONFIG.batch_size
    assert sum(fn._model.sizes) == 2 * (4 * 5 + 13)


@pytest.mark.parametrize("most_entries", [None, 20])
@pytest.mark.parametrize("seed", range(3))
def test_a_baseline_is_asked_for_the_same_targets(
    monkeypatch, seed, most_entries
):
    if most_entries is not None:  # two or three users at a time
        monkeypatch.setattr(baselines, "_MAX_LIST_ENTRIES", most_entries)
    test = random_test_histories(seed)
    names = np.unique(test.item_ids)
    rows = np.searchsorted(names, test.item_ids)
    counts = np.random.default_rng(seed).permutation(len(names)) + 1
    order = np.argsort(-counts).tolist()
    targets = {rule: select_targets(test, rule, 0) for rule in RULES}
    config = dataclasses.replace(CONFIG, cutoffs=(2, 5), thresholds=())
    found = baselines.rank_baseline(
        MostPopular(counts), test, rows, len(names), targets, config
    )
    for rule in RULES:
        for seen in ("kept", "filtered"):
            ranks, recommended = [], set()
            for request, (user, end) in enumerate(
                zip(targets[rule].users, targets[rule].ends, strict=True)
            ):
                start = test.offsets[user]
                barred = rows[start : start + end] if seen != "kept" else []
                given = [item for item in order if item not in barred][:5]
                recommended |= set(given)
                of_request = targets[rule].requests == request
                for place in targets[rule].positions[of_request]:
                    item = rows[start + place]
                    ranks.append(
                        given.index(item) + 1 if item in given else UNRANKED
                    )
            assert found[rule, seen].ranks.tolist() == ranks
            assert found[rule, seen].distinct[5] == len(recommended)


class Asked(MostPopular):
    """Keeps for how many users lists of which length are asked."""

    def __init__(self, num_items):
        super().__init__(np.ones(num_items, np.int64))
        self.asked = []

    def rank(self, num_users, length):
        self.asked.append((num_users, length))
        return super().rank(num_users, length)


@pytest.mark.parametrize("longest", [5, 16_374, 16_375, 100_000])
def test_a_very_long_history_takes_no_room_for_the_others(longest):
    """Blocks are those of always where nobody's history is that long."""
    events = np.full(5000, 3)
    events[3000] = longest
    ends = np.concatenate([[0], np.cumsum(events)])
    test = SimpleNamespace(num_users=5000, num_events=events, offsets=ends[:-1])
    # Everybody has the items 0, 1, 2 and so on, one after another.
    rows = np.arange(ends[-1]) - np.repeat(ends[:-1], events)
    users = np.arange(5000)
    last = {"last": Targets(users, events - 1, users, events - 1)}
    config = dataclasses.replace(CONFIG, cutoffs=(10,), thresholds=())
    baseline = Asked(200_000)
    tracemalloc.start()
    try:
        found = baselines.rank_baseline(
            baseline, test, rows, 200_000, last, config
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Each one's last item is the first of the list that is not known yet.
    assert (found["last", "filtered"].ranks == 1).all()
    others, own = range(2, 12), range(longest - 1, longest + 9)
    distinct = len({*others, *own})
    assert found["last", "filtered"].distinct[10] == distinct
    assert peak < 1 << 29
    sizes = [size for size, _ in baseline.asked]
    if longest <= 16_374:
        assert sizes == [2048, 2048, 904]
    else:
        assert {2048, 4096, 5000} < set(np.cumsum(sizes))
        assert all(a * b <= 1 << 25 for a, b in baseline.asked)
        assert len(sizes) < 10


def test_more_targets_change_no_number_of_the_others(many, tmp_path):
    """The draws of Random and PopRnd are those of the users, not targets."""
    evaluator._save(tmp_path / "model" / "Format-Serving")
    every = evaluator._execute(many, tmp_path, CONFIG, SPLIT)
    few = dataclasses.replace(CONFIG, targets=("last",), thresholds=())
    for file in (tmp_path / "evaluation").rglob("part*"):
        file.unlink()
    alone = evaluator._execute(many, tmp_path, few, SPLIT)
    for name in ("model", *BASELINES):
        assert alone["metrics"][name]["last"] == every["metrics"][name]["last"]


def test_leave_one_out_is_marked_as_leaking_and_blesses_nothing(many, tmp_path):
    evaluator._save(tmp_path / "model" / "Format-Serving")
    easy = ThresholdConfig(metric="recall_at_4", min_ratio_to_baseline=0.0)
    config = dataclasses.replace(CONFIG, targets=("last",), thresholds=(easy,))
    split = dataclasses.replace(SPLIT, strategy="leave_one_out")
    found = evaluator._execute(many, tmp_path, config, split)
    assert found["leaks_future"] is True
    assert found["splits"]["leaks_future"] is True
    assert found["splits"]["strategy"] == "leave_one_out"
    assert found["blessing"]["blessed"] is False
    assert "leak the future" in found["blessing"]["checks"][-1]["check"]
    page = (tmp_path / "evaluation" / "report.html").read_text()
    assert splits.LEAK_WARNING in page
    assert page.index('role="alert"') < page.index("Metrics on test users")


def words_of(page: str) -> str:
    """The text of a page, without styles, tags and line breaks."""
    text = re.sub("(?s)<style>.*?</style>|<svg.*?</svg>|<[^>]+>", " ", page)
    return " ".join(html.unescape(text).split())


BOTH = {
    "between its cuts",
    "Validation cut:",
    "Test cut:",
    "An event at a cut lies before it.",
    "known before the test cut, 4 before the validation cut",
    "dotted: the cuts.",
}
TEST_ONLY = {
    "those of its users in it",
    "Test cut:",
    "An event at a cut lies before it.",
    "known before the test cut, 4 in the train events",
    "dotted: the cut.",
}
NONE = {
    "those of its users in it",
    "known in the development events, 4 in the train events",
    "Events per day (day by day). Periods",
}


@pytest.mark.parametrize(
    ("split", "said", "drawn"),
    [
        ({}, BOTH, [1389225600, 1394150400]),
        ({"validation": "by_user"}, TEST_ONLY, [1394150400]),
        ({"validation": "last_train_item"}, TEST_ONLY, [1394150400]),
        ({"strategy": "leave_one_out"}, NONE, []),
    ],
    ids=["by-time", "by-user", "last-train-item", "leave-one-out"],
)
def test_the_report_states_the_cuts_that_there_are(
    many, tmp_path, monkeypatch, split, said, drawn
):
    """Histories have both cut times, whatever they mean with the split."""
    pictures = []
    time_axis = drift_plots._time_axis

    def draw(axes, edges, cuts):
        pictures.append(list(cuts))
        time_axis(axes, edges, cuts)

    monkeypatch.setattr(drift_plots, "_time_axis", draw)
    evaluator._save(tmp_path / "model" / "Format-Serving")
    evaluator._execute(
        many, tmp_path, CONFIG, dataclasses.replace(SPLIT, **split)
    )
    folder = tmp_path / "evaluation"
    page = words_of((folder / "report.html").read_text())
    assert {words for words in BOTH | TEST_ONLY | NONE if words in page} == said
    assert pictures and all(cuts == drawn for cuts in pictures)
    if not drawn:
        # Neither in the tables, slices and pictures, nor in the model card.
        for text in (page, (folder / "model_card.md").read_text()):
            assert not re.search(r"\bcuts?\b", text)
        assert ">cut<" not in (folder / "report.html").read_text()


def test_only_unknown_targets_left_says_what_to_change(
    artifacts, tmp_path, monkeypatch
):
    evaluator._save(tmp_path / "model" / "Format-Serving")
    config = dataclasses.replace(CONFIG, cold_items="dropped")
    folder = tmp_path / "examples" / "Split-all"
    for path in folder.iterdir():
        path.unlink()
    monkeypatch.setattr(evaluator, "USERS", {b"v5": USERS[b"v5"]})
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as writer:
        writer.write(evaluator._serialized(b"v5"))
    with pytest.raises(ValueError, match="rule `last`.*`evaluation.cold_items"):
        evaluator._execute(artifacts, tmp_path, config, SPLIT)


def table_of(test, targets, answers, rule, seen) -> pa.Table:
    """The rows of all targets in one table."""
    tables = ranking_lib._tables(test, targets, answers, rule, seen)
    return pa.concat_tables(tables)


@pytest.mark.parametrize(("rows", "cells"), [(1, 1), (7, 20), (10**6, 10**6)])
@pytest.mark.parametrize("rule", ["successive", "all"])
def test_rows_are_the_same_however_they_are_cut(monkeypatch, rule, rows, cells):
    monkeypatch.setattr(ranking_lib, "_MAX_ROWS", rows)
    monkeypatch.setattr(ranking_lib, "_MAX_COMPARED", cells)
    test = random_test_histories(4)
    targets = select_targets(test, rule, 0)
    source = np.random.default_rng(0)
    names = np.unique(test.item_ids)
    answers = np.array([source.permutation(names)[:5] for _ in targets.users])
    answers[::3, 3:] = b""  # the catalogue has no more
    tables = list(ranking_lib._tables(test, targets, answers, rule, "kept"))
    assert max(len(table) for table in tables) <= rows
    found = [row for table in tables for row in table.to_pylist()]
    expected = []
    for request, place in zip(targets.requests, targets.positions, strict=True):
        user = targets.users[request]
        item = test.item_ids[test.offsets[user] + place]
        given = [i for i in answers[request].tolist() if i]
        expected.append(
            {
                "user_id": test.user_ids[user].decode(),
                "target_rule": rule,
                "seen_items": "kept",
                "target_item": item.decode(),
                "target_position": place,
                "rank": given.index(item) + 1 if item in given else None,
                "top_items": [i.decode() for i in given],
                "target_is_cold": bool(
                    test.item_indices[test.offsets[user] + place] == 0
                ),
            }
        )
    assert found == expected


def many_targets(num_users: int, num_targets: int):
    """Test users of one development event, and the targets of rule `all`."""
    length = num_targets + 1
    names = np.array([b"i%d" % i for i in range(length)], object)
    test = histories_lib.Histories(
        user_ids=np.array([b"u%d" % u for u in range(num_users)], object),
        user_indices=np.arange(num_users),
        offsets=np.arange(num_users + 1) * length,
        item_ids=np.tile(names, num_users),
        item_indices=np.tile(np.arange(length) + 1, num_users),
        timestamps=np.tile(np.arange(length), num_users),
        num_train_events=np.ones(num_users, np.int64),
        num_development_events=np.ones(num_users, np.int64),
        validation_cut=0,
        test_cut=0,
    )
    return test, select_targets(test, "all", 0)


def peak_of(work) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_a_requests_targets():
    """All requests were one batch, and its answers were copied per target."""
    test, targets = many_targets(100, 2000)
    answers = np.tile(test.item_ids[:100], (100, 1))
    sizes = []

    def rank():
        tables = ranking_lib._tables(test, targets, answers, "all", "kept")
        sizes.extend(len(table) for table in tables)

    assert peak_of(rank) < 40 << 20  # 200,000 targets: 153 MiB of references
    assert sum(sizes) == 200_000 and max(sizes) <= 16_384


def test_memory_of_a_baseline_does_not_grow_with_a_requests_targets():
    test, targets = many_targets(100, 2000)
    config = dataclasses.replace(
        CONFIG, targets=("all",), cutoffs=(100,), thresholds=()
    )
    answers = np.tile(np.arange(100, dtype=np.int32), (100, 1))
    wanted = np.tile(np.arange(2000), 100)
    found = collected.Collected(("all",), 2001, config)
    peak = peak_of(lambda: found.add(("all", "kept"), answers, targets, wanted))
    assert peak < 24 << 20  # 76 MiB of a copied answer per target
    found.add(("all", "filtered"), answers, targets, wanted)
    ranks = found.rankings()["all", "kept"].ranks
    once = np.where(np.arange(2000) < 100, np.arange(2000) + 1, UNRANKED)
    np.testing.assert_array_equal(ranks, np.tile(once, 100))


@pytest.mark.parametrize("cells", [1, 11, 10**6])
def test_an_item_outside_the_universe_is_found_in_no_pad(monkeypatch, cells):
    monkeypatch.setattr(ranking_lib, "_MAX_COMPARED", cells)
    answers = np.array([[4, 2, -1], [3, -1, -1]])
    requests = np.array([0, 0, 0, 1, 1])
    ranks = collected._ranks(answers, requests, np.array([2, -1, 4, 3, -1]))
    assert ranks.tolist() == [2, UNRANKED, 1, 1, UNRANKED]


def test_of_a_baselines_lists_only_what_is_shown_is_kept():
    """A view of the first ten held all hundred, for every setting."""
    config = dataclasses.replace(
        CONFIG, targets=("last", "first"), cutoffs=(100,), thresholds=()
    )
    number = np.arange(512)
    targets = Targets(number, number + 1, number, number + 1)
    found = collected.Collected(("last", "first"), 200, config)
    source = np.random.default_rng(0)
    lists = []
    for _ in range(2):
        for key in [(r, s) for r in ("last", "first") for s in SEEN_SETTINGS]:
            answers = source.integers(0, 200, (512, 100), np.int32)
            found.add(key, answers, targets, np.zeros(512, np.int64))
            if key == ("last", "kept"):
                lists.append(answers[:, :10].tolist())
                reference = weakref.ref(answers)
            del answers
    assert reference() is None
    rankings = found.rankings()
    assert rankings["last", "kept"].top_items.tolist() == [*lists[0], *lists[1]]
    others = [r.top_items for key, r in rankings.items() if key[0] == "first"]
    assert others == [None, None]
    assert rankings["last", "filtered"].top_items is None


def test_only_what_is_shown_is_read_back_with_its_items(tmp_path):
    test = random_test_histories(0)
    targets = {r: select_targets(test, r, 0) for r in ("last", "all")}
    source = np.random.default_rng(0)
    names = np.unique(test.item_ids)
    (tmp_path / "rankings").mkdir()
    written = {}
    for rule, chosen in targets.items():
        for seen in SEEN_SETTINGS:
            answers = np.array(
                [source.permutation(names)[:5] for _ in chosen.users]
            )
            table = table_of(test, chosen, answers, rule, seen)
            name = f"{rule}-{seen}.parquet"
            pq.write_table(table, tmp_path / "rankings" / name)
            written[rule, seen] = table
    shown = ("last", "filtered")
    found = results_lib.read_rankings(str(tmp_path), test, targets, shown)
    without = results_lib.read_rankings(str(tmp_path), test, targets)
    for key, table in written.items():
        expected = table.schema.names if key == shown else ["rank"]
        assert found[key].column_names == expected
        assert without[key].column_names == ["rank"]
        assert found[key]["rank"].equals(table["rank"])
        assert without[key]["rank"].equals(table["rank"])
    assert (
        found[shown]["top_items"].to_pylist()
        == written[shown]["top_items"].to_pylist()
    )


@pytest.mark.parametrize("fault", ["missing", "other"])
def test_rankings_of_other_targets_are_refused(tmp_path, fault):
    test = random_test_histories(0)
    targets = {"last": select_targets(test, "last", 0)}
    answers = np.full((test.num_users, 3), b"item1", object)
    tables = {
        seen: table_of(test, targets["last"], answers, "last", seen)
        for seen in ranking_lib.SEEN_SETTINGS
    }
    (tmp_path / "rankings").mkdir()

    def write(seen, table):
        pq.write_table(table, tmp_path / "rankings" / f"{seen}.parquet")

    for seen, table in tables.items():
        # In any order.
        order = np.random.default_rng(0).permutation(len(table))
        write(seen, table.take(order))
    for seen, table in tables.items():
        found = results_lib.read_rankings(
            str(tmp_path), test, targets, ("last", seen)
        )
        assert found["last", seen].cast(table.schema).equals(table)
        # `string` would hold 2 GiB of a column, which took three rows of 800
        # MiB to see: "offset overflow while concatenating arrays".
        kinds = found["last", seen].schema
        assert kinds.field("user_id").type == pa.large_string()
        assert kinds.field("top_items").type == pa.list_(pa.large_string())
    if fault == "missing":
        write("kept", tables["kept"].slice(1))
    else:
        first = select_targets(test, "first", 0)
        write("kept", table_of(test, first, answers, "last", "kept"))
    with pytest.raises(ValueError, match="not those of the"):
        results_lib.read_rankings(str(tmp_path), test, targets)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("targets", ("last", "last")),
        ("targets", ("last", "next")),
        ("cold_items", "skipped"),
    ],
)
def test_settings_out_of_range_are_named(key, value):
    with pytest.raises(ValueError, match=f"`{key}`"):
        EvaluationConfig(**{key: value})
