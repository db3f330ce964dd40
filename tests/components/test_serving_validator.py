"""The validator against a server in a process of its own, and the Pusher."""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from google.protobuf import json_format, text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
from tfx import v1 as tfx
from tfx.components.pusher import executor as pusher
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components import rankings
from components.histories import read_histories
from components.ranking_evaluator.config import EvaluationConfig
from components.serving_validator import checks, executor, requests
from components.serving_validator.config import ServingValidationConfig
from components.serving_validator.executor import Executor
from components.serving_validator.requests import MeasuredRequest
from components.splits import SplitConfig
from models.settings import to_json
from tests.serving.catalogue import make_catalogue

SCHEMA = "pipeline/schema/schema.pbtxt"
REPOSITORY = pathlib.Path(__file__).parents[2]
USERS = 12
EVALUATION = EvaluationConfig(seen_items="filtered", targets=("last",))
PROPERTIES = {
    "evaluation_config": to_json(EVALUATION),
    "split_config": to_json(
        SplitConfig(min_user_events=3, min_development_events=2)
    ),
    "max_length": 6,
    "model_name": "create",
    "code_fingerprint": "",
}


@pytest.fixture(scope="module")
def catalogue():
    made = make_catalogue()
    made.item_vectors[7] = made.item_vectors[8]  # A tie at every user.
    return made


def _histories(catalogue):
    random = np.random.default_rng(5)
    return [
        random.choice(40, random.integers(3, 15), replace=False)
        for _ in range(USERS)
    ]


