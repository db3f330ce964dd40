"""The parts of the model that have an optimiser and a rate of their own."""

from __future__ import annotations

import math

import tensorflow as tf

from models import replicas
from models.create import Create
from models.replicas import Replicas

ITEM_TABLE = "item_table"
USER_TABLE = "user_table"
SEQUENTIAL_TOWER = "sequential_tower"
# columns of the rates that `models.fitting.rates` makes for every step
GROUPS = (ITEM_TABLE, USER_TABLE, SEQUENTIAL_TOWER)
# what people read
NAMES = {
    ITEM_TABLE: "item table",
    USER_TABLE: "user table",
    SEQUENTIAL_TOWER: "sequential tower",
}


class ParameterGroup(tf.Module):
    """Variables with an Adam of their own.

    Adam's bias correction of a group starts with the group's own first step:
    the sequential tower's with the first joint step and not with that of the
    warm-up, while the tables keep their moments across the switch.

    Args:
        name: one of `GROUPS`.
        variables: at least one.
        devices: where they are, one by default.
    """

    def __init__(
        self,
        name: str,
        variables: list[tf.Variable],
        devices: Replicas | None = None,
    ) -> None:
        super().__init__(name=name)
        self.trained = variables
        self.column = GROUPS.index(name)
        self.optimizer = _adam(variables, devices or Replicas())

    @property
    def num_parameters(self) -> int:
        """Numbers in all variables."""
        return sum(math.prod(variable.shape) for variable in self.trained)

    def apply(
        self, gradients: list[tf.Tensor], rate: tf.Tensor, weight_decay: float
    ) -> None:
        """One step of Adam with decoupled weight decay.

        Args:
            gradients: one per variable, the same on all replicas.
            rate: scalar, the learning rate of this step.
            weight_decay: the variables shrink by its product with the rate.
        """
        if weight_decay:
            shrink = rate * weight_decay
            for variable in self.trained:
                replicas.update(lambda v: v.assign_sub(shrink * v), variable)
        self.optimizer.learning_rate.assign(rate)
        self.optimizer.apply_gradients(
            zip(gradients, self.trained, strict=True),
            experimental_aggregate_gradients=False,
        )

    def restart_moments(self) -> None:
        """Lets Adam forget all steps so far."""
        for weight in self.optimizer.weights:
            weight.assign(tf.zeros_like(weight))


def parameter_groups(
    model: Create, devices: Replicas | None = None
) -> list[ParameterGroup]:
    """The groups that the model has, in the order of `GROUPS`.

    What belongs to the graph tower beside the shared item table goes with
    its user table.
    """
    parts = {ITEM_TABLE: [model.items.table]}
    if model.graph is not None:
        parts[USER_TABLE] = list(model.graph.trainable_variables)
    if model.sequential is not None:
        parts[SEQUENTIAL_TOWER] = list(model.sequential.trainable_variables)
    groups: list[ParameterGroup] = []
    taken: set[int] = set()
    for name, variables in parts.items():
        own = [v for v in variables if id(v) not in taken]
        taken.update(map(id, own))
        if own:
            groups.append(ParameterGroup(name, own, devices))
    return groups


def dense(
    gradients: list[tf.Tensor | tf.IndexedSlices],
) -> list[tf.Tensor]:
    """Gradients that name rows made dense.

    Rows named twice are one gradient, whose length is not that of the two.
    """
    return [tf.convert_to_tensor(gradient) for gradient in gradients]


def clipped(
    gradients: list[tf.Tensor], clip_norm: float
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Shortens a gradient as a whole, over tables and tower together.

    Args:
        gradients: one per variable, dense.
        clip_norm: longest length allowed.

    Returns:
        The gradients, and the length [] they had.
    """
    return tf.clip_by_global_norm(gradients, clip_norm)


def _adam(
    variables: list[tf.Variable], devices: Replicas
) -> tf.keras.optimizers.legacy.Adam:
    """Adam with its slots created: inside a compiled loop it is too late.

    The legacy class runs one fused operation per variable; the newer one
    builds the update of many small ones, which costs on large tables.
    """

    def zero_step() -> None:
        optimizer.apply_gradients(
            [(tf.zeros_like(variable), variable) for variable in variables],
            experimental_aggregate_gradients=False,
        )

    with devices.scope():
        optimizer = tf.keras.optimizers.legacy.Adam(1.0, epsilon=1e-8)
        devices.run(zero_step)
    # the zero step has moved nothing; it must not count either
    optimizer.iterations.assign(0)
    return optimizer
