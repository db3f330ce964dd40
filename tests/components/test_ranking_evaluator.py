import json
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf

from components import histories as histories_lib
from components import model_requests, raw_ids, splits
from components.ranking_evaluator import (
    baselines,
    blessing,
    exported_model,
    measures,
    ranking,
    words,
)
from components.ranking_evaluator.config import (
    BASELINES,
    EvaluationConfig,
    ThresholdConfig,
)
from components.ranking_evaluator.report import examples
from components.targets import Targets, select_targets
from models.baselines.popularity import MostPopular
from models.metrics.ranking import UNRANKED
from models.settings import to_json

# The catalogue; item x has no event up to the test cut.
CATALOGUE = [b"a", b"b", b"c", b"d", b"e"]
ROWS = {item: row + 1 for row, item in enumerate(CATALOGUE)}

# User: (items, events up to the validation cut, events up to the test cut).
USERS = {
    b"u1": ("abc", 2, 2),
    b"u2": ("bcxa", 2, 2),
    b"u3": ("abcb", 2, 3),  # the target repeats an item of the history
    b"u4": ("ab", 1, 1),  # too short for a test user
    b"u5": ("abcde", 4, 5),  # no event after the test cut
}
SPLIT = splits.SplitConfig(min_user_events=3, min_development_events=2)
CONFIG = EvaluationConfig(
    cutoffs=(3, 4),
    batch_size=2,
    bootstrap_samples=20,
    thresholds=(ThresholdConfig(metric="ndcg_at_4"),),
)

# Ranks by hand. The stand-in model answers the item before the target, then
# e d c b a. Rank 5 lies beyond the cutoffs.
#   u1 last and first: b e d c a, target c; without a and b: e d c
#   u2 last: e d c b a (x is unknown), target a; without b, c: e d a
#   u2 first: target x, unknown
#   u3: c e d b a, target b, which the user has had
RANKS = {
    ("last", "kept"): [4, None, 4],
    ("last", "filtered"): [3, 3, None],
    ("first", "kept"): [4, None, 4],
    ("first", "filtered"): [3, None, None],
}


def _serialized(user_id):
    items, train, development = USERS[user_id]
    ids = [item.encode() for item in items]

    def ints(*values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def strings(*values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    features = {
        "user_id": strings(user_id),
        "user_index": ints(0),
        "item_ids": strings(*ids),
        "item_indices": ints(*[ROWS.get(i, 0) for i in ids]),
        "timestamps": ints(*range(len(ids))),
        "num_train_events": ints(train),
        "num_development_events": ints(development),
        "validation_cut": ints(1389225600),
        "test_cut": ints(1394150400),
    }
    return tf.train.Example(
        features=tf.train.Features(feature=features)
    ).SerializeToString()


@pytest.fixture
def histories():
    return histories_lib.parse_histories([_serialized(u) for u in USERS])


class StandIn(tf.Module):
    """Recommends the newest item of the history, then the last item first.

    Of the catalogue that is e d c b a.
    """

    def __init__(self, fault="", items=CATALOGUE):
        super().__init__()
        self._fault = fault
        self._items = tf.constant(items)
        self._scores = tf.range(1.0, len(items) + 1.0)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.string),
            tf.TensorSpec([None, None], tf.string),
            tf.TensorSpec([], tf.int32),
        ]
    )
    def recommend(self, history, exclude, k):
        newest = self._items == history[:, -1:]
        scores = self._scores + 10.0 * tf.cast(newest, tf.float32)
        barred = self._items[:, tf.newaxis] == exclude[:, tf.newaxis]
        if self._fault != "excluded":
            scores = tf.where(tf.reduce_any(barred, 2), -np.inf, scores)
        values, rows = tf.math.top_k(scores, tf.minimum(k, len(self._items)))
        ids = tf.where(np.inf == -values, "", tf.gather(self._items, rows))
        if self._fault == "nan":
            values = values * np.nan
        elif self._fault == "short":
            values, ids = values[:, :1], ids[:, :1]
        elif self._fault == "duplicate":
            values, ids = values[:, :1], ids[:, :1]
            values, ids = tf.tile(values, [1, 4]), tf.tile(ids, [1, 4])
        elif self._fault == "unsorted":
            values = -values
        elif self._fault == "unknown":
            ids = tf.strings.join([ids, tf.constant("?")])
        return {"item_ids": ids, "scores": values}


