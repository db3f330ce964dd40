"""What the steps of an epoch measure, added up on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.create import LossParts

LOSSES = ("total", "local", "global", "alignment")
GRADIENT_NORM = "gradient_norm"
MEASURES = (*LOSSES, GRADIENT_NORM)


@dataclasses.dataclass(frozen=True)
class EpochResult:
    """What one epoch measured.

    Attributes:
        steps: how many there were.
        losses: mean of each of `LOSSES` over the steps.
        first_losses: each of them in the first step.
        gradient_norm: mean length of the gradient before clipping.
        clipped_share: share of the steps whose gradient was longer than
            `clip_norm`.
        rates: learning rate of the last step, by parameter group that was
            trained.
        weights: of the losses `global` and `alignment`.
        not_finite: by measure, the first step (from 1) at which it was
            infinite or not a number; empty in a healthy epoch.
    """

    steps: int
    losses: dict[str, float]
    first_losses: dict[str, float]
    gradient_norm: float
    clipped_share: float
    rates: dict[str, float]
    weights: dict[str, float]
    not_finite: dict[str, int]


class Measured(NamedTuple):
    """Sums over the steps so far, tensors inside a compiled epoch.

    Attributes:
        sums: [measures + 1] float32, the last the number of clipped steps.
        first: [measures] float32 of the first step.
        first_wrong: [measures] int32, the first step (from 0) that was not
            finite, the number of steps where none was.
    """

    sums: tf.Tensor
    first: tf.Tensor
    first_wrong: tf.Tensor


def nothing(steps: tf.Tensor) -> Measured:
    """Before the first of so many steps."""
    return Measured(
        tf.zeros([len(MEASURES) + 1]),
        tf.zeros([len(MEASURES)]),
        tf.fill([len(MEASURES)], steps),
    )


def add(
    before: Measured,
    parts: LossParts,
    norm: tf.Tensor,
    clip_norm: float,
    step: tf.Tensor,
) -> Measured:
    """Adds one step.

    Args:
        before: the steps before.
        parts: losses of this step.
        norm: length of its gradient before clipping.
        clip_norm: longest length that is not clipped.
        step: number of this step, from 0.
    """
    losses = [parts.total, parts.local, parts.global_, parts.alignment]
    values = tf.stack([*losses, norm])
    clipped = tf.cast(norm > clip_norm, tf.float32)
    wrong = tf.where(tf.math.is_finite(values), before.first_wrong, step)
    return Measured(
        before.sums + tf.concat([values, [clipped]], axis=0),
        tf.where(step == 0, values, before.first),
        tf.minimum(before.first_wrong, wrong),
    )


def result(
    measured: Measured,
    steps: int,
    rates: Mapping[str, float],
    weights: Mapping[str, float],
) -> EpochResult:
    """Plain numbers at the end of an epoch."""
    sums = measured.sums.numpy() / np.float32(steps)
    means = dict(zip(MEASURES, map(float, sums), strict=False))
    first = dict(zip(MEASURES, map(float, measured.first.numpy()), strict=True))
    first_wrong = map(int, measured.first_wrong.numpy())
    return EpochResult(
        steps=steps,
        gradient_norm=means.pop(GRADIENT_NORM),
        losses=means,
        first_losses={loss: first[loss] for loss in LOSSES},
        clipped_share=float(sums[-1]),
        rates=dict(rates),
        weights=dict(weights),
        not_finite={
            measure: step + 1
            for measure, step in zip(MEASURES, first_wrong, strict=True)
            if step < steps
        },
    )