def _write_examples(directory, catalogue, histories):
    def ints(*values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def strings(*values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    directory.mkdir(parents=True)
    path = str(directory / "part.gz")
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for user, items in enumerate(histories):
            features = {
                "user_id": strings(b"u%02d" % user),
                "user_index": ints(user),
                "item_ids": strings(*[catalogue.item_ids[i] for i in items]),
                "item_indices": ints(*(items + 1)),
                "timestamps": ints(*range(len(items))),
                "num_train_events": ints(len(items) - 1),
                "num_development_events": ints(len(items) - 1),
                "validation_cut": ints(100),
                "test_cut": ints(200),
            }
            example = tf.train.Example(
                features=tf.train.Features(feature=features)
            )
            writer.write(example.SerializeToString())


def _write_rankings(directory, catalogue, histories):
    """What numpy ranks; the tie of items 7 and 8 the other way round."""
    rows = []
    tie = [catalogue.item_ids[i].decode() for i in (7, 8)]
    for user, items in enumerate(histories):
        history = [catalogue.item_ids[i] for i in items[:-1]]
        top = [i.decode() for i in catalogue.expected(history, history, 10)[0]]
        if set(tie) <= set(top):
            places = sorted(top.index(i) for i in tie)
            top[places[0]], top[places[1]] = tie[1], tie[0]
        rows.append(
            {
                "user_id": f"u{user:02d}",
                "target_rule": "last",
                "seen_items": "filtered",
                "target_item": catalogue.item_ids[items[-1]].decode(),
                "target_position": len(items) - 1,
                "rank": None,
                "top_items": top,
                "target_is_cold": False,
            }
        )
    directory.mkdir(parents=True)
    table = pa.Table.from_pylist(rows, rankings.SCHEMA)
    pq.write_table(table, directory / "part.parquet")
    return rows


@pytest.fixture(scope="module")
def inputs(catalogue, tmp_path_factory):
    root = tmp_path_factory.mktemp("validator")
    histories = _histories(catalogue)
    _write_examples(root / "examples" / "Split-all", catalogue, histories)
    rows = _write_rankings(root / "evaluation/rankings", catalogue, histories)
    catalogue.export(root / "model" / "Format-Serving")
    (root / "schema").mkdir()
    shutil.copy(REPOSITORY / SCHEMA, root / "schema")
    examples = standard_artifacts.Examples()
    examples.split_names = json.dumps(["all"])
    found = {
        "examples": examples,
        "model": standard_artifacts.Model(),
        "evaluation": standard_artifacts.ModelEvaluation(),
        "schema": standard_artifacts.Schema(),
    }
    for name, artifact in found.items():
        artifact.uri = str(root / name)
    return found, rows


def _validate(inputs, output, **settings):
    """Runs the executor; the blessing and its report."""
    config = ServingValidationConfig(timed_requests=40, **settings)
    blessing = standard_artifacts.InfraBlessing()
    blessing.uri = str(output)
    output.mkdir()
    Executor().Do(
        {name: [artifact] for name, artifact in inputs.items()},
        {"blessing": [blessing]},
        {**PROPERTIES, "config": to_json(config)},
    )
    report = json.loads((output / "validation.json").read_text())
    return blessing, report


def _push(blessing, tmp_path):
    """What the stock Pusher makes of it: pushed versions."""
    good = standard_artifacts.ModelBlessing()
    good.uri = str(tmp_path / "good")
    good.set_int_custom_property("blessed", 1)
    pushed = standard_artifacts.PushedModel()
    pushed.uri = str(tmp_path / "pushed")
    destination = tfx.proto.PushDestination(
        filesystem=tfx.proto.PushDestination.Filesystem(
            base_directory=str(tmp_path / "serving")
        )
    )
    pusher.Executor().Do(
        {"model_blessing": [good], "infra_blessing": [blessing]},
        {"pushed_model": [pushed]},
        {
            "push_destination": json_format.MessageToJson(
                destination, preserving_proto_field_name=True
            )
        },
    )
    return sorted((tmp_path / "serving").glob("*"))


def _digest(directory):
    files = sorted(p for p in pathlib.Path(directory).rglob("*") if p.is_file())
    return {
        str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).digest()
        for p in files
    }


def test_model_that_answers_as_measured_is_pushed_as_tried(
    inputs, catalogue, tmp_path
):
    artifacts, rows = inputs
    before = _digest(artifacts["model"].uri)
    blessing, report = _validate(
        artifacts, tmp_path / "blessing", warmup_users=5
    )
    assert report["passed"], report
    assert len(report["checks"]) == 6
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert (tmp_path / "blessing" / "INFRA_BLESSED").exists()
    # A published artifact stays as it is.
    assert _digest(artifacts["model"].uri) == before
    (version,) = _push(blessing, tmp_path)
    tried = path_utils.stamped_model_path(blessing.uri)
    assert _digest(version) == _digest(tried)
    records = tf.data.TFRecordDataset(
        str(version / "assets.extra" / "tf_serving_warmup_requests")
    )
    histories = {
        tuple(request.inputs["history"].string_val)
        for record in records.as_numpy_iterator()
        for request in [
            prediction_log_pb2.PredictionLog.FromString(
                record
            ).predict_log.request
        ]
        if request.model_spec.signature_name == "serving_default"
    }
    sent = [
        tuple(catalogue.item_ids[i] for i in items[:-1])
        for items in _histories(catalogue)
    ]
    # Those of so many users as the settings say, and no more.
    assert [history in histories for history in sent] == [True] * 5 + (
        [False] * (USERS - 5)
    )


def test_model_that_answers_otherwise_or_late_is_not_pushed(
    inputs, catalogue, tmp_path, capsys
):
    other = standard_artifacts.Model()
    other.uri = str(tmp_path / "other")
    changed = dataclasses.replace(
        catalogue, item_vectors=catalogue.item_vectors[::-1].copy()
    )
    changed.export(tmp_path / "other" / "Format-Serving")
    blessing, report = _validate(
        {**inputs[0], "model": other},
        tmp_path / "blessing",
        max_p99_ms=1e-3,
        users=5,
    )
    assert not report["passed"]
    failed = [c for c in report["checks"] if not c["passed"]]
    assert [c["name"] for c in failed] == [
        "answers to 5 requests are those measured",
        "99 % of requests take at most 0.001 ms",
    ]
    assert failed[0]["detail"].startswith("user 'u00': served [")
    assert blessing.get_int_custom_property("blessed") == 0
    assert (tmp_path / "blessing" / "INFRA_NOT_BLESSED").exists()
    assert "not pushed: answers to 5 requests" in capsys.readouterr().out
    assert _push(blessing, tmp_path) == []


def test_model_that_does_not_load_is_not_pushed(inputs, tmp_path):
    broken = standard_artifacts.Model()
    broken.uri = str(tmp_path / "broken")
    folder = tmp_path / "broken" / "Format-Serving"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"no model")
    blessing, report = _validate(
        {**inputs[0], "model": broken}, tmp_path / "blessing"
    )
    (check,) = report["checks"]
    assert not check["passed"]
    assert "cannot be served" in check["detail"]
    assert _push(blessing, tmp_path) == []


class FakeServer:
    """Stands in for the server; notes how long it may take to load."""

    target = "nowhere"

    def __init__(self, flags, model_name, *, timeout):
        FakeServer.timeout = timeout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize(
    ("slow", "passed"), [(0, True), (1, True), (3, False), (50, False)]
)
def test_one_request_in_a_hundred_may_be_late(monkeypatch, slow, passed):
    """And a model may take as long to load as the settings say."""
    taken = np.full(200, 1.0)
    taken[:slow] = 1e9
    monkeypatch.setattr(executor, "LocalServer", FakeServer)
    monkeypatch.setattr(executor, "connect", contextlib.nullcontext)
    for name in ("signatures", "answers", "repeats", "strangers"):
        check = checks.Check(name, True, "")
        monkeypatch.setattr(
            checks.ServerProbe,
            f"check_{name}",
            lambda *_, check=check: check,
        )
    monkeypatch.setattr(checks.ServerProbe, "__init__", lambda *_: None)
    monkeypatch.setattr(checks.ServerProbe, "latencies", lambda *_: taken)
    config = ServingValidationConfig(timeout_seconds=17.0)
    found, _ = executor._validate("", "create", [], None, config)
    assert [check.passed for check in found] == [True] * 5 + [passed]
    assert FakeServer.timeout == 17.0