def _save(directory, fault="", items=CATALOGUE):
    module = StandIn(fault, items)
    tf.saved_model.save(
        module, str(directory), signatures={"recommend": module.recommend}
    )
    return str(directory)


# --- requests and answers ---------------------------------------------------


def _requests(histories, users, ends, newest_known):
    """Of requests whose target follows at once."""
    requests = np.arange(len(users))
    ends = np.array(ends)
    chosen = Targets(np.array(users), ends, requests, ends)
    first = model_requests.first_events(histories)
    return model_requests.build(histories, first, chosen, newest_known)


def test_requests_hold_what_lies_before_the_target(histories):
    test = histories.select(splits.test_users(histories, SPLIT))
    inputs, before = _requests(test, [0, 1, 2], [2, 3, 3], 8)
    assert inputs == [[b"a", b"b"], [b"b", b"c", b"x"], [b"a", b"b", b"c"]]
    assert before == inputs
    # Several requests of one user, and none of another.
    inputs, before = _requests(test, [0, 2, 2], [1, 2, 4], 8)
    assert inputs == [[b"a"], [b"a", b"b"], [b"a", b"b", b"c", b"b"]]
    # The second b is not repeated.
    assert before == [[b"a"], [b"a", b"b"], [b"a", b"b", b"c"]]


def test_requests_are_cut_by_known_items_only(histories):
    test = histories.select(np.array([1]))  # b c x a
    inputs, before = _requests(test, [0], [4], 2)
    assert inputs == [[b"c", b"x", b"a"]]  # two known ones and x
    assert before == [[b"b", b"c", b"x", b"a"]]


def test_padding_comes_before_the_history():
    padded = raw_ids.padded([[b"a", b"b"], [], [b"c"]])
    assert padded.tolist() == [[b"a", b"b"], [b"", b""], [b"", b"c"]]
    assert raw_ids.padded([[], []]).tolist() == [[b""], [b""]]


def test_best_positions_keep_the_better_one():
    answers = np.array([[b"a", b"b", b"c"], [b"c", b"a", b""]], object)
    assert ranking.best_positions(answers) == {b"a": 1, b"b": 2, b"c": 1}
    combine = ranking.MergePositions()
    merged = combine.merge_accumulators([{b"a": 3}, {b"a": 2, b"b": 5}])
    assert combine.add_input(merged, {b"b": 6, b"d": 1}) == {
        b"a": 2,
        b"b": 5,
        b"d": 1,
    }


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan", "not finite.*training.json"),
        ("short", "1 items are recommended where 4"),
        ("duplicate", "recommended twice"),
        ("unsorted", "not sorted"),
        ("unknown", "not in the item vocabulary"),
        ("excluded", "although the request excludes"),
    ],
)
def test_answers_that_cannot_be_measured_are_errors(tmp_path, fault, message):
    model = exported_model.ExportedModel(_save(tmp_path, fault), CATALOGUE)
    with pytest.raises(exported_model.ModelAnswerError, match=message):
        model.recommend([[b"a"]], [[b"e"]], 4)


def test_model_without_the_signature_is_named(tmp_path):
    module = StandIn()
    tf.saved_model.save(module, str(tmp_path), signatures={})
    with pytest.raises(exported_model.ModelAnswerError, match="`recommend`"):
        exported_model.ExportedModel(str(tmp_path), CATALOGUE)


def test_fewer_items_than_asked_for_is_right_when_no_more_exist(tmp_path):
    model = exported_model.ExportedModel(_save(tmp_path), CATALOGUE)
    answers = model.recommend([[b"a"]], [[b"e", b"d", b"x"]], 4)
    assert [i for i in answers[0] if i] == [b"a", b"c", b"b"]


