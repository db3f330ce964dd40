"""Paired comparisons and slices against pandas; models of other runs."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pandas as pd
import pytest

from components import histories as histories_lib
from components import splits
from components.ranking_evaluator import (
    compared,
    comparisons,
    measures,
    slices,
)
from components.ranking_evaluator.config import BASELINES, EvaluationConfig
from components.ranking_evaluator.exported_model import ModelAnswerError
from components.ranking_evaluator.measures import Rankings
from components.targets import RULES, select_targets
from models.metrics.ranking import UNRANKED
from serving import assets_extra, warmup
from serving.export import ITEM_IDS_ASSET
from tests.components import test_ranking_evaluator as evaluator
from tests.components.test_baselines_of_histories import SPLIT, random_log

artifacts = evaluator.artifacts

CONFIG = EvaluationConfig(
    targets=RULES, cutoffs=(3, 8), bootstrap_samples=200, thresholds=()
)


def random_rankings(targets, seed):
    """Ranks 1 to 20, different within a request, beyond 8 unranked."""
    generator = np.random.default_rng(seed)
    settings = {}
    for rule, chosen in targets.items():
        for seen in ("kept", "filtered"):
            lists = np.array(
                [generator.permutation(20) + 1 for _ in chosen.users]
            )
            place = pd.Series(chosen.requests).groupby(chosen.requests)
            ranks = lists[chosen.requests, place.cumcount()]
            ranks = np.where(ranks > 8, UNRANKED, ranks)
            settings[rule, seen] = Rankings(ranks, {3: 1, 8: 1})
    return settings


@pytest.fixture(scope="module")
def measured():
    """Test users of a random log, their targets and three rankings."""
    histories = random_log(3)
    mask = splits.test_users(histories, SPLIT)
    test = histories.select(mask)
    targets = {rule: select_targets(test, rule, 0) for rule in RULES}
    names = ("model", "random", "pure_svd")
    rankings = {
        name: random_rankings(targets, seed) for seed, name in enumerate(names)
    }
    universe = measures.build_universe(histories, "log")
    rows = universe.rows[np.repeat(mask, histories.num_events)]
    counts = measures.fit_counts(histories, universe, SPLIT, 6)
    return test, targets, rankings, rows, counts


def by_user(ranks, targets, rule, k):
    """Each user's NDCG@k and Recall@k by pandas, `all` left out."""
    hits = ranks <= k
    frame = pd.DataFrame(
        {
            "user": targets.owners,
            "ndcg": np.where(hits, 1 / np.log2(1.0 + ranks), 0.0),
            "recall": hits.astype(float),
        }
    )
    return frame.groupby("user").mean()


def test_differences_are_those_of_each_users_metrics(measured):
    test, targets, rankings, _, _ = measured
    found = comparisons.compare(rankings, targets, CONFIG)
    assert set(found) == set(RULES)
    for rule in RULES[:-1]:
        for seen in ("kept", "filtered"):
            own = by_user(
                rankings["model"][rule, seen].ranks, targets[rule], rule, 3
            )
            for rival in ("random", "pure_svd"):
                theirs = by_user(
                    rankings[rival][rule, seen].ranks, targets[rule], rule, 3
                )
                for metric in ("ndcg", "recall"):
                    difference = own[metric] - theirs[metric]
                    value = found[rule][seen][rival][f"{metric}_at_3"]
                    assert value["difference"] == pytest.approx(
                        difference.mean()
                    )
                    assert value["better"] == pytest.approx(
                        (difference > 0).mean()
                    )
                    assert value["worse"] == pytest.approx(
                        (difference < 0).mean()
                    )
                    low, high = value["interval"]
                    assert low < value["difference"] < high
                    error = difference.std() / len(difference) ** 0.5
                    assert high - low == pytest.approx(3.92 * error, rel=0.25)
    every = found["last"]["kept"]["random"]
    assert set(every) == {
        f"{m}_at_{k}" for m in ("ndcg", "recall") for k in (3, 8)
    } | {"mrr_at_8"}
    json.dumps(found, allow_nan=False)


def test_the_best_of_some_models():
    def of(value):
        return {"last": {"kept": {"ndcg_at_3": value}}}

    metrics = {"a": of(0.1), "b": of(0.3), "c": of(0.3), "d": of(0.9)}
    config = dataclasses.replace(CONFIG, targets=("last",))
    assert comparisons.best(metrics, ("a", "b", "c"), config) == "b"
    assert comparisons.best(metrics, (), config) is None


