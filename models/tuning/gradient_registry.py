"""Lets go of what TensorFlow keeps of a fit for the life of the process.

Each trace of a `tf.custom_gradient` registers its gradient under a name of its
own, for ever, and with it the graph it stands in and the tables that graph has
captured: some hundred MiB for every fit of a large catalogue. One fit does not
mind. A search of fifty does.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

from tensorflow.python.framework import ops

_PREFIX = "CustomGradient-"


@contextlib.contextmanager
def forgotten_gradients() -> Iterator[None]:
    """Unregisters the custom gradients that are traced inside.

    Nothing that was traced inside may be differentiated, or saved, after it.
    There is no public way to do this (TensorFlow 2.16).
    """
    registry = ops.gradient_registry._registry
    before = set(registry)
    try:
        yield
    finally:
        for name in set(registry) - before:
            if name.startswith(_PREFIX):
                del registry[name]
        gc.collect()  # graphs and their functions point at each other
