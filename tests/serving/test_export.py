import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from serving.signatures import SIGNATURES

FRESH_PROCESS = """
import importlib.util, json, sys
import tensorflow as tf
for name in ("serving", "models", "components"):
    assert importlib.util.find_spec(name) is None, name
model = tf.saved_model.load(sys.argv[1])
answer = model.signatures["serving_default"](
    history=tf.constant(json.loads(sys.argv[2]))
)
ids = [[i.decode() for i in row] for row in answer["item_ids"].numpy()]
for name in ("recommend", "recommend_batch", "score", "user_vector",
             "item_vectors"):
    assert name in model.signatures, name
everything = model.signatures["item_vectors"](
    start=tf.constant(0, tf.int64), count=tf.constant(10**6)
)
assert everything["vectors"].shape == (40, 8)
print(json.dumps([ids, answer["scores"].numpy().tolist()]))
"""


@pytest.fixture(scope="module")
def signatures(exported):
    model = tf.saved_model.load(str(exported))
    yield model.signatures


def _pad(rows, width=None):
    width = max(map(len, rows)) if width is None else width
    padded = [list(row) + [b""] * (width - len(row)) for row in rows]
    return tf.constant(padded, tf.string, [len(rows), width])


def _recommend(signatures, histories, excludes, k):
    answer = signatures["recommend"](
        history=_pad(histories), exclude=_pad(excludes), k=tf.constant(k)
    )
    return answer["item_ids"].numpy(), answer["scores"].numpy()