def test_exported_model_of_this_project_passes_the_checks(tmp_path):
    export = pytest.importorskip("serving.export")
    vectors = np.eye(5, dtype=np.float32)
    table = tf.Variable(np.vstack([np.zeros(5), vectors]), dtype=tf.float32)

    class Encoder(tf.Module):
        def __init__(self):
            super().__init__()
            self.table = table

        def __call__(self, rows):
            return tf.gather(self.table, rows[:, -1])

    export.export_saved_model(
        str(tmp_path),
        Encoder(),
        vectors,
        CATALOGUE,
        np.array([4, 3, 2, 1, 0], np.int32),
        max_history=3,
        version_info={},
    )
    model = exported_model.ExportedModel(str(tmp_path), CATALOGUE)
    answers = model.recommend([[b"b", b"d"], []], [[], [b"e"]], 4)
    assert answers[0, 0] == b"d"  # the identity: its own item comes first
    assert answers[1].tolist() == [b"d", b"c", b"b", b"a"]
    fewer = model.recommend([[b"b"]], [[b"a", b"c", b"d"]], 4)
    assert [i for i in fewer[0] if i] == [b"b", b"e"]


# --- measures ---------------------------------------------------------------


def test_split_sizes_by_hand(histories):
    summary = measures.summarize_splits(histories, SPLIT, CONFIG)
    assert summary == {
        # u1, u2, u3, u5; u4 has fewer than three events.
        "train": {"users": 4, "rows": 2 + 2 + 2 + 4},
        "validation": {"users": 2, "rows": 1 + 1},
        "train_validation": {"users": 4, "rows": 2 + 2 + 3 + 5},
        "test": {
            "users": 3,
            "rows": 1 + 2 + 1,
            "cold_target_share": {"last": 0.0, "first": pytest.approx(1 / 3)},
            "targets": {
                "last": {"users": 3, "targets": 3, "cold": 0, "dropped": 0},
                "first": {"users": 3, "targets": 3, "cold": 1, "dropped": 0},
            },
        },
        "excluded": {
            "few_user_events": 2,  # u4
            "few_development_events": 0,
            "few_train_events": 0,
            "short_test_history": 0,
        },
        "validation_cut": 1389225600,
        "test_cut": 1394150400,
        "strategy": "temporal",
        "validation_rule": "by_time",
        "leaks_future": False,
        "note": "",
    }


def test_universe_of_the_log_and_of_the_catalogue(histories):
    log = measures.build_universe(histories, "log")
    assert log.items.tolist() == [b"a", b"b", b"c", b"d", b"e", b"x"]
    np.testing.assert_array_equal(log.items[log.rows], histories.item_ids)
    catalogue = measures.build_universe(histories, "catalogue")
    assert catalogue.items.tolist() == CATALOGUE
    unknown = histories.item_ids == b"x"
    assert (catalogue.rows[unknown] == -1).all()
    np.testing.assert_array_equal(
        catalogue.items[catalogue.rows[~unknown]], histories.item_ids[~unknown]
    )


def test_most_popular_ranks_by_hand(histories):
    universe = measures.build_universe(histories, "log")
    counts = measures.fit_counts(histories, universe, SPLIT, max_length=2)
    # Newest two up to the test cut: ab, bc, bc, de.
    assert counts.tolist() == [1, 3, 2, 1, 1, 0]
    mask = splits.test_users(histories, SPLIT)
    test = histories.select(mask)
    rankings = baselines.rank_baseline(
        MostPopular(counts),  # b c a d e
        test,
        universe.rows[np.repeat(mask, histories.num_events)],
        6,
        {rule: select_targets(test, rule, 0) for rule in CONFIG.targets},
        CONFIG,
    )
    found = {key: r.ranks.tolist() for key, r in rankings.items()}
    none = UNRANKED
    assert found == {
        ("last", "kept"): [2, 3, 1],
        ("last", "filtered"): [1, 1, none],
        ("first", "kept"): [2, none, 1],
        ("first", "filtered"): [1, none, none],
    }
    assert rankings["last", "kept"].distinct == {3: 3, 4: 4}
    # u1: c d e; u2: a d e; u3: d e
    assert rankings["last", "filtered"].distinct == {3: 4, 4: 4}


