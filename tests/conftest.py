"""Environment of all tests: legacy Keras, no GPU, quiet TensorFlow."""

import logging
import os

import pytest

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(autouse=True, scope="module")
def own_loggers():
    """What a file's tests do to the loggers of the process ends with them.

    A command sends its log to sys.stderr, which in a test is closed when the
    test is over.
    """
    loggers = [logging.getLogger(), logging.getLogger("absl")]
    before = [(list(logger.handlers), logger.level) for logger in loggers]
    yield
    for logger, (handlers, level) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)