def _check(answer, expected):
    for ids, scores, (expected_ids, expected_scores) in zip(
        *answer, expected, strict=True
    ):
        assert ids.tolist() == expected_ids
        np.testing.assert_allclose(
            scores, expected_scores, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("k", [1, 7, 40, 1000])
def test_ranking_equals_numpy(signatures, catalogue, k):
    random = np.random.default_rng(k)
    histories, excludes = [], []
    for length in (1, 2, 4, 5, 9, 30):
        history = random.choice(catalogue.item_ids, length).tolist()
        histories.append(history)
        excludes.append(history[:6] + [b"unknown", history[0]])
    answer = _recommend(signatures, histories, excludes, k)
    expected = [
        catalogue.expected(h, e, k)
        for h, e in zip(histories, excludes, strict=True)
    ]
    assert answer[0].shape == (6, min(k, 40))
    _check(answer, expected)


def test_pads_and_unknown_ids_anywhere_change_nothing(signatures, catalogue):
    a, b, c = catalogue.item_ids[3:6]
    variants = [
        [a, b, c],
        [b"", b"", a, b, c],
        [a, b"", b"never seen", b, c, b"", b""],
        [b"never seen", a, b, b"", c, b"nor this"],
    ]
    ids, scores = _recommend(signatures, variants, [[]] * 4, 10)
    expected = catalogue.expected([a, b, c])
    _check((ids, scores), [expected] * 4)


def test_encoder_sees_newest_known_items_right_aligned(catalogue, tmp_path):
    weights = np.array([1, 10, 100, 1000, 10000], np.float32)

    def encode(rows):
        # Reads as decimal digits where every row stands.
        digits = tf.reduce_sum(tf.cast(rows, tf.float32) * weights, axis=1)
        return tf.pad(digits[:, tf.newaxis], [[0, 0], [0, 7]])

    one = np.eye(8, dtype=np.float32)[:1]
    catalogue.export(
        tmp_path,
        encode=encode,
        item_vectors=np.repeat(one, 9, axis=0),
        item_ids=[b"%d" % row for row in range(1, 10)],
        popular_items=np.arange(9),
    )
    model = tf.saved_model.load(str(tmp_path))
    histories = [
        [b"7"],
        [b"1", b"", b"2", b"x", b"3", b"4", b"5", b"6", b"7", b""],
    ]
    answer = model.signatures["serving_default"](history=_pad(histories))
    assert answer["scores"][:, 0].numpy().tolist() == [70000, 76543]


def test_equal_scores_go_to_the_lower_row(catalogue, tmp_path):
    vectors = catalogue.item_vectors.copy()
    vectors[[11, 30, 4]] = 9 * vectors[0]
    catalogue.export(
        tmp_path,
        encode=lambda rows: tf.gather(tf.constant(vectors), rows[:, -1] - 1),
        item_vectors=vectors,
    )
    model = tf.saved_model.load(str(tmp_path))
    answer = model.signatures["serving_default"](
        history=tf.constant([catalogue.item_ids[:1]])
    )
    expected = [catalogue.item_ids[i] for i in (4, 11, 30)]
    assert answer["item_ids"][0, :3].numpy().tolist() == expected


@pytest.mark.parametrize("width", [0, 1, 12])
def test_empty_history_gets_popular_items(signatures, catalogue, width):
    history = _pad([[b"never seen"][:width], []], width)
    answer = signatures["serving_default"](history=history)
    scores = answer["scores"].numpy()
    expected = [catalogue.item_ids[i] for i in catalogue.popular_items[:10]]
    assert answer["item_ids"].numpy().tolist() == [expected] * 2
    assert np.isfinite(scores).all()
    assert (np.diff(scores) < 0).all()


def test_mixed_batch_and_exclusion_from_popular_items(signatures, catalogue):
    popular = [catalogue.item_ids[i] for i in catalogue.popular_items]
    histories = [[], [catalogue.item_ids[8]], [b"never seen"]]
    excludes = [popular[:2], popular[:3], []]
    answer = _recommend(signatures, histories, excludes, 40)
    _check(
        answer,
        [
            catalogue.expected(h, e, 40)
            for h, e in zip(histories, excludes, strict=True)
        ],
    )


def test_fewer_items_left_than_k_pad_the_end(signatures, catalogue):
    keep = [2, 17, 33]
    exclude = [i for n, i in enumerate(catalogue.item_ids) if n not in keep]
    ids, scores = _recommend(
        signatures, [catalogue.item_ids[:2]], [exclude + exclude], 5
    )
    assert set(ids[0, :3]) == {catalogue.item_ids[i] for i in keep}
    assert ids[0, 3:].tolist() == [b"", b""]
    assert (scores[0, 3:] == -np.inf).all()
    assert np.isfinite(scores[0, :3]).all()


def test_exclude_history_covers_items_older_than_the_window(
    catalogue, tmp_path
):
    catalogue.export(tmp_path, exclude_history=True, default_k=30)
    model = tf.saved_model.load(str(tmp_path))
    history = catalogue.item_ids[:12]  # The encoder sees the newest five.
    answer = model.signatures["serving_default"](history=tf.constant([history]))
    ids, scores = catalogue.expected(history, history, 30)
    _check(
        (answer["item_ids"].numpy(), answer["scores"].numpy()), [(ids, scores)]
    )
    kept = model.signatures["recommend"](
        history=tf.constant([history]),
        exclude=tf.zeros([1, 0], tf.string),
        k=tf.constant(40),
    )
    assert set(history) < set(kept["item_ids"][0].numpy())


def test_no_users_and_wrong_requests(signatures, catalogue):
    nobody = signatures["serving_default"](history=tf.zeros([0, 3], tf.string))
    assert nobody["item_ids"].shape == nobody["scores"].shape == (0, 10)
    history = tf.constant([catalogue.item_ids[:1]] * 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 1"):
        signatures["recommend"](
            history=history, exclude=history, k=tf.constant(0)
        )
    with pytest.raises(tf.errors.InvalidArgumentError, match="row per user"):
        signatures["recommend"](
            history=history, exclude=history[:1], k=tf.constant(3)
        )


def test_fresh_process_without_our_code_gives_the_same(exported, catalogue):
    history = [i.decode() for i in catalogue.item_ids[5:14]]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    result = subprocess.run(
        [
            sys.executable,
            "-I",  # Neither the working folder nor PYTHONPATH.
            "-c",
            FRESH_PROCESS,
            str(exported),
            json.dumps([history]),
        ],
        cwd=exported,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    ids, scores = json.loads(result.stdout)
    expected_ids, expected_scores = catalogue.expected(catalogue.item_ids[5:14])
    assert ids == [[i.decode() for i in expected_ids]]
    np.testing.assert_allclose(scores, [expected_scores], rtol=1e-5)


def test_saves_only_what_the_signatures_read(exported):
    variables = tf.train.list_variables(str(exported / "variables/variables"))
    shapes = [shape for _, shape in variables]
    assert [41, 8] in shapes  # The encoder's table.
    assert [40, 8] in shapes  # The index.
    assert [321, 8] not in shapes


def test_mixed_precision_of_training_does_not_round_scores(catalogue, tmp_path):
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        catalogue.export(tmp_path)
        policy = tf.keras.mixed_precision.global_policy().name
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    assert policy == "mixed_bfloat16"  # Left as it was.
    model = tf.saved_model.load(str(tmp_path))
    history = catalogue.item_ids[20:24]
    answer = model.signatures["serving_default"](history=tf.constant([history]))
    _check(
        (answer["item_ids"].numpy(), answer["scores"].numpy()),
        [catalogue.expected(history)],
    )


def test_keras_model_as_encoder(catalogue, tmp_path):
    table = tf.keras.layers.Embedding(41, 8, mask_zero=False)
    inputs = tf.keras.Input([5], dtype=tf.int64)
    outputs = tf.keras.layers.Dropout(0.5)(table(inputs)[:, -1])
    encode = tf.keras.Model(inputs, outputs)
    catalogue.export(tmp_path, encode=encode)
    scores = table.embeddings.numpy()[9] @ catalogue.item_vectors.T
    model = tf.saved_model.load(str(tmp_path))
    answer = model.signatures["serving_default"](
        history=tf.constant([[catalogue.item_ids[8]]])
    )
    np.testing.assert_allclose(
        answer["scores"][0].numpy(), np.sort(scores)[::-1][:10], rtol=1e-5
    )


def test_extra_assets(exported, catalogue):
    extra = exported / "assets.extra"
    settings = json.loads((extra / "model.json").read_text())
    assert settings["version_info"] == {"run": "test"}
    assert settings["max_history"] == 5
    records = tf.data.TFRecordDataset(str(extra / "tf_serving_warmup_requests"))
    requests = []
    for record in records.as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        requests.append(log.predict_log.request)
        # Its maps in one order, or equal models would have other bytes.
        assert record == log.SerializeToString(deterministic=True)
    names = {r.model_spec.signature_name for r in requests}
    # The two with scalars are refused where TF Serving joins requests.
    assert names == set(SIGNATURES) - {"recommend", "item_vectors"}
    used = {
        item_id
        for request in requests
        if "history" in request.inputs
        for item_id in request.inputs["history"].string_val
    }
    popular = {catalogue.item_ids[i] for i in catalogue.popular_items[:5]}
    assert used - {b""} == popular


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"item_ids": [b"a"] * 40}, "'a' occurs twice, again at position 1"),
        ({"item_ids": [b"a", b""] + [b"c"] * 38}, "b'' at position 1"),
        ({"item_ids": [b"a\nb"] + [b"c"] * 39}, "line breaks"),
        ({"item_ids": [b"a"]}, r"found \[40, 8\] and 1 ids"),
        ({"popular_items": np.array([1, 40])}, "from 0 to 39, found 40"),
        ({"popular_items": np.array([3, 3])}, "names an item twice"),
        ({"item_vectors": np.full([40, 8], np.nan)}, "row 0 .item 00"),
        ({"max_history": 0}, "`max_history` must be at least 1"),
        ({"default_k": 0}, "`default_k` must be at least 1"),
    ],
)
def test_wrong_arguments_are_refused(catalogue, tmp_path, changes, message):
    message = message.replace("row 0 .item 00", r"first: row 0 \(item b'item")
    with pytest.raises(ValueError, match=message):
        catalogue.export(tmp_path / "1", **changes)
    assert not (tmp_path / "1").exists()


def test_no_request_makes_later_ones_copy_the_catalogue(catalogue, tmp_path):
    """TensorFlow copies a variable at each read once rows were gathered.

    The encoder reads nothing here, so whatever gathers rows from a float
    variable gathers them from the catalogue's vectors or popularity.
    """
    catalogue.export(
        tmp_path, encode=lambda rows: tf.ones([tf.shape(rows)[0], 8])
    )
    saved_model = saved_model_pb2.SavedModel.FromString(
        (tmp_path / "saved_model.pb").read_bytes()
    )
    nodes = [
        node
        for function in saved_model.meta_graphs[0].graph_def.library.function
        if "traced_save" not in function.signature.name
        for node in function.node_def
    ]
    reads = [n for n in nodes if n.op == "ReadVariableOp"]
    assert any(n.attr["dtype"].type == types_pb2.DT_FLOAT for n in reads)
    gathered = [n for n in nodes if n.op == "ResourceGather"]
    assert not [
        n.name for n in gathered if n.attr["dtype"].type == types_pb2.DT_FLOAT
    ]
    # Ids are only ever gathered, never read as a whole.
    assert not [
        n.name for n in reads if n.attr["dtype"].type == types_pb2.DT_STRING
    ]
