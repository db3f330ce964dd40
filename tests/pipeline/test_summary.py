"""The summary, from a metadata store and artifacts made by hand."""

import json
from pathlib import Path

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.ranking_evaluator import blessing
from components.ranking_evaluator.config import EvaluationConfig
from pipeline import summary_writer
from pipeline.config import load_config
from pipeline.paths import RunPaths
from pipeline.run_records import read_newest_run
from pipeline.summary import SummaryError, read_summary
from pipeline.summary_table import format_summary

STATE = mlmd.Execution.State


class Store:
    """A metadata store with runs of components that never ran."""

    def __init__(self, path):
        connection = mlmd.ConnectionConfig()
        connection.sqlite.filename_uri = str(path)
        connection.sqlite.connection_mode = 3
        self.store = metadata_store.MetadataStore(connection)
        self.types = {
            name: self.store.put_context_type(mlmd.ContextType(name=name))
            for name in ("pipeline_run", "node")
        }
        self.execution_type = self.store.put_execution_type(
            mlmd.ExecutionType(name="component")
        )
        self.artifact_type = self.store.put_artifact_type(
            mlmd.ArtifactType(name="artifact")
        )
        self.nodes = {}

    def context(self, kind, name):
        context = mlmd.Context(type_id=self.types[kind], name=name)
        return self.store.put_contexts([context])[0]

    def execute(self, run, node, outputs, state=STATE.COMPLETE):
        """Records one component: outputs are key -> (uri, properties)."""
        if node not in self.nodes:
            self.nodes[node] = self.context("node", f"shop.{node}")
        execution = mlmd.Execution(
            type_id=self.execution_type, last_known_state=state
        )
        written = []
        for key, (uri, properties) in outputs.items():
            artifact = mlmd.Artifact(type_id=self.artifact_type, uri=uri)
            for name, value in properties.items():
                field = (
                    "int_value" if isinstance(value, int) else ("string_value")
                )
                setattr(artifact.custom_properties[name], field, value)
            event = mlmd.Event(type=mlmd.Event.OUTPUT)
            event.path.steps.add().key = key
            event.path.steps.add().index = 0
            written.append((artifact, event))
        self.store.put_execution(
            execution,
            written,
            [
                mlmd.Context(id=number, type_id=self.types[kind], name=name)
                for kind, number, name in (
                    ("pipeline_run", run[0], run[1]),
                    ("node", self.nodes[node], f"shop.{node}"),
                )
            ],
        )


def values(ndcg, recall, coverage):
    result = {"intervals": {"ndcg_at_10": [0.0, 1.0]}, "mrr_at_100": 0.5}
    for k in (10, 100):
        result |= {
            f"ndcg_at_{k}": ndcg * k,
            f"recall_at_{k}": recall * k,
            f"coverage_at_{k}": coverage * k,
        }
    return result


def rules(*figures):
    return {
        target: {rule: values(*figures) for rule in ("kept", "filtered")}
        for target in ("last", "first")
    }


METRICS = {
    "profile": "sound",
    "splits": {
        "train": {"users": 1234, "rows": 56789},
        "test": {"users": 99, "rows": 100, "cold_target_share": {"last": 0.1}},
        "validation_cut": 10,
        "test_cut": 20,
    },
    "metrics": {
        "model": rules(0.0012344, 0.002, 0.003),
        "most_popular": rules(0.0001, 0.0002, 0.0003),
    },
    "best_baseline": "most_popular",
    "comparisons": {
        "last": {
            "kept": {"most_popular": {}},
            "filtered": {
                "most_popular": {
                    "ndcg_at_10": {
                        "difference": 0.0011344,
                        "interval": [-0.0005, 0.002],
                    }
                }
            },
        }
    },
    "slices": {"last": {"users": []}},
    "compared": {},
    "index": {"kind": "exact"},
    "blessing": {
        "blessed": True,
        "checks": [
            {
                "check": "ndcg_at_10 of last",
                "value": 0.012345,
                "required": 0.001,
                "passed": True,
            }
        ],
    },
}
TRAINING = {
    "phases": {
        "selection": {
            "epochs": [
                {"epoch": 1, "phase": "warmup", "loss": 1.0, "seconds": 2.5},
                {"epoch": 2, "phase": "joint", "loss": 0.5, "seconds": 3.5},
            ],
            "best_epoch": 2,
            "best_validation_ndcg_at_10": 0.07,
        },
        "refit": {
            "epochs": [
                {"epoch": 1, "phase": "joint", "loss": 0.4, "seconds": 4.0}
            ]
        },
    }
}
DRIFT = {
    "periods": {
        "test": {
            "events": 100,
            "new_users": {"event_share": 0.25},
            "new_items": {"event_share": 0.031},
        }
    },
    "popularity_shift": {"test": {"top": {"shared": 7, "size": 9}}},
    "comparisons": [],
    "warnings": ["Item popularity moved."],
    "pictures": {"activity": [1, 2, 3]},
}


