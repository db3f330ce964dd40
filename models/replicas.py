"""Steps shared by several devices or machines (tf.distribute).

Every replica has the whole model, takes its share of a step's sequences and
edges, and computes its share of the step's losses: the shares add up to what
one device alone would compute on the whole batch, and so do their gradients,
which are added before they are clipped and applied. What a loss compares
across users (the alignment) is gathered from all replicas first.

The functions at the end are for code that runs on a replica; outside of
`Replicas.run` they are those of a single device.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from models import random_streams


class Replicas:
    """The devices that share each step.

    Args:
        strategy: of tf.distribute; None runs on the default device without
            any of its machinery.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None) -> None:
        self._strategy = strategy

    @classmethod
    def of(cls, distribution: str) -> Replicas:
        """The devices that a setting names.

        Args:
            distribution: `none`, one device; `mirrored`, all GPUs of this
                machine (all logical CPU devices where there is none);
                `multi_worker`, all machines of TF_CONFIG; `auto`,
                multi_worker where TF_CONFIG names several workers, mirrored
                where this machine has several GPUs, else none.

        Raises:
            ValueError: multi_worker without TF_CONFIG.
        """
        return cls(_strategy(_resolved(distribution)))

    @property
    def count(self) -> int:
        """How many there are, over all machines."""
        if self._strategy is None:
            return 1
        return int(self._strategy.num_replicas_in_sync)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes: checkpoints, logs, results."""
        resolver = getattr(self._strategy, "cluster_resolver", None)
        if resolver is None or resolver.task_type is None:
            return True
        spec = resolver.cluster_spec().as_dict()
        first = "chief" if spec.get("chief") else "worker"
        return bool(
            resolver.task_type == first and (resolver.task_id or 0) == 0
        )

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """In it variables are made, one copy on every device."""
        if self._strategy is None:
            return contextlib.nullcontext()
        return self._strategy.scope()

    def placed(self, tensors: Sequence[tf.Tensor]) -> Any:
        """Copies of tensors on every device, an argument for `run`."""
        if self._strategy is None:
            return tuple(tensors)
        return self._strategy.experimental_distribute_values_from_function(
            lambda _: tuple(map(tf.identity, tensors))
        )

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Runs a function on all devices.

        Returns:
            What it returned on the first of this process; it must return
            the same on all of them.
        """
        if self._strategy is None:
            return function(*args)
        results = self._strategy.run(function, args)
        return tf.nest.map_structure(
            lambda value: self._strategy.experimental_local_results(value)[0],
            results,
        )


def number() -> int | tf.Tensor:
    """Of the replica this code runs on, from 0."""
    context = tf.distribute.get_replica_context()
    return context.replica_id_in_sync_group


def count() -> int:
    """How many replicas share the step."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def own(rows: tf.Tensor) -> tf.Tensor:
    """Every count-th element of [n, ...] from the replica's number on."""
    if count() == 1:
        return rows
    return rows[number() :: count()]


def total(values: Any) -> Any:
    """The sum over all replicas of a tensor, or of each of a structure."""
    if count() == 1:
        return values
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def gathered(rows: tf.Tensor, most: int) -> tf.Tensor:
    """[n, d] rows of all replicas, one after the other.

    Its gradient adds what every replica does with a row. A sum of tensors
    that are zero where the other replicas' rows stand: inside a loop a
    collective operation must have one shape for good, and neither replicas
    nor steps agree in n, as tf.distribute's own gathering needs.

    Args:
        rows: [own n, d] of this replica.
        most: rows of all replicas together, at most.
    """
    if count() == 1:
        return rows
    own_rows = tf.shape(rows)[0]
    lengths = total(own_rows * tf.one_hot(number(), count(), dtype=tf.int32))
    ends = tf.cumsum(lengths)
    end = ends[number()]
    padded = tf.pad(rows, [[end - own_rows, most - end], [0, 0]])
    padded = tf.ensure_shape(padded, [most, rows.shape[1]])
    return total(padded)[: ends[-1]]


def own_seed(seed: tf.Tensor) -> tf.Tensor:
    """[2] int32 of a step to one that no other replica has."""
    if count() == 1:
        return seed
    return random_streams.REPLICAS.seed(seed, number())


def update(
    function: Callable[[tf.Variable], Any], variable: tf.Variable
) -> None:
    """Changes a variable on every device; the same change on each."""
    if count() == 1:
        function(variable)
        return
    tf.distribute.get_replica_context().merge_call(
        lambda strategy: strategy.extended.update(variable, function)
    )


def on_this_machine(distribution: str) -> str:
    """What a setting means where one machine trains, whatever TF_CONFIG says.

    Args:
        distribution: as in `Replicas.of`.

    Returns:
        mirrored or none for auto, else the setting itself.
    """
    if distribution != "auto":
        return distribution
    several = len(tf.config.list_logical_devices("GPU")) > 1
    return "mirrored" if several else "none"


def _resolved(distribution: str) -> str:
    if distribution == "auto" and len(workers()) > 1:
        return "multi_worker"
    return on_this_machine(distribution)


def workers() -> list[str]:
    """Addresses of TF_CONFIG's machines, empty without it."""
    cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    return [*cluster.get("chief", []), *cluster.get("worker", [])]


# TensorFlow sets up its collectives once in a process
@functools.cache
def _strategy(distribution: str) -> tf.distribute.Strategy | None:
    if distribution == "none":
        return None
    if distribution == "mirrored":
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        devices = tf.config.list_logical_devices(kind)
        return tf.distribute.MirroredStrategy([d.name for d in devices])
    if not workers():
        raise ValueError(
            "`training.distribution` is multi_worker, but the environment "
            "variable TF_CONFIG names no workers. Set it on every machine, "
            'e.g. {"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
            '"task": {"type": "worker", "index": 0}}, or set '
            "`training.distribution` to auto."
        )
    return tf.distribute.MultiWorkerMirroredStrategy()