def group_of(test, counts, rows, rule, slice_name, user, end, place):
    """The group of one target, in plain Python."""
    row = test.offsets[user] + place
    if slice_name == "history_length":
        for first, last in ((1, 1), (2, 4), (5, 9), (10, 19), (20, 49)):
            if first <= end <= last:
                return f"{first}-{last}" if last > first else str(first)
        return "50 and more"
    if slice_name == "users":
        new = test.num_development_events[user] == 0
        return "new" if new else "known before the cut"
    if slice_name == "items":
        new = test.item_indices[row] == 0
        return "new" if new else "known before the cut"
    if slice_name == "days_since_cut":
        return "0-1"
    item, order = (
        rows[row],
        sorted(range(len(counts)), key=lambda i: -counts[i]),
    )
    if counts[item] == 0:
        return "no event in the fit"
    before = sum(counts[i] for i in order[: order.index(item)])
    share = before / sum(counts)
    return (
        "first third of the events"
        if share < 1 / 3
        else "second third"
        if share < 2 / 3
        else "last third"
    )


def test_slices_are_the_metrics_of_their_targets_alone(measured):
    test, targets, rankings, rows, counts = measured
    found = slices.measure(rankings, test, targets, rows, counts, CONFIG)
    assert set(found["all"]) == {"history_length", "users"}
    for rule in RULES[:-1]:
        chosen = targets[rule]
        for slice_name, groups in found[rule].items():
            names = [
                group_of(test, counts, rows, rule, slice_name, *target)
                for target in zip(
                    chosen.owners,
                    chosen.ends[chosen.requests],
                    chosen.positions,
                    strict=True,
                )
            ]
            assert {g["group"] for g in groups} == set(names)
            assert sum(g["targets"] for g in groups) == len(names)
            for group in groups:
                mask = np.array(names) == group["group"]
                assert group["users"] == len(set(chosen.owners[mask]))
                for model, settings in rankings.items():
                    ranks = np.where(
                        mask, settings[rule, "kept"].ranks, UNRANKED
                    )
                    wanted = by_user(ranks, chosen, rule, 3)
                    # By user among the group's targets only.
                    number = pd.Series(mask).groupby(chosen.owners)
                    factor = number.size() / number.sum()
                    for metric in ("ndcg", "recall"):
                        value = (wanted[metric] * factor)[number.sum() > 0]
                        assert group["metrics"][model][f"{metric}_at_3"] == (
                            pytest.approx(value.mean())
                        )
                low, high = group["metrics"]["model"]["intervals"]["ndcg_at_3"]
                mean = group["metrics"]["model"]["ndcg_at_3"]
                assert low <= mean + 1e-12 and mean <= high + 1e-12
    json.dumps(found, allow_nan=False)


def test_days_since_the_cut_have_no_meaning_without_a_cut(measured):
    test, targets, rankings, rows, counts = measured
    late = dataclasses.replace(
        test, timestamps=test.test_cut + 24 * 3600 * test.timestamps
    )
    found = slices.measure(rankings, late, targets, rows, counts, CONFIG)
    days = [g["group"] for g in found["last"]["days_since_cut"]]
    assert days == ["7-30"]  # times 11 to 20
    found = slices.measure(rankings, late, targets, rows, counts, CONFIG, True)
    assert "days_since_cut" not in found["last"]


@pytest.mark.parametrize(
    ("days", "inside", "after"),
    [
        (0, "0-1", "0-1"),
        (1, "0-1", "1-7"),
        (7, "1-7", "7-30"),
        (30, "7-30", "30-90"),
        (90, "30-90", "over 90"),
    ],
)
def test_a_whole_number_of_days_ends_its_group(measured, days, inside, after):
    """As an event at the test cut lies before it."""
    test, targets, rankings, rows, counts = measured
    last = {"last": targets["last"]}
    for seconds, group in ((0, inside), (1, after)):
        time = test.test_cut + 86_400 * days + seconds
        late = dataclasses.replace(
            test, timestamps=np.full_like(test.timestamps, time)
        )
        found = slices.measure(rankings, late, last, rows, counts, CONFIG)
        groups = found["last"]["days_since_cut"]
        assert [g["group"] for g in groups] == [group]


def test_thirds_of_the_events_by_hand():
    counts = np.array([1, 0, 6, 2, 3, 0, 1])
    # In order 6 3 2 1 1 of 13; before each 0 6 9 11 12.
    assert slices.popularity_parts(counts).tolist() == [2, 3, 0, 2, 1, 3, 2]
    assert slices.popularity_parts(np.zeros(2, int)).tolist() == [3, 3]


# --- models of other runs ---------------------------------------------------


