"""The signatures beside the two rankings: numpy says what they answer."""

import numpy as np
import pytest
import tensorflow as tf

from serving import recommender, retrieval, signatures
from serving.saved_model_session import SavedModelSession
from serving.servables import Servable
from tests.serving.catalogue import MeanEncoder


@pytest.fixture(scope="module")
def servable(exported):
    return Servable("create", 1, str(exported))


def _in_a_session(exported):
    """As the server runs them."""
    session = SavedModelSession(str(exported))
    signature_defs = Servable("create", 1, str(exported)).signature_defs

    def call(name, **inputs):
        expected = signatures.SIGNATURES[name].inputs
        return session.prepare(signature_defs[name])(
            {
                key: np.array(
                    value,
                    tf.dtypes.as_dtype(expected[key].dtype).as_numpy_dtype,
                )
                for key, value in inputs.items()
            }
        )

    return call


def _as_functions(exported):
    """As anybody with TensorFlow runs them."""
    loaded = tf.saved_model.load(str(exported))

    def call(name, **inputs):
        expected = signatures.SIGNATURES[name].inputs
        tensors = {}
        for key, value in inputs.items():
            dtype = tf.dtypes.as_dtype(expected[key].dtype)
            tensors[key] = tf.constant(value, dtype)
        answer = loaded.signatures[name](**tensors)
        return {key: value.numpy() for key, value in answer.items()}

    return call


@pytest.fixture(scope="module", params=[_as_functions, _in_a_session])
def ask(request, exported):
    return request.param(exported)


def _mean(catalogue, positions):
    return catalogue.item_vectors[positions].mean(axis=0)


def test_saved_model_has_the_signatures_of_the_table(servable):
    assert signatures.differences(servable.signature_defs) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda defs: defs.pop("score"),
            "signature score is missing",
        ),
        (
            lambda defs: defs["recommend"].inputs.pop("k"),
            "signature recommend, inputs: expected ['exclude', 'history', "
            "'k'], found ['exclude', 'history']",
        ),
        (
            lambda defs: (
                defs["recommend"]
                .inputs["k"]
                .CopyFrom(defs["serving_default"].outputs["scores"])
            ),
            "signature recommend, inputs: k must be int32 of rank 0, found "
            "float32 of rank 2",
        ),
    ],
)
def test_differences_are_named(servable, change, message):
    changed = {
        name: type(proto).FromString(proto.SerializeToString())
        for name, proto in servable.signature_defs.items()
    }
    change(changed)
    assert signatures.differences(changed) == [message]


