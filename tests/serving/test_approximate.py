"""The approximate index against numpy, and what happens without its package."""

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.batch_scoring import scoring, shards
from components.ranking_evaluator.exported_model import ExportedModel
from components.trainer.config import TrainerConfig
from components.trainer.executor import Executor
from models.settings import to_json
from serving import approximate, custom_ops, export, retrieval, warmup
from serving.config import ScannConfig, ServingConfig
from serving.servables import Servable
from tests import history_files
from tests.serving.catalogue import MeanEncoder

ITEMS, DIM = 4000, 16
# Half a catalogue for each user: what is asked for is tested, not ScaNN.
MANY = ScannConfig(leaves_to_search=1000, candidates=250)

FRESH_PROCESS = """
import importlib.util, json, sys
import tensorflow as tf
assert importlib.util.find_spec("serving") is None
try:
    tf.saved_model.load(sys.argv[1])
except Exception as error:
    assert "not registered" in str(error), error
else:
    raise AssertionError("it loads without ScaNN")
import scann
model = tf.saved_model.load(sys.argv[1])
answer = model.signatures["serving_default"](
    history=tf.constant(json.loads(sys.argv[2]))
)
ids = [[i.decode() for i in row] for row in answer["item_ids"].numpy()]
print(json.dumps(ids))
"""


@pytest.fixture(scope="module")
def scann():
    return pytest.importorskip("scann")


@pytest.fixture(scope="module")
def vectors():
    """[ITEMS, DIM] in clusters of some 20, each with a neighbourhood."""
    random = np.random.default_rng(3)
    centres = random.normal(size=(ITEMS // 20, DIM))
    noise = random.normal(size=(ITEMS, DIM))
    chosen = centres[random.integers(0, len(centres), ITEMS)]
    return (chosen + 0.5 * noise).astype(np.float32)


@pytest.fixture(scope="module")
def popularity():
    order = np.random.default_rng(4).permutation(ITEMS)
    return retrieval.popularity_scores(order, ITEMS)


def build(vectors, popularity, config):
    exact = retrieval.build_index(vectors, popularity)
    return approximate.ApproximateIndex(
        exact, approximate.fitted(config, len(vectors))
    )


@pytest.fixture(scope="module")
def thorough(scann, vectors, popularity):
    """Searches all leaves."""
    return build(vectors, popularity, MANY)


def users_of(vectors, number, seed=5):
    """Users near an item each."""
    random = np.random.default_rng(seed)
    near = vectors[random.integers(0, len(vectors), number)]
    noise = random.normal(size=near.shape).astype(np.float32)
    return near + 0.2 * noise


def ask(index, users, k, popular=(), excluded=()):
    scores, positions = index(
        {
            "vectors": tf.constant(users),
            "popular": tf.constant(popular, tf.int64),
            "excluded": tf.constant(
                np.reshape(np.asarray(excluded, np.int64), [-1, 2])
            ),
        },
        k=tf.constant(k),
    )
    return scores.numpy(), positions.numpy()


def ranked(users, vectors, popularity, k, popular=(), excluded=()):
    scores = users.astype(np.float64) @ vectors.T.astype(np.float64)
    for row in popular:
        scores[row] = popularity
    for row, position in excluded:
        scores[row, position] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), order


def check(found, expected):
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-5)


def test_all_leaves_and_many_candidates_rank_as_numpy(
    thorough, vectors, popularity
):
    users = users_of(vectors, 40)
    expected = ranked(users, vectors, popularity, 10)
    # By the candidates, or this would test the exact index.
    *found, enough = thorough._by_candidates(
        {
            "vectors": tf.constant(users),
            "popular": tf.zeros([0], tf.int64),
            "excluded": tf.zeros([0, 2], tf.int64),
        },
        tf.constant(10),
    )
    assert enough.numpy().all()
    check([part.numpy() for part in found], expected)
    check(ask(thorough, users, 10), expected)


def test_defaults_find_nine_of_ten(scann, vectors, popularity):
    config = approximate.fitted(ScannConfig(candidates=200), ITEMS)
    assert (config.leaves, config.leaves_to_search) == (40, 4)
    index = build(vectors, popularity, config)
    users = users_of(vectors, 200)
    scores, found = ask(index, users, 10)
    _, expected = ranked(users, vectors, popularity, 10)
    recall = np.mean(
        [
            len(set(a) & set(b)) / 10
            for a, b in zip(found, expected, strict=True)
        ]
    )
    # Below 1, or nothing was left out and the index was not asked.
    assert 0.9 <= recall < 1
    # The scores are the dot products of what was answered.
    wanted = np.einsum("bd,bkd->bk", users, vectors[found])
    np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-5)
    assert (np.diff(scores) <= 0).all()