def save_other(folder, items=b"abcde", **facts):
    """The stand-in model as an export of ours leaves it."""
    folder.mkdir(parents=True)
    evaluator._save(folder)
    lines = b"".join(b"%c\n" % item for item in items)
    (folder / "assets").mkdir(exist_ok=True)
    (folder / compared.ITEM_IDS).write_bytes(lines)
    (folder / "assets.extra").mkdir()
    (folder / assets_extra.MODEL_FILE).write_text(json.dumps(facts))
    return str(folder)


def test_the_vocabulary_lies_where_the_export_puts_it():
    assert pathlib.Path(compared.ITEM_IDS).name == ITEM_IDS_ASSET


def test_another_runs_model_is_measured_like_this_ones(artifacts, tmp_path):
    evaluator._save(tmp_path / "model" / "Format-Serving")
    save_other(tmp_path / "old" / "1", b"abcd")
    newest = save_other(
        tmp_path / "old" / "12", max_history=9, version_info={"fitted_until": 5}
    )
    (tmp_path / "old" / "13").mkdir()  # not complete
    config = dataclasses.replace(
        evaluator.CONFIG,
        baselines=("most_popular",),
        compare_with={"serving": str(tmp_path / "old")},
        thresholds=(
            dataclasses.replace(
                evaluator.CONFIG.thresholds[0], baseline="serving"
            ),
        ),
    )
    found = evaluator._execute(artifacts, tmp_path, config)
    assert list(found["metrics"]) == ["model", "most_popular", "serving"]
    assert found["metrics"]["serving"] == found["metrics"]["model"]
    for by_seen in found["comparisons"].values():
        for rivals in by_seen.values():
            for value in rivals["serving"].values():
                assert value == {
                    "difference": 0.0,
                    "interval": [0.0, 0.0],
                    "better": 0.0,
                    "worse": 0.0,
                }
            assert rivals["most_popular"]["ndcg_at_4"]["worse"] > 0
    assert found["compared"]["serving"] == {
        "directory": newest,
        "num_items": 5,
        "num_unknown_items": 0,
        "known_share": 1.0,
        "max_history": 9,
        "fitted_until": 5,
    }
    # The same model is not below itself.
    assert found["blessing"]["blessed"] is True
    assert "serving" in found["blessing"]["checks"][0]["check"]
    page = (tmp_path / "evaluation" / "report.html").read_text()
    assert "serving" in page


def test_what_is_served_is_compared_once_it_is_there(
    artifacts, tmp_path, capsys
):
    evaluator._save(tmp_path / "model" / "Format-Serving")
    config = dataclasses.replace(
        evaluator.CONFIG,
        baselines=("most_popular",),
        compare_with={"now": "served"},
        thresholds=(
            dataclasses.replace(
                evaluator.CONFIG.thresholds[0],
                baseline="now",
                min_ratio_to_baseline=1.1,
            ),
        ),
    )
    serving = tmp_path / "serving"
    first = evaluator._execute(
        artifacts, tmp_path, config, serving_dir=str(serving)
    )
    assert list(first["metrics"]) == ["model", "most_popular"]
    assert first["compared"] == {}
    assert first["blessing"]["blessed"] is True
    (check,) = first["blessing"]["checks"]
    assert "no now to be compared with: no other model has" in check["check"]
    assert "there is no `now` to compare with" in capsys.readouterr().out

    served = save_other(serving / "7", version_info={"fitted_until": 5})
    second = evaluator._execute(
        artifacts, tmp_path, config, serving_dir=str(serving)
    )
    assert second["compared"]["now"]["directory"] == served
    assert second["metrics"]["now"] == second["metrics"]["model"]
    # One of the same answers is not a tenth better.
    assert second["blessing"]["blessed"] is False

    # Pushed itself, it is still compared with what it has replaced.
    push(tmp_path / "model" / "Format-Serving", serving / "8")
    third = evaluator._execute(
        artifacts, tmp_path, config, serving_dir=str(serving)
    )
    assert third == second


def push(model, version):
    """Copies a model as the steps up to Pusher do: card, warm-up records."""
    shutil.copytree(model, version)
    (version / "assets.extra").mkdir(exist_ok=True)
    (version / "assets.extra" / "model_card.md").write_text("A card")
    warmup.write(str(version), warmup.requests([b"a"], 3))


