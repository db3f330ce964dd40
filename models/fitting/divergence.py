"""Stops a fit whose loss is lost, and says what to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.config import ModelConfig, TrainingConfig
from models.fitting.epoch_result import GRADIENT_NORM, LOSSES
from models.fitting.schedule import WARMUP, Record

# A loss has diverged when it lies this many times its size in the first
# step of the phase above where it started, in so many epochs in a row.
GROWTH = 9.0
EPOCHS = 3
# Smaller first losses count as so large.
_LEAST = 0.1


class TrainingDivergedError(RuntimeError):
    """A loss became infinite, not a number, or grew beyond all measure."""


def check_finite(
    name: str,
    epoch: int,
    not_finite: Mapping[str, int],
    model: ModelConfig,
    training: TrainingConfig,
    warmup: bool,
) -> None:
    """Raises where a loss or the gradient of an epoch was not finite.

    Args:
        name: of the fit.
        epoch: its number.
        not_finite: of `EpochResult`.
        model: the settings, for the advice.
        training: the settings, for the advice.
        warmup: whether the epoch is one of the graph alone.

    Raises:
        TrainingDivergedError: names the epoch, the first step, what was not
            finite in it, and the settings to change.
    """
    if not not_finite:
        return
    step = min(not_finite.values())
    wrong = [part for part, first in not_finite.items() if first == step]
    parts = [part for part in wrong if part in LOSSES[1:]]
    if parts:
        what = f"the {' and the '.join(parts)} loss is"
    elif GRADIENT_NORM in wrong:
        what = "every loss is finite, but the length of the gradient is"
    else:
        what = "every part is finite, but the weighted total is"
    part = parts[0] if len(parts) == 1 else ""
    raise TrainingDivergedError(
        f"[{name}] epoch {epoch}, step {step}: {what} infinite or not a "
        f"number. {advice(part, model, training, warmup)}"
    )


def check_growth(
    name: str,
    epochs: Sequence[Record],
    model: ModelConfig,
    training: TrainingConfig,
) -> None:
    """Raises where the total loss has grown in several epochs in a row.

    The total of an epoch is compared with what the parts of the first step
    of its phase make with the same weights, so that a scheduled weight moves
    no limit. Training minimises this very sum: a healthy run can stand still
    or give one part up for another, but the mean of an epoch does not lie
    far above the untrained start, where the local loss is about the
    logarithm of the catalogue. A part may be negative (as mutual information
    is), so growth is measured by the parts' sizes; first losses near 0, as
    on a handful of events, count as 0.1.

    Args:
        name: of the fit.
        epochs: records so far.
        model: the settings, for the advice.
        training: the settings, for the advice.

    Raises:
        TrainingDivergedError: names the epochs, the losses, the part that
            grew most, and the settings to change.
    """
    phase = [e for e in epochs if e["phase"] == epochs[-1]["phase"]]
    newest = phase[-EPOCHS:]
    start = phase[0]["first_losses"]
    if len(phase) < EPOCHS or not all(_grown(start, e) for e in newest):
        return
    last = newest[-1]
    growth = {
        part: weight * (last["losses"][part] - start[part])
        for part, weight in _weights(last).items()
    }
    part = max(growth, key=lambda key: growth[key])
    losses = ", ".join(f"{record['loss']:.4g}" for record in newest)
    raise TrainingDivergedError(
        f"[{name}] epoch {last['epoch']}: the loss has diverged. It was "
        f"{start['total']:.4g} in the first step of this phase and above ten "
        f"times that in the last {EPOCHS} epochs "
        f"({losses}). The {part} loss grew most. "
        f"{advice(part, model, training, last['phase'] == WARMUP)}"
    )


def advice(
    part: str, model: ModelConfig, training: TrainingConfig, warmup: bool
) -> str:
    """What to change where a part of the loss is lost.

    Args:
        part: `local`, `global`, `alignment`, or empty where it is not known.
        model: the settings.
        training: the settings.
        warmup: whether the graph was trained alone before the other tower.
    """
    clip = f"`training.clip_norm` ({training.clip_norm})"
    if part == "alignment":
        return (
            f"Lower `model.alignment_weight` ({model.alignment_weight})"
            f"{_alignment_advice(model)}, or raise `training.batch_size` "
            f"({training.batch_size}) where a batch has few users: the "
            "alignment compares them with each other."
        )
    if part == "global" or warmup or not model.has_sequential:
        return (
            f"Lower {_rates(training, warmup, 'graph_learning_rate')} or "
            f"{clip}, or raise `model.graph.l2` ({model.graph.l2})."
        )
    return f"Lower {_rates(training, warmup, 'learning_rate')} or {clip}."


def _rates(training: TrainingConfig, warmup: bool, key: str) -> str:
    """The settings of the rates that moved the part, and their values."""
    if warmup and training.warmup_learning_rate is not None:
        key = "warmup_learning_rate"
    keys = [key]
    if key != "warmup_learning_rate" and training.item_learning_rate:
        keys.append("item_learning_rate")
    texts = []
    for name in keys:
        rate = getattr(training, name)
        rate = training.learning_rate if rate is None else rate
        texts.append(f"`training.{name}` ({rate})")
    return ", ".join(texts)


def _alignment_advice(model: ModelConfig) -> str:
    alignment = model.alignment
    if alignment.kind == "infonce":
        return (
            f", raise `model.alignment.temperature` ({alignment.temperature})"
        )
    if alignment.kind == "gaussian_mi":
        return f", raise `model.alignment.ridge` ({alignment.ridge})"
    return ""


def _weights(record: Record) -> dict[str, float]:
    """Of the parts in the total; what a phase does not train is 0 anyway."""
    return {"local": 1.0, **record["weights"]}


def _grown(start: Mapping[str, float], record: Record) -> bool:
    """Whether an epoch's loss lies far above the first step's."""
    parts = [weight * start[part] for part, weight in _weights(record).items()]
    size = max(sum(map(abs, parts)), _LEAST)
    return record["loss"] > sum(parts) + GROWTH * size
