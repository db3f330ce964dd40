"""A loss weight that is a number or changes over the joint epochs."""

from __future__ import annotations

import dataclasses
import math

from models.config.checks import at_least, one_of


@dataclasses.dataclass(frozen=True)
class WeightSchedule:
    """A weight that goes from `start` to `end`, then stays.

    The first joint epoch trains with `start`, those after `epochs` joint
    epochs with `end`; within an epoch the weight is constant. The warm-up
    uses `start`. `shape` is linear, or cosine (half a wave: slow at both
    ends).
    """

    start: float
    end: float
    epochs: int
    shape: str = "linear"

    def __post_init__(self) -> None:
        at_least("start", self.start, 0.0)
        at_least("end", self.end, 0.0)
        at_least("epochs", self.epochs, 1)
        one_of("shape", self.shape, "linear", "cosine")

    def at(self, joint_epoch: int) -> float:
        """The weight of a joint epoch, from 1; 0 and less are the warm-up."""
        share = min(max(joint_epoch - 1, 0) / self.epochs, 1.0)
        if self.shape == "cosine":
            share = (1.0 - math.cos(math.pi * share)) / 2.0
        # in this form the ends are met exactly
        return (1.0 - share) * self.start + share * self.end


def weight_at(weight: float | WeightSchedule, joint_epoch: int) -> float:
    """The weight of a joint epoch, from 1; 0 stands for the warm-up."""
    if isinstance(weight, WeightSchedule):
        return weight.at(joint_epoch)
    return weight


def check_weight(name: str, weight: float | WeightSchedule) -> None:
    """Raises ValueError where a number is negative; schedules check theirs."""
    if not isinstance(weight, WeightSchedule):
        at_least(name, weight, 0.0)