@pytest.fixture
def config(tmp_path):
    return load_config(
        "pipeline/configs/demo.yaml", ["name=shop", f"runs_dir={tmp_path}"]
    )


@pytest.fixture
def store(config):
    paths = RunPaths.of(config)
    paths.run_dir.mkdir(parents=True)
    return Store(paths.metadata)


@pytest.fixture(autouse=True)
def no_vocabulary(monkeypatch):
    monkeypatch.setattr(
        summary_writer, "_example_items", lambda run: ["a1", "b 2"]
    )


SERVED = {
    "passed": True,
    "checks": [{"name": "it loads", "passed": True, "detail": "it does"}],
    "latency_ms": {"p50": 1.26, "p95": 2.0, "p99": 3.25},
}
REFUSED = {
    "passed": False,
    "checks": [{"name": "it loads", "passed": False, "detail": "no model"}],
}


def record_run(store, tmp_path, name, blessed=True, cached=(), served=SERVED):
    """Records a run of five components whose artifacts lie in tmp_path."""
    run = (store.context("pipeline_run", name), name)
    folders = {}
    metrics = json.loads(json.dumps(METRICS))
    metrics["blessing"]["blessed"] = blessed
    metrics["blessing"]["checks"][0]["passed"] = blessed
    for folder, file, content in (
        ("letters", "ingest.json", {"rows": 10, "used": 9, "dead": {"x": 1}}),
        ("run", "training.json", TRAINING),
        ("evaluation", "metrics.json", metrics),
        ("statistics", "drift.json", DRIFT),
        ("served", "validation.json", served),
    ):
        folders[folder] = tmp_path / f"{name}-{folder}"
        folders[folder].mkdir()
        (folders[folder] / file).write_text(json.dumps(content))
    pushed = {"pushed": int(blessed and served["passed"])}
    if pushed["pushed"]:
        folder = tmp_path / "serving" / "create" / name
        folder.mkdir(parents=True)
        pushed["pushed_destination"] = str(folder)
    outputs = {
        "HistoryExampleGen": {"dead_letters": (folders["letters"], {})},
        "Trainer": {"model_run": (folders["run"], {})},
        "PeriodStatistics": {"statistics": (folders["statistics"], {})},
        "RankingEvaluator": {
            "evaluation": (folders["evaluation"], {}),
            "blessing": ("/blessing", {"blessed": int(blessed)}),
        },
        "ServingValidator": {
            "blessing": (
                folders["served"],
                {"blessed": int(served["passed"])},
            )
        },
        "Pusher": {"pushed_model": ("/pushed", pushed)},
    }
    for node, artifacts in outputs.items():
        store.execute(
            run,
            node,
            {key: (str(u), p) for key, (u, p) in artifacts.items()},
            STATE.CACHED if node in cached else STATE.COMPLETE,
        )


def test_summary_holds_what_the_contract_names(store, config, tmp_path):
    record_run(store, tmp_path, "r1")
    written = summary_writer.write_summary(config)
    path = tmp_path / "shop" / "summary.json"
    assert json.loads(path.read_text()) == json.loads(json.dumps(written))
    assert written["splits"] == METRICS["splits"]
    assert written["metrics"] == METRICS["metrics"]
    assert written["ingest"]["used"] == 9
    assert written["drift"]["warnings"] == ["Item popularity moved."]
    assert "pictures" not in written["drift"]
    assert written["blessed"] is True
    assert written["serving_validation"] == SERVED
    folder = tmp_path / "serving" / "create" / "r1"
    assert written["pushed_model"] == str(folder)
    folder.rmdir()  # such as by serving.versions prune
    assert summary_writer.write_summary(config)["pushed_model"] is None
    assert written["report"].endswith("r1-evaluation/report.html")
    assert written["config"]["training"]["seed"] == 0
    assert list(written["timings"]["components"]) == [
        "HistoryExampleGen",
        "Trainer",
        "PeriodStatistics",
        "RankingEvaluator",
        "ServingValidator",
        "Pusher",
    ]
    assert written["timings"]["epochs"] == {
        "selection": [
            {"epoch": 1, "phase": "warmup", "seconds": 2.5},
            {"epoch": 2, "phase": "joint", "seconds": 3.5},
        ],
        "refit": [{"epoch": 1, "phase": "joint", "seconds": 4.0}],
    }
    assert written["training"]["selection"] == {
        "best_epoch": 2,
        "best_validation_ndcg_at_10": 0.07,
        "num_epochs": 2,
    }
    assert written["cached"] == []
    assert written["versions"]["tfx"] == "1.16.0"
    assert len(written["code_fingerprint"]) == 64