def test_exclusions_never_come_out_and_are_replaced(
    thorough, vectors, popularity
):
    users = users_of(vectors, 6)
    # Farther down, what quantised vectors put behind the candidates is missed.
    _, best = ranked(users, vectors, popularity, 25)
    # All of one user's best, one of the next, none, some twice.
    excluded = [(0, p) for p in best[0]] + [(1, best[1, 3])]
    excluded += 2 * [(5, p) for p in best[5, :10]]
    # Not those of the neighbouring rows.
    excluded += [(2, p) for p in best[3, :10] if p not in best[2]]
    excluded = np.random.default_rng(0).permutation(excluded)
    found = ask(thorough, users, 10, excluded=excluded)
    check(found, ranked(users, vectors, popularity, 10, excluded=excluded))
    assert not set(found[1][0]) & set(best[0])


def test_empty_history_gets_popular_items(thorough, vectors, popularity):
    users = users_of(vectors, 4)
    order = np.argsort(-popularity)
    excluded = [(2, order[0]), (2, order[4]), (1, order[0])]
    found = ask(thorough, users, 7, popular=[0, 2], excluded=excluded)
    check(found, ranked(users, vectors, popularity, 7, [0, 2], excluded))
    assert found[1][0].tolist() == order[:7].tolist()


@pytest.mark.parametrize("k", [126, 300, ITEMS])
def test_k_beyond_half_of_the_candidates_is_exact(
    thorough, vectors, popularity, k
):
    users = users_of(vectors, 5)
    excluded = [(0, 7), (3, 11)]
    found = ask(thorough, users, k, popular=[2], excluded=excluded)
    expected = ranked(users, vectors, popularity, k, [2], excluded)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-5)
    assert (found[1] == expected[1]).mean() > 0.999  # Near ties.


@pytest.fixture(scope="module")
def hasty(scann, vectors, popularity):
    """Searches one leaf, so that it misses what the exact index finds."""
    config = ScannConfig(leaves_to_search=1, candidates=200)
    return build(vectors, popularity, config)


def test_only_those_who_need_it_are_answered_exactly(
    hasty, vectors, popularity
):
    users = users_of(vectors, 60)
    k = 3
    expected = ranked(users, vectors, popularity, k)[1]
    alone = np.concatenate(
        [ask(hasty, users[i : i + 1], k)[1] for i in range(60)]
    )
    missed = np.flatnonzero((alone != expected).any(axis=1))
    assert len(missed) >= 2
    # The exclusions of one user, here of items that rank last, are too many
    # for the candidates; all others answer as if alone.
    chosen = missed[0]
    worst = np.argsort(users[chosen] @ vectors.T)[:195]
    excluded = [(chosen, p) for p in worst]
    found = ask(hasty, users, k, excluded=excluded)[1]
    assert found[chosen].tolist() == expected[chosen].tolist()
    others = np.arange(60) != chosen
    np.testing.assert_array_equal(found[others], alone[others])


def test_leaves_that_hold_too_few_items_are_made_up_for(
    hasty, vectors, popularity
):
    """A leaf has some 100 items, some have fewer than half the candidates."""
    users = users_of(vectors, 60)
    queries = {
        "vectors": tf.constant(users),
        "popular": tf.zeros([0], tf.int64),
        "excluded": tf.zeros([0, 2], tf.int64),
    }
    *_, enough = hasty._by_candidates(queries, tf.constant(99))
    few = ~enough.numpy()
    assert 0 < few.sum() < 60
    scores, found = ask(hasty, users, 99)
    assert np.isfinite(scores).all()
    assert all(len(set(row)) == 99 for row in found)
    expected = ranked(users, vectors, popularity, 99)
    check((scores[few], found[few]), [part[few] for part in expected])
    assert (found[~few] != expected[1][~few]).any()


def test_a_shorter_answer_begins_a_longer_one(scann, vectors, popularity):
    index = build(vectors, popularity, ScannConfig(candidates=200))
    users = users_of(vectors, 50)
    # Of some users as many are excluded as may be, and one more.
    worst = np.argsort(users @ vectors.T, axis=1)
    excluded = [(row, p) for row in (0, 1, 2) for p in worst[row, :100]]
    excluded += [(1, worst[1, 100])]
    answers = [ask(index, users, k, excluded=excluded)[1] for k in (100, 10)]
    np.testing.assert_array_equal(answers[0][:, :10], answers[1])
    expected = ranked(users, vectors, popularity, 10, excluded=excluded)[1]
    assert answers[1][1].tolist() == expected[1].tolist()
    assert (answers[1] != expected).any()