# --- blessing ---------------------------------------------------------------


def _metrics(model, popular):
    return {
        "model": {"last": {"kept": {"ndcg_at_10": model}}},
        "most_popular": {"last": {"kept": {"ndcg_at_10": popular}}},
    }


@pytest.mark.parametrize(
    ("model", "ratio", "minimum", "blessed"),
    [
        (0.03, 1.0, 0.0, True),
        (0.02, 1.0, 0.0, True),  # equal is enough
        (0.019, 1.0, 0.0, False),
        (0.03, 2.0, 0.0, False),
        (0.03, 1.0, 0.05, False),
        (0.06, 2.0, 0.05, True),
        (float("nan"), 1.0, 0.0, False),
    ],
)
def test_blessing_needs_every_check(model, ratio, minimum, blessed):
    threshold = ThresholdConfig(min_value=minimum, min_ratio_to_baseline=ratio)
    config = EvaluationConfig(thresholds=(threshold,))
    result = blessing.bless(_metrics(model, 0.02), config)
    assert result["blessed"] is blessed
    assert len(result["checks"]) == (2 if minimum else 1)
    last = result["checks"][-1]
    assert last["required"] == pytest.approx(ratio * 0.02)
    assert "NDCG@10 (last target, seen items kept)" in last["check"]


def test_a_model_that_finds_nothing_is_not_blessed():
    """Not even beside a baseline that finds nothing: 0 is not below 0."""
    config = EvaluationConfig(thresholds=(ThresholdConfig(),))
    result = blessing.bless(_metrics(0.0, 0.0), config)
    assert result["blessed"] is False
    failed = [c["check"] for c in result["checks"] if not c["passed"]]
    assert failed == ["NDCG@10 (last target, seen items kept) is above zero"]


def test_without_thresholds_nothing_is_blessed():
    result = blessing.bless(_metrics(0.5, 0.1), EvaluationConfig(thresholds=()))
    assert result["blessed"] is False
    assert "thresholds" in result["checks"][0]["check"]
    assert result["checks"][0]["value"] is None


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        (ThresholdConfig(metric="ndcg_at_20"), "metric.*'ndcg_at_20'"),
        (ThresholdConfig(baseline="most_populr"), "Did you mean most_popular"),
        (ThresholdConfig(target="first"), "target.*last"),
        # measured at the largest cutoff only
        (ThresholdConfig(metric="mrr_at_10"), "mrr_at_100.*'mrr_at_10'"),
    ],
)
def test_thresholds_on_what_is_not_measured_are_errors(threshold, message):
    with pytest.raises(ValueError, match=message):
        EvaluationConfig(targets=("last",), thresholds=(threshold,))


def test_a_minimum_alone_needs_no_baseline():
    alone = ThresholdConfig(min_value=0.2, min_ratio_to_baseline=0.0)
    config = EvaluationConfig(baselines=(), thresholds=(alone,))
    metrics = {"model": {"last": {"kept": {"ndcg_at_10": 0.3}}}}
    assert blessing.bless(metrics, config)["blessed"] is True
    metrics["model"]["last"]["kept"]["ndcg_at_10"] = 0.1
    assert blessing.bless(metrics, config)["blessed"] is False
    with pytest.raises(ValueError, match="baseline.*'most_popular'"):
        EvaluationConfig(baselines=(), thresholds=(ThresholdConfig(),))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("targets", ()),
        ("targets", ("next",)),
        ("cutoffs", (0,)),
        ("batch_size", 0),
        ("bootstrap_samples", 0),
        ("seen_items", "hidden"),
        ("item_universe", "shop"),
    ],
)
def test_settings_out_of_range_are_named(key, value):
    with pytest.raises(ValueError, match=f"`{key}`"):
        EvaluationConfig(**{key: value})


# --- report -----------------------------------------------------------------