@pytest.mark.parametrize("seen", ["kept", "filtered"])
def test_requests_exclude_what_the_measured_ones_did(
    inputs, catalogue, tmp_path, seen
):
    artifacts, rows = inputs
    table = pa.Table.from_pylist(
        [{**row, "seen_items": seen} for row in rows], rankings.SCHEMA
    )
    (tmp_path / "rankings").mkdir()
    pq.write_table(table, tmp_path / "rankings" / "part.parquet")
    found = requests.choose(
        read_histories([f"{artifacts['examples'].uri}/Split-all/part.gz"]),
        SplitConfig(min_user_events=3, min_development_events=2),
        dataclasses.replace(EVALUATION, seen_items=seen),
        6,
        str(tmp_path),
        USERS,
    )
    assert len(found) == USERS
    for request, items in zip(found, _histories(catalogue), strict=True):
        history = [catalogue.item_ids[i] for i in items[:-1]]
        assert request.history == history
        assert request.exclude == (history if seen == "filtered" else [])


def test_evaluation_of_another_run_is_an_error(inputs, tmp_path):
    artifacts, rows = inputs
    other = standard_artifacts.ModelEvaluation()
    other.uri = str(tmp_path / "evaluation")
    (tmp_path / "evaluation" / "rankings").mkdir(parents=True)
    kept = [row for row in rows if row["user_id"] != "u03"]
    pq.write_table(
        pa.Table.from_pylist(kept, rankings.SCHEMA),
        tmp_path / "evaluation/rankings/part.parquet",
    )
    with pytest.raises(ValueError, match="no ranking for user 'u03'"):
        _validate({**artifacts, "evaluation": other}, tmp_path / "blessing")


class Answers(checks.ServerProbe):
    """Answers these rankings, a row each, whatever is asked."""

    def __init__(self, *rankings):
        self.rankings = rankings

    def predict(self, request):
        answer = predict_pb2.PredictResponse()
        for name, values in (
            ("item_ids", [list(ranking) for ranking in self.rankings]),
            ("scores", [list(ranking.values()) for ranking in self.rankings]),
        ):
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(values))
        return answer


@pytest.mark.parametrize(
    ("measured", "passed"),
    [
        ("abc", True),
        ("acb", True),  # b and c are nearly equal.
        ("abd", True),  # So is d, which comes right after them.
        ("abe", False),
        ("bac", False),
        ("abx", False),
    ],
)
def test_only_near_ties_may_change_places(measured, passed):
    ranking = {"a": 9.0, "b": 5.001, "c": 5.0, "d": 4.999, "e": 4.9}
    request = MeasuredRequest("u1", [b"z"], [], list(measured))
    check = Answers(ranking).check_answers([request])
    assert check.passed is passed
    if not passed:
        assert "user 'u1': served ['a', 'b', 'c'], measured" in check.detail


def test_shorter_answer_than_measured_is_wrong():
    request = MeasuredRequest("u1", [b"z"], [], ["a", "b"])
    assert not Answers({"a": 1.0}).check_answers([request]).passed
    assert not Answers({"a": 1.0, "": -np.inf}).check_answers([request]).passed


@pytest.mark.parametrize(
    ("nobody", "stranger", "passed"),
    [
        ({"a": 2.0, "b": 1.0}, {"a": 2.0, "b": 1.0}, True),
        ({"a": 2.0, "b": 1.0}, {"b": 2.0, "a": 1.0}, False),
        ({"a": 2.0, "b": np.nan}, {"a": 2.0, "b": np.nan}, False),
        ({"a": 2.0, "": 1.0}, {"a": 2.0, "": 1.0}, False),
    ],
)
def test_strangers_get_the_same_items_with_scores(nobody, stranger, passed):
    """An unknown item tells no more than no item does."""
    assert Answers(nobody, stranger).check_strangers().passed is passed


def test_schema_must_fit_the_signatures():
    schema = text_format.Parse(
        (REPOSITORY / SCHEMA).read_text(), schema_pb2.Schema()
    )
    assert checks._schema_differences(schema) == []
    schema.feature[1].type = schema_pb2.INT
    (found,) = checks._schema_differences(schema)
    assert "item_ids of the schema must be BYTES" in found
    assert "found INT" in found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"users": 0}, "`users` must be at least 1"),
        ({"max_p99_ms": 0.0}, "`max_p99_ms` must be above 0"),
        ({"warmup_users": 251}, "`warmup_users` must be from 0 to 250"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        ServingValidationConfig(**settings)