def test_no_users(thorough):
    for k in (3, 500):
        scores, positions = ask(thorough, np.zeros([0, DIM], np.float32), k)
        assert scores.shape == positions.shape == (0, k)


def test_equal_scores_go_to_the_lower_position(scann, vectors, popularity):
    same = vectors.copy()
    same[[3900, 17, 2000]] = 3 * vectors[5]
    index = build(same, popularity, MANY)
    found = ask(index, vectors[5:6], 3)[1]
    assert found.tolist() == [[17, 2000, 3900]]


# --- exported ---------------------------------------------------------------


def item_ids(number=ITEMS):
    return [f"item {i:04d} ü".encode() for i in range(number)]


def save(directory, vectors, config, **changes):
    arguments = {
        "encode": MeanEncoder(vectors),
        "item_vectors": vectors,
        "item_ids": item_ids(len(vectors)),
        "popular_items": np.arange(30)[::-1],
        "max_history": 5,
        "exclude_history": True,
        "scann": config,
    }
    export.export_saved_model(str(directory), **{**arguments, **changes})
    return str(directory)


@pytest.fixture(scope="module")
def exported(scann, vectors, tmp_path_factory):
    return save(tmp_path_factory.mktemp("scann") / "1", vectors, MANY)


HISTORY = [3, 40, 41]


def expected_ids(vectors):
    user = vectors[HISTORY].mean(axis=0, keepdims=True)
    excluded = [(0, position) for position in HISTORY]
    best = ranked(user, vectors, None, 10, excluded=excluded)[1][0]
    return [item_ids()[position] for position in best]


def test_model_json_says_what_the_index_is(exported):
    assert custom_ops.index_of(exported) == {
        "kind": "scann",
        "leaves": 40,
        "leaves_to_search": 40,
        "candidates": 250,
    }


def test_servables_answer_by_it_two_at_a_time(exported, vectors, tmp_path):
    """Two versions in one process: each has its own searcher."""
    other = save(tmp_path / "2", vectors[::-1].copy(), MANY)
    servables = [Servable("create", 1, exported), Servable("create", 2, other)]
    for servable, turned in [*zip(servables, (False, True), strict=True)] * 2:
        servable.warm_up()
        answer = servable.predict(
            warmup.request(
                "serving_default", history=[[item_ids()[i] for i in HISTORY]]
            )
        )
        wanted = expected_ids(vectors[::-1] if turned else vectors)
        assert list(answer.outputs["item_ids"].string_val) == wanted


def test_batch_scoring_answers_by_it(exported, vectors, tmp_path):
    """In a process of its own, which has to load the operations itself."""
    history = [item_ids()[i] for i in HISTORY]
    users = {f"user {number}": history for number in range(5)}
    history_files.write(tmp_path / "data-0.gz", users | {"new": [b"unknown"]})
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pipeline.batch",
            f"--model={exported}",
            f"--histories={tmp_path}/*.gz",
            f"--output={tmp_path / 'out'}",
            "--k=10",
        ],
        check=True,
    )
    rows = {
        row["user_id"]: [item.encode() for item in row["item_ids"]]
        for path in (tmp_path / "out").glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
    }
    assert rows.keys() == users.keys() | {"new"}
    for user in users:
        assert rows[user] == expected_ids(vectors)
    # Nothing is known of that one: the popular items, by no vector.
    assert len(rows["new"]) == 10 and rows["new"] != expected_ids(vectors)


def test_score_and_recommend_agree(exported):
    model = tf.saved_model.load(exported)
    history = tf.constant([[item_ids()[i] for i in HISTORY]] * 2)
    found = model.signatures["serving_default"](history=history)
    scores = model.signatures["score"](
        history=history, candidates=found["item_ids"]
    )
    np.testing.assert_allclose(
        scores["scores"], found["scores"], rtol=1e-5, atol=1e-6
    )


def test_fresh_process_needs_tensorflow_and_scann_only(exported, vectors):
    package = os.path.dirname(os.path.dirname(custom_ops_path()))
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            FRESH_PROCESS,
            exported,
            json.dumps([[item_ids()[i].decode() for i in HISTORY]]),
        ],
        cwd=exported,
        env={**os.environ, "PYTHONPATH": package},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    expected = [i.decode() for i in expected_ids(vectors)]
    assert json.loads(result.stdout) == [expected]


def custom_ops_path():
    import scann

    return scann.__file__


# --- without the package ----------------------------------------------------


@pytest.fixture
def no_scann(monkeypatch):
    monkeypatch.setattr(
        custom_ops.importlib.util, "find_spec", lambda name: None
    )