def test_newest_run_counts_and_cached_components_are_named(
    store, config, tmp_path
):
    record_run(store, tmp_path, "r1")
    record_run(
        store, tmp_path, "r2", blessed=False, cached=["HistoryExampleGen"]
    )
    written = summary_writer.write_summary(config)
    assert written["run_id"] == "r2"
    assert written["cached"] == ["HistoryExampleGen"]
    assert written["blessed"] is False
    assert written["pushed_model"] is None


def test_missing_output_is_named(store, config, tmp_path):
    run = (store.context("pipeline_run", "r1"), "r1")
    store.execute(run, "HistoryExampleGen", {})
    with pytest.raises(SummaryError, match="of RankingEvaluator"):
        summary_writer.write_summary(config)


def test_removed_artifact_is_named(store, config, tmp_path):
    record_run(store, tmp_path, "r1")
    (tmp_path / "r1-run" / "training.json").unlink()
    with pytest.raises(SummaryError, match="no training.json"):
        summary_writer.write_summary(config)


def test_no_run_and_no_summary_say_make_run(store, config):
    with pytest.raises(LookupError, match="make run"):
        read_newest_run(str(RunPaths.of(config).metadata), "shop")
    with pytest.raises(SummaryError, match="make run"):
        read_summary(config)


def test_table_says_why_a_blessed_model_was_not_pushed(store, config, tmp_path):
    record_run(store, tmp_path, "r1")
    text = format_summary(summary_writer.write_summary(config))
    assert "fresh process: p50 1.3 ms, p99 3.2 ms" in text
    assert "Blessed, and pushed" in text
    record_run(store, tmp_path, "r2", served=REFUSED)
    written = summary_writer.write_summary(config)
    assert written["pushed_model"] is None
    text = format_summary(written)
    assert "FAIL served: it loads: no model" in text
    assert "NOT PUSHED: the model is good enough" in text


def test_table_says_how_the_model_stands_to_the_best_baseline(
    store, config, tmp_path
):
    record_run(store, tmp_path, "r1")
    written = summary_writer.write_summary(config)
    line = "Beside the best baseline, most_popular: NDCG@10 +0.11 points "
    assert f"{line}(-0.05 to +0.20), not told apart" in format_summary(written)
    found = written["comparisons"]["last"]["filtered"]["most_popular"]
    for interval, verdict in (([1e-4, 2e-3], "better"), ([-2, -1], "worse")):
        found["ndcg_at_10"]["interval"] = interval
        assert f"), {verdict}\n" in format_summary(written)
    written["best_baseline"] = None
    assert "best baseline" not in format_summary(written)


def test_table_warns_of_a_model_that_shows_few_items(store, config, tmp_path):
    record_run(store, tmp_path, "r1")
    written = summary_writer.write_summary(config)
    assert "WARNING" not in format_summary(written)
    written["metrics"]["popular_random"] = rules(0.0, 0.0, 0.05)
    assert (
        "\nWARNING: Coverage@10 is 3.00 %, less than a tenth of PopRnd's "
        "50.00 %:" in format_summary(written)
    )


def test_a_check_without_a_metric_has_no_numbers(store, config, tmp_path):
    record_run(store, tmp_path, "r1")
    written = summary_writer.write_summary(config)
    written["blessing"] = blessing.bless(
        {}, EvaluationConfig(thresholds=()), leaks_future=True
    )
    lines = format_summary(written).splitlines()
    names = "FAIL `evaluation.thresholds` names at least one condition"
    assert names in lines


def test_table_shows_percent_of_every_model_and_setting(
    store, config, tmp_path
):
    record_run(store, tmp_path, "r1", cached=["HistoryExampleGen"])
    text = format_summary(summary_writer.write_summary(config))
    lines = text.splitlines()
    assert "train                  1,234 users      56,789 rows" in lines
    assert "Test metrics in %, demo, profile sound" in lines
    start = lines.index("last target, seen items filtered (main setting)")
    assert lines[start + 1].split() == (
        "NDCG@10 R@10 Cov@10 NDCG@100 R@100 Cov@100".split()
    )
    # .0012344 * 10 and * 100 in percent
    assert lines[start + 2].split() == (
        "model 1.23 2.00 3.00 12.34 20.00 30.00".split()
    )
    assert lines[start + 3].split()[:2] == ["most_popular", "0.10"]
    assert "last target, seen items kept" in lines
    assert "first target, seen items kept" in lines
    assert "HistoryExampleGen cached" in text
    assert (
        "Drift: 25.0 % of the test events by new users, 3.1 % of new items; "
        "7 of the top 9 items stayed; 1 warning in the report"
    ) in lines
    assert "Blessed" in text


