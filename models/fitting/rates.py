"""The learning rate of every step, a function of the settings alone.

The decay is counted in joint epochs up to `max_epochs`, in selection and in
the refit, which may end before: epoch n trains with the same rates in both,
however many steps it has.
"""

from __future__ import annotations

import numpy as np

from models.config import TrainingConfig
from models.fitting.parameter_groups import GROUPS, ITEM_TABLE, USER_TABLE


def base_rates(config: TrainingConfig, warmup: bool) -> dict[str, float]:
    """The rate of every group before the rise and the decay.

    Args:
        config: the rates.
        warmup: whether it is that of the graph alone.
    """
    own = {
        ITEM_TABLE: config.item_learning_rate,
        USER_TABLE: config.graph_learning_rate,
    }
    rates = {}
    for group in GROUPS:
        rate = own.get(group)
        if warmup and config.warmup_learning_rate is not None:
            rate = config.warmup_learning_rate
        rates[group] = config.learning_rate if rate is None else rate
    return rates


def rates_of_epoch(
    config: TrainingConfig, warmup: bool, phase_epoch: int, steps: int
) -> np.ndarray:
    """[steps, groups] float32: what each step of an epoch trains with.

    Args:
        config: the rates, their rise and decay.
        warmup: whether the epoch is one of the graph alone.
        phase_epoch: its number within its phase, from 1.
        steps: of a whole epoch of this phase.
    """
    base = base_rates(config, warmup)
    factors = _rise(config, phase_epoch, steps)
    if not warmup:
        factors = factors * _decay(config, phase_epoch, steps)
    rates = factors[:, np.newaxis] * [base[group] for group in GROUPS]
    return rates.astype(np.float32)


def _rise(config: TrainingConfig, phase_epoch: int, steps: int) -> np.ndarray:
    """[steps] from 1 / n to 1 over the first n steps of the phase."""
    number = config.learning_rate_warmup_steps
    if not number:
        return np.ones(steps)
    done = (phase_epoch - 1) * steps + np.arange(1, steps + 1)
    return np.minimum(done / number, 1.0)


def _decay(config: TrainingConfig, phase_epoch: int, steps: int) -> np.ndarray:
    """[steps] from 1 towards 0, which the end of `max_epochs` reaches."""
    share = (phase_epoch - 1 + np.arange(steps) / steps) / config.max_epochs
    if config.learning_rate_decay == "cosine":
        return (1.0 + np.cos(np.pi * share)) / 2.0
    if config.learning_rate_decay == "linear":
        return 1.0 - share
    return np.ones(steps)
