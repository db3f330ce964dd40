"""XLA's first words, out of the way of a run's progress.

The first compiled function of a process makes XLA write four lines to
stderr, from C++ and past every setting of a log level: about a log that is not
set up and a service that has started. A person who watches the epochs takes
them for an error.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile

import tensorflow as tf

_FIRST_WORDS = re.compile(
    rb"I\d{4} [\d:. ]+(service|device_compiler|cuda_dnn)\.(cc|h):"
    rb"|WARNING: All log messages before absl::InitializeLog\(\)"
)


def start_xla() -> None:
    """Compiles something small, and drops what XLA says about its start.

    Whatever else is written to stderr meanwhile is handed on. It starts
    TensorFlow's devices too, so anything that sets these up comes before.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            _compiled(tf.constant(0.0))
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            for line in written:
                if not _FIRST_WORDS.match(line):
                    os.write(2, line)


@tf.function(jit_compile=True)
def _compiled(value: tf.Tensor) -> tf.Tensor:
    return value + 1.0