def test_what_a_model_has_replaced_is_the_newest_of_the_others(tmp_path):
    """Whatever pushing puts beside a model, and whatever was copied back."""
    serving, models = tmp_path / "serving", {}
    for name in "ab":
        models[name] = tmp_path / name
        save_other(models[name], version_info={"fitted_until": 5})
        # Trainer's export has warm-up records, which are replaced later on.
        warmup.write(str(models[name]), warmup.requests([b"b"], 2))

    def before(name):
        found = compared.served_before(str(serving), str(models[name]))
        return found and pathlib.Path(found).name

    assert before("a") is None
    push(models["a"], serving / "1")
    assert (before("a"), before("b")) == (None, "1")
    push(models["b"], serving / "2")
    assert (before("a"), before("b")) == ("2", "1")
    shutil.copytree(serving / "1", serving / "3")  # a rollback
    mark = serving / "3" / "assets.extra" / "copy_of.json"
    mark.write_text('{"version": 1}')
    (serving / "4").mkdir()  # not complete
    assert (before("a"), before("b")) == ("2", "3")
    # A file more or less, or another byte, is another model.
    index = serving / "2" / "variables" / "variables.index"
    index.write_bytes(index.read_bytes() + b"x")
    assert before("b") == "3" and before("a") == "2"
    shutil.rmtree(serving / "3")
    assert before("b") == "2"


@pytest.mark.parametrize(("universe", "size"), [("log", 6), ("catalogue", 5)])
def test_a_model_may_know_more_items_than_there_are_now(
    artifacts, tmp_path, universe, size
):
    """Items that have left the log are recommended, and all are covered."""
    evaluator._save(tmp_path / "model" / "Format-Serving")
    items = [b"a", b"b", b"c", b"d", b"e", b"x", b"y", b"z"]
    old = tmp_path / "old"
    save_other(old, b"".join(items), version_info={"fitted_until": 5})
    evaluator._save(old, items=items)
    config = dataclasses.replace(
        evaluator.CONFIG,
        cutoffs=(8,),
        item_universe=universe,
        baselines=(),
        compare_with={"old": str(old)},
        thresholds=(),
    )
    found = evaluator._execute(artifacts, tmp_path, config)
    assert found["splits"]["items"]["universe"] == size
    assert found["compared"]["old"]["num_unknown_items"] == 3
    # a to e, x, y and z are all there is, and everybody gets all of them.
    for rule in config.targets:
        metrics = found["metrics"]
        assert metrics["old"][rule]["kept"]["coverage_at_8"] == 1.0
        own = metrics["model"][rule]["kept"]["coverage_at_8"]
        assert own == pytest.approx(5 / size)


def test_models_that_do_not_fit_are_refused(tmp_path):
    histories = histories_lib.parse_histories(
        [evaluator._serialized(u) for u in evaluator.USERS]
    )
    test = histories.select(splits.test_users(histories, evaluator.SPLIT))

    def refused(folder, message):
        with pytest.raises(ModelAnswerError, match=message):
            compared.find({"old": str(folder)}, evaluator.CATALOGUE, test)

    refused(tmp_path / "none", "compare_with.old.*holds no SavedModel")
    other = save_other(tmp_path / "other", b"abz")
    refused(other, "knows 1 of 3 items.*b'z'.*not say until when")
    # Users had a b, b c and a b c.
    few = save_other(tmp_path / "few", b"dec")
    refused(few, "only 28.6 % of what the test users had")
    cut = 1394150400
    late = save_other(
        tmp_path / "late", version_info={"fitted_until": cut + 86_400}
    )
    refused(late, "up to 2014-03-08, after this run's test cut 2014-03-07")
    same = save_other(tmp_path / "same", version_info={"fitted_until": cut})
    assert len(compared.find({"a": same}, evaluator.CATALOGUE, test)) == 1
    # With a date: an item that has left the log since, no item of the future.
    older = save_other(
        tmp_path / "older", b"abcz", version_info={"fitted_until": cut}
    )
    (found,) = compared.find({"a": older}, evaluator.CATALOGUE, test)
    assert (found.num_items, found.num_unknown_items) == (4, 1)
    (tmp_path / "same" / compared.ITEM_IDS).unlink()
    refused(same, "has no assets/item_ids.txt")


def test_without_baselines_there_is_a_report(artifacts, tmp_path):
    evaluator._save(tmp_path / "model" / "Format-Serving")
    config = dataclasses.replace(
        evaluator.CONFIG, baselines=(), thresholds=(), targets=("last",)
    )
    found = evaluator._execute(artifacts, tmp_path, config)
    assert list(found["metrics"]) == ["model"]
    assert found["best_baseline"] is None
    assert found["comparisons"] == {"last": {"kept": {}, "filtered": {}}}
    assert (tmp_path / "evaluation" / "report.html").exists()
    assert len(BASELINES) == 6
