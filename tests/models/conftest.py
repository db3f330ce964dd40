"""Fixtures of the tests that train."""

import pytest
import tensorflow as tf


@pytest.fixture
def eager():
    """Runs every step without compiling it.

    Compiling takes seconds per model and a step of a few users none: for
    tests that train many models a little.
    """
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