def _training():
    from tests.components.test_training_section import PLAN

    epochs = [
        {
            "epoch": n,
            "phase": "warmup" if n < 3 else "joint",
            "loss": 9.0 - n,
            "losses": {},
            "validation_ndcg_at_10": [None, None, 0.01, 0.02][n - 1],
            "seconds": 1.0,
        }
        for n in range(1, 5)
    ]
    refit = [dict(e, validation_ndcg_at_10=None) for e in epochs]
    return {
        "phases": {
            "selection": {
                "epochs": epochs,
                "best_epoch": 4,
                "best_validation_ndcg_at_10": 0.02,
            },
            "refit": {"epochs": refit},
        },
        "plan": PLAN,
        "model": {"embedding_dim": 64, "graph": {"encoder": "lightgcn"}},
        "training": {"seed": 3},
    }


INGEST = {
    "files": 2,
    "rows": 21,
    "used": 18,
    "dropped": {"k_core": 4},
    "dead": {"bad timestamp": 2, "empty item": 1},
    "users": 5,
    "items": 6,
}


def drift():
    """drift.json of `USERS`."""
    from tests.components.test_period_statistics import drift_of

    serialized = [_serialized(user) for user in USERS]
    return drift_of(histories_lib.parse_histories(serialized))


def test_dates_show_the_time_only_where_there_is_one():
    assert words.date(1394150400) == "2014-03-07"
    assert words.date(1394150461) == "2014-03-07T00:01:01Z"


# --- the whole component ----------------------------------------------------


@pytest.fixture
def artifacts(tmp_path, monkeypatch):
    """Inputs and outputs as the steps before leave them."""
    from tfx.types import standard_artifacts

    from components.artifacts import DeadLetters
    from components.transform import vocabularies

    def artifact(cls, name, number):
        result = cls()
        result.uri = str(tmp_path / name)
        result.id = number
        (tmp_path / name).mkdir()
        return result

    inputs = {
        "examples": [artifact(standard_artifacts.Examples, "examples", 1)],
        "transform_graph": [
            artifact(standard_artifacts.TransformGraph, "graph", 2)
        ],
        "model": [artifact(standard_artifacts.Model, "model", 3)],
        "model_run": [artifact(standard_artifacts.ModelRun, "run", 4)],
        "dead_letters": [artifact(DeadLetters, "dead", 5)],
        "period_statistics": [
            artifact(standard_artifacts.ExampleStatistics, "periods", 8)
        ],
    }
    outputs = {
        "evaluation": [
            artifact(standard_artifacts.ModelEvaluation, "evaluation", 6)
        ],
        "blessing": [artifact(standard_artifacts.ModelBlessing, "blessing", 7)],
    }
    inputs["examples"][0].split_names = '["all"]'
    folder = tmp_path / "examples" / "Split-all"
    folder.mkdir()
    names = list(USERS)
    for number, part in enumerate((names[:2], names[2:])):
        path = str(folder / f"transformed_examples-{number}.gz")
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for user in part:
                writer.write(_serialized(user))
    (tmp_path / "run" / "training.json").write_text(json.dumps(_training()))
    (tmp_path / "dead" / "ingest.json").write_text(json.dumps(INGEST))
    (tmp_path / "periods" / "drift.json").write_text(json.dumps(drift()))
    monkeypatch.setattr(
        vocabularies,
        "read_item_ids",
        lambda uri, period: CATALOGUE if "val" in period else CATALOGUE[:4],
    )
    return inputs, outputs


def _execute(artifacts, tmp_path, config=CONFIG, split=SPLIT, serving_dir=""):
    from components.ranking_evaluator.executor import Executor
    from tests.components.beam_helpers import beam_context

    context = beam_context(tmp_path / "tmp")
    Executor(context).Do(
        *artifacts,
        {
            "config": to_json(config),
            "split_config": to_json(split),
            "max_length": 2,
            "profile": "paper",
            "dataset": "five <users>",
            "serving_dir": serving_dir,
            "code_fingerprint": "",
        },
    )
    return json.loads((tmp_path / "evaluation" / "metrics.json").read_text())


