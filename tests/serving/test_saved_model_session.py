"""What a session is beside the functions of `tf.saved_model.load`."""

import gc
import threading
import weakref

import numpy as np
import pytest
import tensorflow as tf

from serving.saved_model_session import SavedModelSession
from serving.servables import Servable


class Adder(tf.Module):
    """Has a variable, a table with an asset, and a signature that may fail."""

    def __init__(self, number, vocabulary):
        super().__init__()
        self.number = tf.Variable(number)
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                vocabulary,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            -1,
        )

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string),
            tf.TensorSpec([None], tf.float32),
        ]
    )
    def add(self, words, values):
        check = tf.debugging.assert_non_negative(values, "below zero")
        with tf.control_dependencies([check]):
            lines = tf.cast(self.table.lookup(words), tf.float32)
        return {"sum": values + self.number, "lines": lines}


@pytest.fixture
def exported_adder(tmp_path):
    def export(name, number, words):
        vocabulary = tmp_path / f"{name}.txt"
        vocabulary.write_text("\n".join(words))
        path = str(tmp_path / name)
        adder = Adder(number, str(vocabulary))
        tf.saved_model.save(adder, path, signatures={"add": adder.add})
        vocabulary.unlink()  # The SavedModel has a copy.
        return path

    return export


def _run(path):
    return Servable("adder", 1, path)._runs["add"]


def _inputs(words, values):
    return {
        "words": np.array([w.encode() for w in words], object),
        "values": np.array(values, np.float32),
    }


def test_two_models_with_the_same_names_keep_their_own(exported_adder):
    first = _run(exported_adder("first", 1.0, ["a", "b"]))
    second = _run(exported_adder("second", 10.0, ["b", "a"]))
    for _ in range(2):
        for run, total, lines in ((first, 1, [0, 1]), (second, 10, [1, 0])):
            answer = run(_inputs(["a", "b"], [0.0, 0.5]))
            assert answer["sum"].tolist() == [total, total + 0.5]
            assert answer["lines"].tolist() == lines


def test_failed_operation_says_so_and_the_next_request_is_answered(
    exported_adder,
):
    path = exported_adder("model", 1.0, ["a"])
    session = SavedModelSession(path)
    run = session.prepare(Servable("m", 1, path).signature_defs["add"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="below zero"):
        run(_inputs(["a"], [-1.0]))
    assert run(_inputs(["a"], [1.0]))["sum"].tolist() == [2.0]


def test_threads_get_their_own_answers(exported_adder):
    run = _run(exported_adder("model", 0.5, ["a"]))
    wrong = []

    def ask(number):
        for _ in range(200):
            answer = run(_inputs(["a"], [number]))["sum"].tolist()
            if answer != [number + 0.5]:
                wrong.append((number, answer))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.fixture
def no_collection():
    gc.disable()
    yield
    gc.enable()


def test_session_goes_with_its_last_run(exported_adder, no_collection):
    """At once: a garbage collection would stop the requests for long."""
    path = exported_adder("model", 1.0, ["a"])
    session = SavedModelSession(path)
    run = session.prepare(Servable("m", 1, path).signature_defs["add"])
    alive = weakref.ref(session._session)
    del session
    assert run(_inputs(["a"], [1.0]))["sum"].tolist() == [2.0]
    del run
    assert alive() is None


def test_folder_without_a_model(tmp_path):
    with pytest.raises(OSError, match="SavedModel file does not exist"):
        SavedModelSession(str(tmp_path))