def test_scores_of_candidates(ask, catalogue):
    ids, vectors = catalogue.item_ids, catalogue.item_vectors
    histories = [ids[3:6], [b"", b"new", b""]]
    candidates = [[ids[9], b"new", ids[30], b""], [ids[9], ids[0], b"", ids[9]]]
    scores = ask("score", history=histories, candidates=candidates)["scores"]
    by_vector = vectors @ _mean(catalogue, [3, 4, 5])
    popular = catalogue.expected([], k=40)
    by_popularity = dict(zip(*popular, strict=True))
    expected = [
        [by_vector[9], -np.inf, by_vector[30], -np.inf],
        [
            by_popularity[ids[9]],
            by_popularity[ids[0]],
            -np.inf,
            by_popularity[ids[9]],
        ],
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_scores_are_those_of_the_ranking(ask, catalogue):
    history = [catalogue.item_ids[5:9]]
    ranking = ask("recommend", history=history, exclude=[[]], k=40)
    again = ask("score", history=history, candidates=ranking["item_ids"])
    np.testing.assert_allclose(
        again["scores"], ranking["scores"], rtol=1e-5, atol=1e-6
    )


def test_user_vectors_find_the_ranking_in_the_item_vectors(ask, catalogue):
    history = catalogue.item_ids[5:12]  # Newest five of seven count.
    users = ask("user_vector", history=[history, [b"new"] + [b""] * 6])
    np.testing.assert_allclose(
        users["vectors"][0], _mean(catalogue, range(7, 12)), rtol=1e-5
    )
    assert users["known_items"].tolist() == [7, 0]
    assert not users["vectors"][1].any()
    items = ask("item_vectors", start=0, count=40)
    scores = items["vectors"] @ users["vectors"][0]
    best = items["item_ids"][np.argsort(-scores)[:10]]
    assert best.tolist() == catalogue.expected(history)[0]


@pytest.mark.parametrize(
    ("start", "count", "expected"),
    [
        (0, 3, [0, 3]),
        (38, 5, [38, 40]),
        (40, 5, [40, 40]),
        (2**40, 1, [40, 40]),
    ],
)
def test_item_vectors_come_in_parts(ask, catalogue, start, count, expected):
    part = ask("item_vectors", start=start, count=count)
    first, last = expected
    assert part["item_ids"].tolist() == catalogue.item_ids[first:last]
    np.testing.assert_array_equal(
        part["vectors"], catalogue.item_vectors[first:last]
    )


def test_a_k_of_its_own_for_each_user(ask, catalogue):
    ids = catalogue.item_ids
    answer = ask(
        "recommend_batch",
        history=[[ids[0]], [ids[1]], [b""]],
        exclude=[[ids[2]], [b""], [ids[3]]],
        k=[2, 100, 1],
    )
    assert answer["item_ids"].shape == (3, 40)
    for row, (history, exclude, k) in enumerate(
        [([ids[0]], [ids[2]], 2), ([ids[1]], [], 100), ([], [ids[3]], 1)]
    ):
        expected, scores = catalogue.expected(history, exclude, k)
        pads = 40 - len(expected)
        assert answer["item_ids"][row].tolist() == expected + [b""] * pads
        np.testing.assert_allclose(
            answer["scores"][row],
            scores + [-np.inf] * pads,
            rtol=1e-5,
            atol=1e-6,
        )
    none = ask(
        "recommend_batch",
        history=np.zeros([0, 1], object),
        exclude=np.zeros([0, 1], object),
        k=np.zeros(0),
    )
    assert none["item_ids"].shape == (0, 1)


def test_blocks_of_users_change_nothing(catalogue, tmp_path, monkeypatch):
    monkeypatch.setattr(recommender, "_MAX_FLOATS", 3 * FLOATS)
    seen = []
    catalogue.export(
        tmp_path, encode=_Watched(catalogue, seen), exclude_history=True
    )
    ids, vectors = np.array(catalogue.item_ids), catalogue.item_vectors
    signature = tf.saved_model.load(str(tmp_path)).signatures
    random = np.random.default_rng(1)
    for users in (0, 1, 3, 4, 8):
        positions = random.integers(0, 40, (users, 4))
        history = tf.constant(ids[positions], tf.string)
        blocks = [min(3, users - i) for i in range(0, users, 3)] or [0]
        answer = signature["serving_default"](history=history)
        expected = [
            catalogue.expected(h, h)[0] for h in ids[positions].astype(object)
        ]
        assert answer["item_ids"].shape == (users, 10)
        assert answer["item_ids"].numpy().tolist() == expected
        means = vectors[positions].mean(axis=1)
        user = signature["user_vector"](history=history)
        np.testing.assert_allclose(user["vectors"], means, atol=1e-6)
        assert user["known_items"].numpy().tolist() == [4] * users
        wanted = random.integers(0, 40, (users, 2))
        scores = signature["score"](
            history=history, candidates=tf.constant(ids[wanted], tf.string)
        )["scores"]
        expected = np.einsum("ud,ucd->uc", means, vectors[wanted])
        np.testing.assert_allclose(scores, expected, atol=1e-5)
        # The encoder itself never sees more, whoever asks.
        assert seen == 3 * blocks
        seen.clear()


# What the encoder holds of a user: five items of eight dimensions.
FLOATS = 5 * (8 * 8 + 4 * 5)


class _Watched(MeanEncoder):
    """Notes how many users it encodes at a time."""

    def __init__(self, catalogue, seen):
        super().__init__(catalogue.item_vectors)
        self._seen = seen

    def __call__(self, rows):
        users = tf.shape(rows)[0]
        note = tf.py_function(lambda n: self._seen.append(int(n)), [users], [])
        with tf.control_dependencies([note]):
            return super().__call__(tf.identity(rows))


@pytest.mark.parametrize(
    ("max_history", "dim", "num_items", "encoded", "ranked"),
    [
        (50, 64, 1200, 2**25 // 35_600, 2**25 // 35_600),
        (50, 64, 100_000, 2**25 // 35_600, 335),
        # Attention over long histories, not the vectors, is what counts.
        (2000, 8, 1200, 2**25 // 16_128_000, 2**25 // 16_128_000),
        (20_000, 64, 1200, 1, 1),
    ],
)
def test_blocks_fit_the_encoder_as_well_as_the_catalogue(
    tmp_path, max_history, dim, num_items, encoded, ranked
):
    (tmp_path / "ids").write_text("\n".join(map(str, range(num_items))))
    index = retrieval.build_index(
        np.zeros([num_items, dim], np.float32),
        np.zeros(num_items, np.float32),
    )
    served = recommender.Recommender(
        lambda rows: rows,
        index,
        str(tmp_path / "ids"),
        [b"%d" % i for i in range(num_items)],
        max_history,
    )
    assert served.encoded_at_once == encoded
    assert served.ranked_at_once == ranked


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        (
            "serving_default",
            {"history": np.zeros([65_537, 0], object)},
            "more than 65536 rows",
        ),
        (
            "recommend",
            {
                "history": np.zeros([65_536, 0], object),
                "exclude": np.zeros([65_536, 0], object),
                "k": 2**31 - 1,
            },
            None,  # 65,536 times 40 items is not too much.
        ),
        (
            "recommend_batch",
            {"history": [["a"]], "exclude": [["b"]], "k": [0]},
            "`k` must be at least 1",
        ),
        ("item_vectors", {"start": -1, "count": 1}, "must not be negative"),
        ("item_vectors", {"start": 0, "count": 0}, "`count` must be at least"),
        (
            "score",
            {"history": [["a"]], "candidates": [["b"], ["c"]]},
            "a row per user each",
        ),
    ],
)
def test_limits(ask, name, inputs, message):
    if message is None:
        assert ask(name, **inputs)["scores"].shape == (65_536, 40)
        return
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        ask(name, **inputs)


def test_number_of_candidates_is_limited(ask):
    most = 2**25 // 8
    with pytest.raises(tf.errors.InvalidArgumentError, match="candidates"):
        ask("score", history=[["a"]], candidates=[[""] * (most + 1)])


def test_users_times_k_is_limited(catalogue, tmp_path, monkeypatch):
    monkeypatch.setattr(recommender, "MAX_ANSWERS", 99)
    catalogue.export(tmp_path)
    model = tf.saved_model.load(str(tmp_path))
    ask = model.signatures["serving_default"]
    assert ask(history=tf.fill([9, 1], "a"))["scores"].shape == (9, 10)
    with pytest.raises(tf.errors.InvalidArgumentError, match="send fewer"):
        ask(history=tf.fill([10, 1], "a"))