def test_executor_end_to_end(artifacts, tmp_path):
    _save(tmp_path / "model" / "Format-Serving")
    found = _execute(artifacts, tmp_path)

    rows = pd.read_parquet(tmp_path / "evaluation" / "rankings")
    rows = rows.sort_values("user_id")
    assert rows["user_id"].unique().tolist() == ["u1", "u2", "u3"]
    for (rule, seen), expected in RANKS.items():
        chosen = rows[(rows.target_rule == rule) & (rows.seen_items == seen)]
        ranks = [None if pd.isna(r) else int(r) for r in chosen["rank"]]
        assert ranks == expected, (rule, seen)
    cold = rows[rows.target_is_cold]
    assert cold.user_id.tolist() == ["u2", "u2"]  # kept and filtered
    assert set(cold.target_rule + cold.target_item) == {"firstx"}
    first = rows[(rows.user_id == "u1") & (rows.seen_items == "filtered")]
    assert list(first.top_items.iloc[0]) == ["e", "d", "c"]

    kept = found["metrics"]["model"]["last"]["kept"]
    filtered = found["metrics"]["model"]["last"]["filtered"]
    assert kept["recall_at_3"] == 0.0
    assert kept["recall_at_4"] == pytest.approx(2 / 3)
    assert kept["ndcg_at_4"] == pytest.approx(2 / np.log2(5) / 3)
    assert kept["mrr_at_4"] == pytest.approx(2 / 4 / 3)
    # u1: b e d, u2: e d c, u3: c e d, out of a b c d e x.
    assert kept["coverage_at_3"] == pytest.approx(4 / 6)
    assert filtered["ndcg_at_3"] == pytest.approx(2 * 0.5 / 3)
    # u1: e d c, u2: e d a, u3: e d.
    assert filtered["coverage_at_4"] == pytest.approx(4 / 6)
    popular = found["metrics"]["most_popular"]["last"]["kept"]
    assert popular["ndcg_at_3"] == pytest.approx((1 / np.log2(3) + 1.5) / 3)
    assert set(found["metrics"]) == {"model", *BASELINES}
    assert found["splits"]["items"] == {
        "log": 6,
        "universe": 6,
        "train": 4,
        "train_validation": 5,
    }
    assert found["splits"]["test"]["users"] == 3
    assert found["index"] == {"kind": "exact"}
    _assert_not_blessed(found, artifacts, tmp_path)
    _assert_report(tmp_path)


def _assert_not_blessed(found, artifacts, tmp_path):
    """The model is worse than most popular."""
    assert found["blessing"]["blessed"] is False
    written = artifacts[1]["blessing"][0]
    assert written.get_int_custom_property("blessed") == 0
    assert written.get_int_custom_property("current_model_id") == 3
    assert written.get_string_custom_property("current_model") == (
        artifacts[0]["model"][0].uri
    )
    files = [f.name for f in (tmp_path / "blessing").iterdir()]
    assert files == ["NOT_BLESSED"]


def _assert_report(tmp_path):
    page = (tmp_path / "evaluation" / "report.html").read_text()
    assert "<title>five &lt;users&gt;, paper profile" in page
    # Nothing is loaded from anywhere.
    assert not re.search(r"<(script|link|img|iframe)\b", page)
    assert not re.search(r"(href|src)=\"(?!#)", page)
    assert "url(http" not in page and "@import" not in page
    # Selection, refit; periods; differences; the one slice with several
    # parts, popularity of the target.
    assert page.count("<svg") == 2 + 4 + 1 + 1
    assert "By popularity of the target." in page
    assert "Model card" in page and "Intended use" in page
    assert "warm-up" in page and "epoch 4: 2.00 %" in page
    assert page.count('class="card"') == 3
    for text in (
        "Not blessed",
        "Periods and drift",
        "2014-03-07",
        "2014-01-09",
        "4 dropped by rules (k core: 4)",
        "bad timestamp: 2",
        "graph.encoder",
        "at most 9 epochs, patience 2",
        "tensorflow 2.16",
    ):
        assert text in page, text
    # NDCG@4 of the model with two hits at rank 4: 28.71 %.
    assert "28.71" in page