def claim(directory, index):
    """A model.json, and no model that could be loaded."""
    (directory / "assets.extra").mkdir(parents=True)
    path = directory / "assets.extra" / "model.json"
    path.write_text(index if isinstance(index, str) else json.dumps(index))
    return str(directory)


def loaders(directory):
    yield lambda: custom_ops.register(directory)
    yield lambda: ExportedModel(directory, [])
    job = shards.Job(model=directory, k=1, exclude_history=False, batch_size=1)
    yield scoring.WriteShard("nowhere", job).setup


def test_loading_without_the_package_names_the_fix(tmp_path, no_scann):
    directory = claim(tmp_path / "1", {"index": {"kind": "scann"}})
    for load in loaders(directory):
        with pytest.raises(ValueError) as caught:
            load()
        assert directory in str(caught.value)
        assert "pip install scann==1.3.2" in str(caught.value)


def test_the_server_names_the_fix(tmp_path, exported_graph, no_scann):
    claim(exported_graph, {"index": {"kind": "scann"}})
    with pytest.raises(ValueError, match="pip install scann==1.3.2"):
        Servable("create", 1, str(exported_graph))


@pytest.fixture
def exported_graph(tmp_path):
    """Somebody else's SavedModel, without assets.extra."""
    module = tf.Module()
    module.answer = tf.function(
        lambda: {"a": tf.constant(1)}, input_signature=[]
    )
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.answer)
    return tmp_path / "m"


def test_models_of_others_load(exported_graph, no_scann):
    assert Servable("create", 1, str(exported_graph)).signature_defs
    for facts in ("[]", "no JSON", {"index": "flat"}, {"num_items": 3}):
        directory = claim(exported_graph, facts)
        assert custom_ops.index_of(directory) == {"kind": "exact"}
        custom_ops.register(directory)
        for file in (exported_graph / "assets.extra").iterdir():
            file.unlink()
        (exported_graph / "assets.extra").rmdir()


def test_the_trainer_fails_before_it_reads_anything(no_scann):
    config = TrainerConfig(scann=ScannConfig())
    with pytest.raises(ValueError, match="`serving.index` is scann, but .*Fix"):
        Executor().Do({}, {}, {"config": to_json(config)})


def test_a_small_catalogue_is_exported_exactly(
    tmp_path, vectors, no_scann, capsys
):
    """Without the package, as nothing of it is needed."""
    directory = save(tmp_path / "1", vectors[:100], ScannConfig(candidates=16))
    index = custom_ops.index_of(directory)
    assert index["kind"] == "exact"
    assert "pays from 256 items on, the catalogue has 100" in index["reason"]
    assert f"[export] exact index: {index['reason']}" in capsys.readouterr().out
    model = tf.saved_model.load(directory)
    answer = model.signatures["serving_default"](history=tf.constant([[""]]))
    assert answer["item_ids"].shape == (1, 10)


def test_without_settings_the_index_is_exact(tmp_path, vectors, no_scann):
    directory = save(tmp_path / "1", vectors[:100], None)
    assert custom_ops.index_of(directory) == {"kind": "exact"}


# --- settings ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "settings", "leaves", "search"),
    [
        (10**6, {}, 1000, 100),
        (6400, {}, 64, 6),
        (10**8, {}, 1000, 100),
        (256, {"candidates": 16}, 2, 1),
        (10**6, {"leaves": 300}, 300, 30),
        (10**6, {"leaves_to_search": 7}, 1000, 7),
        (10**6, {"leaves_to_search": 1000}, 1000, 1000),
        (6400, {"leaves": 500}, 64, 6),
        (6400, {"leaves": 5}, 5, 1),
    ],
)
def test_settings_follow_the_catalogue(items, settings, leaves, search):
    found = approximate.fitted(ScannConfig(**settings), items)
    assert (found.leaves, found.leaves_to_search) == (leaves, search)
    assert found.candidates == settings.get("candidates", 400)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ServingConfig(index="faiss"), "exact, scann, found 'faiss'"),
        (lambda: ScannConfig(leaves=0), "`leaves` must be from 1 to 1,000"),
        (lambda: ScannConfig(leaves_to_search=-1), "or null .* found -1"),
        (
            lambda: ScannConfig(leaves=9, leaves_to_search=10),
            r"above `leaves` \(9\), found 10. Fix",
        ),
        (lambda: ScannConfig(candidates=15), "from 16 to 10,000, found 15"),
        (
            lambda: ServingConfig(index="scann", default_k=201),
            r"more than half of `scann.candidates` \(400\).*Fix",
        ),
    ],
)
def test_wrong_settings_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_the_block_is_read_only_where_the_index_is_scann():
    assert ServingConfig(default_k=300).approximate is None
    assert ServingConfig(index="scann").approximate == ScannConfig()
