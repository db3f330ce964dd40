"""The devices of a step that trains."""

from __future__ import annotations

import os
from collections.abc import Callable

import tensorflow as tf

from models.replicas import Replicas
from models.xla_start import start_xla


def set_up_devices(
    distribution: str, report: Callable[[str], None]
) -> Replicas:
    """Repeatable kernels, and GPU memory taken only as it is needed.

    Args:
        distribution: `training.distribution`.
        report: takes a line that says what there is.

    Returns:
        The devices that share each step; made first, because machines that
        train together must meet before TensorFlow does anything else.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            # TensorFlow has already used the GPU in this process
            pass
    devices = Replicas.of(distribution)
    tf.config.experimental.enable_op_determinism()
    start_xla()
    report(
        f"[trainer] devices: {len(gpus)} GPU, {os.cpu_count()} CPU cores; "
        f"steps shared by {devices.count}"
    )
    return devices