def test_good_enough_model_is_blessed_like_by_tfx(artifacts, tmp_path):
    _save(tmp_path / "model" / "Format-Serving")
    threshold = ThresholdConfig(
        metric="recall_at_4", min_value=0.6, min_ratio_to_baseline=0.0
    )
    config = EvaluationConfig(
        cutoffs=(3, 4), bootstrap_samples=5, thresholds=(threshold,)
    )
    found = _execute(artifacts, tmp_path, config)
    assert found["blessing"]["checks"] == [
        {
            "check": "Recall@4 (last target, seen items kept) reaches the "
            "minimum",
            "value": pytest.approx(2 / 3),
            "required": 0.6,
            "passed": True,
        }
    ]
    written = artifacts[1]["blessing"][0]
    assert written.get_int_custom_property("blessed") == 1
    assert [f.name for f in (tmp_path / "blessing").iterdir()] == ["BLESSED"]


def test_broken_model_is_an_error_and_not_a_blessing(artifacts, tmp_path):
    _save(tmp_path / "model" / "Format-Serving", "nan")
    with pytest.raises(Exception, match="not finite"):
        _execute(artifacts, tmp_path)
    assert not list((tmp_path / "blessing").iterdir())


def test_no_test_users_names_the_settings_to_change(artifacts, tmp_path):
    _save(tmp_path / "model" / "Format-Serving")
    split = splits.SplitConfig(min_test_history=9)
    with pytest.raises(ValueError, match="min_test_history"):
        _execute(artifacts, tmp_path, split=split)


def test_component_refuses_thresholds_it_cannot_check():
    from tfx import types
    from tfx.types import standard_artifacts

    from components.artifacts import DeadLetters
    from components.ranking_evaluator.component import RankingEvaluator

    arguments = {
        "examples": types.Channel(type=standard_artifacts.Examples),
        "transform_graph": types.Channel(
            type=standard_artifacts.TransformGraph
        ),
        "model": types.Channel(type=standard_artifacts.Model),
        "model_run": types.Channel(type=standard_artifacts.ModelRun),
        "dead_letters": types.Channel(type=DeadLetters),
        "period_statistics": types.Channel(
            type=standard_artifacts.ExampleStatistics
        ),
        "split_config": to_json(SPLIT),
        "max_length": 10,
        "profile": "paper",
        "dataset": "demo",
        "serving_dir": "",
        "code_fingerprint": "0",
    }
    component = RankingEvaluator(
        config=to_json(EvaluationConfig()), **arguments
    )
    assert component.outputs["evaluation"].type is (
        standard_artifacts.ModelEvaluation
    )
    assert component.outputs["blessing"].type is (
        standard_artifacts.ModelBlessing
    )
    bad = '{"thresholds": [{"metric": "ndcg"}]}'
    with pytest.raises(ValueError, match=r"thresholds\[0\].metric"):
        RankingEvaluator(config=bad, **arguments)


def test_examples_are_test_users_with_their_own_answers(histories):
    mask = splits.test_users(histories, SPLIT)
    test = histories.select(mask)
    universe = measures.build_universe(histories, "log")
    targets = {"last": select_targets(test, "last", 0)}
    popular = baselines.rank_baseline(
        MostPopular(np.array([1, 3, 2, 1, 1, 0])),
        test,
        universe.rows[np.repeat(mask, histories.num_events)],
        6,
        targets,
        CONFIG,
    )
    rows = pa.table(
        {
            "target_item": ["c", "a", "b"],
            "rank": [4, None, 4],
            "top_items": [["b"], ["e"], ["c"]],
            "target_is_cold": [False] * 3,
        }
    )
    shown = examples.choose(
        test, targets["last"], universe, rows, popular["last", "kept"], 0
    )
    assert [s["user"] for s in shown] == ["u1", "u2", "u3"]
    assert shown[1] == {
        "user": "u2",
        "history": ["b", "c", "x"],
        "history_length": 3,
        "targets": [{"item": "a", "cold": False, "rank": None}],
        "num_targets": 1,
        "model": ["e"],
        "baseline": ["b", "c", "a", "d"],
    }