def test_table_has_the_model_first_then_the_best_of_the_others(
    store, config, tmp_path
):
    """By the main setting in every table, whatever their names."""
    record_run(store, tmp_path, "r1")
    written = summary_writer.write_summary(config)
    written["metrics"] |= {
        "a_poor_one": rules(0.0, 0.0, 0.0),
        "z_better_one": rules(0.005, 0.0, 0.0),
    }
    written["metrics"]["a_poor_one"]["first"]["kept"]["ndcg_at_10"] = 0.9
    names = [
        line.split()[0]
        for line in format_summary(written).splitlines()
        if line.startswith(tuple(written["metrics"]))
    ]
    order = ["model", "z_better_one", "most_popular", "a_poor_one"]
    assert names == 4 * order


def test_parts_are_shown_with_the_times_between_them(store, config, tmp_path):
    record_run(store, tmp_path, "r1")
    written = summary_writer.write_summary(config)
    cuts = {"validation_cut": 1_389_225_600, "test_cut": 1_394_150_401}
    written["splits"] |= {**cuts, "strategy": "temporal"}
    lines = format_summary(written).splitlines()
    for line in (
        "train                  1,234 users      56,789 rows  up to 2014-01-09",
        "test                      99 users         100 rows"
        "  after 2014-03-07T00:00:01Z",
    ):
        assert line in lines
    # Every user's last event: there is no time that lies between.
    written["splits"]["strategy"] = "leave_one_out"
    assert "  up to " not in format_summary(written)


def test_an_unblessed_model_is_said_with_the_check(store, config, tmp_path):
    record_run(store, tmp_path, "r1", blessed=False)
    text = format_summary(summary_writer.write_summary(config))
    assert "FAIL ndcg_at_10 of last: 0.0123, required 0.0010" in text
    assert "NOT BLESSED" in text


def test_a_rollback_is_told_where_the_model_was_pushed_before(
    store, config, tmp_path
):
    record_run(store, tmp_path, "7")
    pushed = Path(summary_writer.write_summary(config)["pushed_model"])
    (pushed / "saved_model.pb").touch()
    written = summary_writer.write_summary(config)
    assert written["served_model"] == written["pushed_model"]
    newer = pushed.parent / "8"
    newer.mkdir()
    (newer / "saved_model.pb").touch()
    written = summary_writer.write_summary(config)
    assert written["pushed_model"] == str(pushed)
    assert written["served_model"] == str(newer)
    assert f"servers have {newer} since" in format_summary(written)


def test_targets_and_what_is_excluded_are_shown(store, config, tmp_path):
    record_run(store, tmp_path, "r1")
    written = summary_writer.write_summary(config)
    for target in ("random", "successive", "all"):
        for model in written["metrics"].values():
            model[target] = model["last"]
    rules = ["last", "random", "successive", "all"]
    written["config"]["evaluation"]["targets"] = rules
    count = {"users": 99, "targets": 1500, "cold": 40, "dropped": 0}
    written["splits"]["test"]["targets"] = dict.fromkeys(rules, count)
    written["splits"]["excluded"] = {
        "few_user_events": 0,
        "few_train_events": 7,
    }
    written["splits"]["note"] = "Validation: of other users."
    text = format_summary(written)
    lines = text.splitlines()
    assert (
        "successive targets        99 users       1,500 targets, of these 40 "
        "unknown before the test cut: misses"
    ) in lines
    for heading in ("random target", "successive targets", "all targets"):
        assert f"{heading}, seen items filtered (main setting)" in lines
    assert "few_train_events                             7 rows in none" in text
    assert "few_user_events" not in text
    assert "Validation: of other users." in lines
    assert "LEAK" not in text
    written["config"]["evaluation"]["cold_items"] = "dropped"
    assert "40 unknown before the test cut: not measured" in format_summary(
        written
    )


def test_leave_one_out_is_marked_above_its_numbers(store, config, tmp_path):
    record_run(store, tmp_path, "r1")
    written = summary_writer.write_summary(config)
    written["splits"]["leaks_future"] = True
    text = format_summary(written)
    warning = text.index("LEAVE-ONE-OUT LEAKS THE FUTURE")
    assert text.index("Test metrics in %") < warning < text.index("NDCG@10")
