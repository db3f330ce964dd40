"""Runs the signatures of a SavedModel in a session, as TF Serving does.

`tf.saved_model.load` would build Python functions, and each call of one costs
more than the ranking of a small catalogue and hands the work to other
threads. Here a signature is a prepared callable of a session, whose
operations run in the thread that calls it; large products still use all
cores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

# What `tf.compat.v1.saved_model.load` calls, after a warning into the log.
from tensorflow.python.saved_model.loader_impl import SavedModelLoader

SERVE_TAG = "serve"
_CALLERS_THREAD = -1

Arrays = dict[str, np.ndarray]


# Answers a request of one signature, inputs and outputs by alias; thread-safe.
Run = Callable[[Mapping[str, np.ndarray]], Arrays]


class SavedModelSession:
    """The variables and tables of one SavedModel in memory.

    They are freed with the last reference to the session and its runs.

    Args:
        path: of the SavedModel, local or remote.

    Raises:
        OSError, RuntimeError, ValueError, tf.errors.OpError: it cannot be
            read, has no graph for serving, or needs operations that
            TensorFlow does not know.
    """

    def __init__(self, path: str) -> None:
        threads = tf.config.threading
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(
            graph=graph,
            config=tf.compat.v1.ConfigProto(
                intra_op_parallelism_threads=(
                    threads.get_intra_op_parallelism_threads()
                ),
                inter_op_parallelism_threads=(
                    threads.get_inter_op_parallelism_threads()
                ),
            ),
        )
        with graph.as_default():
            SavedModelLoader(path).load(self._session, [SERVE_TAG])

    def prepare(self, signature: meta_graph_pb2.SignatureDef) -> Run:
        """What answers requests of a signature of the model.

        Args:
            signature: its inputs and outputs are dense tensors.

        Raises:
            tf.errors.OpError: the graph lacks one of its tensors. What is
                returned raises it where an operation of the model fails.
        """
        inputs = sorted(signature.inputs)
        outputs = sorted(signature.outputs)
        options = config_pb2.CallableOptions(
            feed=[signature.inputs[alias].name for alias in inputs],
            fetch=[signature.outputs[alias].name for alias in outputs],
        )
        options.run_options.inter_op_thread_pool = _CALLERS_THREAD
        # The public `make_callable` takes no options here and costs a fifth of
        # a millisecond more per call; tf_keras uses this one too.
        call: Any = self._session._make_callable_from_options(options)

        def run(feeds: Mapping[str, np.ndarray]) -> Arrays:
            values = call(*(feeds[alias] for alias in inputs))
            return dict(zip(outputs, values, strict=True))

        return run
