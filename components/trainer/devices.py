"""The devices of a step that trains."""

from __future__ import annotations

import os
from collections.abc import Callable

import tensorflow as tf

from models import replicas
from models.replicas import Replicas
from models.xla_start import start_xla


def set_up_devices(
    distribution: str, report: Callable[[str], None]
) -> tuple[str, Replicas]:
    """Repeatable kernels, and GPU memory taken only as it is needed.

    Args:
        distribution: `training.distribution`.
        report: takes a line that says what there is.

    Returns:
        The distribution to train with, in the place of auto what that means
        on this machine; and the devices that share each step, made first,
        because machines that train together must meet before TensorFlow does
        anything else.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            # TensorFlow has already used the GPU in this process
            pass
    if distribution == "auto":
        distribution = _on_this_machine(report)
    devices = Replicas.of(distribution)
    tf.config.experimental.enable_op_determinism()
    start_xla()
    report(
        f"[trainer] devices: {len(gpus)} GPU, {os.cpu_count()} CPU cores; "
        f"steps shared by {devices.count}"
    )
    return distribution, devices


def _on_this_machine(report: Callable[[str], None]) -> str:
    """No other machine runs this step, so none would answer."""
    others = len(replicas.workers())
    if others > 1:
        report(
            f"[trainer] TF_CONFIG names {others} workers; it is ignored: a "
            "run of the pipeline trains on one machine"
        )
    return replicas.on_this_machine("auto")
