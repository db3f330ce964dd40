"""The training loop: epochs, validation, checkpoints, progress."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from models.config import ModelConfig, TrainingConfig
from models.create import Create
from models.graph.propagation import BipartiteAdjacency
from models.input_pipeline import Queries, Sequences
from models.schedule import WARMUP, Schedule
from models.steps import LOSSES, Steps
from models.validation import validation_ndcg

_NDCG = "validation_ndcg_at_10"


class TrainingDivergedError(RuntimeError):
    """A loss became infinite or not a number."""


@dataclasses.dataclass(frozen=True)
class Period:
    """What one fit trains on.

    Attributes:
        sequences: histories of the users fitted on.
        adjacency: the graph of the same period, None without graph tower.
        queries: validation, None in a refit.
    """

    sequences: Sequences
    adjacency: BipartiteAdjacency | None
    queries: Queries | None = None


@dataclasses.dataclass(frozen=True)
class FitResult:
    """A trained model and the record of every epoch.

    Attributes:
        model: in the state after the last epoch.
        epochs: one mapping per epoch: epoch, phase, loss, losses,
            validation_ndcg_at_10 (None where not measured), seconds.
        best_epoch: joint epoch with the highest validation NDCG@10, None
            without validation.
    """

    model: Create
    epochs: list[dict[str, Any]]
    best_epoch: int | None


def fit(
    name: str,
    model_config: ModelConfig,
    config: TrainingConfig,
    period: Period,
    schedule: Schedule,
    checkpoint_dir: str | None = None,
    log_dir: str | None = None,
    report: Callable[[str], None] = print,
) -> FitResult:
    """Trains until the schedule ends; continues where a killed fit stopped.

    Args:
        name: of this fit in progress lines and logs, e.g. `selection`.
        model_config: the model.
        config: optimisation; the seed determines everything random.
        period: data.
        schedule: phases and stopping rule.
        checkpoint_dir: where the state after every epoch is kept; a fit
            with the same arguments and directory resumes from it.
        log_dir: TensorBoard scalars, None for none.
        report: takes one line per epoch.

    Raises:
        TrainingDivergedError: a loss is not finite.
    """
    model = Create(
        model_config,
        period.sequences.num_items,
        period.adjacency,
        config.seed,
    )
    steps = Steps(model, config, period.sequences)
    state = _State(steps, checkpoint_dir)
    if state.epochs:
        report(f"[{name}] resumed after epoch {len(state.epochs)}")
    writer = tf.summary.create_file_writer(log_dir) if log_dir else None
    for record in state.epochs:
        _write_scalars(writer, record)
    while not _finished(schedule, state.epochs):
        record = _run_epoch(name, steps, schedule, period, state.epochs)
        state.append(record)
        _write_scalars(writer, record)
        report(progress_line(name, schedule, state.epochs))
    if writer:
        writer.close()
    return FitResult(
        model, state.epochs, schedule.best_epoch(_validation(state.epochs))
    )


def select_and_refit(
    model_config: ModelConfig,
    config: TrainingConfig,
    train: Period,
    train_validation: Period,
    checkpoint_dir: str | None = None,
    log_dir: str | None = None,
    report: Callable[[str], None] = print,
) -> tuple[FitResult, FitResult]:
    """Chooses the number of epochs on validation, then fits on everything.

    Args:
        model_config: the model.
        config: optimisation.
        train: data up to the validation cut, with validation queries.
        train_validation: data up to the test cut.
        checkpoint_dir: as in `fit`.
        log_dir: as in `fit`.
        report: as in `fit`.

    Returns:
        The results of selection and of the refit, whose model is the one to
        use.
    """
    if train.queries is None or not len(train.queries.targets):
        raise ValueError(
            "No validation user is left between the two cuts; move the "
            "validation cut or use more data."
        )
    has_warmup = model_config.has_graph and model_config.has_sequential

    def run(name: str, period: Period, schedule: Schedule) -> FitResult:
        return fit(
            name,
            model_config,
            config,
            period,
            schedule,
            os.path.join(checkpoint_dir, name) if checkpoint_dir else None,
            os.path.join(log_dir, name) if log_dir else None,
            report,
        )

    selection = run(
        "selection", train, Schedule.of_selection(config, has_warmup)
    )
    if selection.best_epoch is None:
        raise ValueError("Selection ended without a validated joint epoch.")
    report(
        f"[selection] best epoch {selection.best_epoch}; refit on train + "
        "validation for as many epochs"
    )
    refit = run(
        "refit",
        train_validation,
        Schedule.of_refit(config, has_warmup, selection.best_epoch),
    )
    return selection, refit


def progress_line(
    name: str, schedule: Schedule, epochs: list[dict[str, Any]]
) -> str:
    """What a person sees of the newest epoch."""
    record = epochs[-1]
    number = record["epoch"]
    losses = ", ".join(f"{k} {v:.4f}" for k, v in record["losses"].items())
    parts = [
        f"[{name}] epoch {number}/{schedule.last_epoch} {record['phase']}",
        f"loss {record['loss']:.4f} ({losses})",
    ]
    if record[_NDCG] is not None:
        parts.append(f"val NDCG@10 {record[_NDCG]:.4f}")
        best = schedule.best_epoch(_validation(epochs))
        if best is not None:
            value = _validation(epochs)[best]
            parts.append(f"best {value:.4f} at {best}")
    left = (schedule.last_epoch - number) * record["seconds"]
    parts.append(f"{record['seconds']:.1f} s")
    bound = "at most " if schedule.patience else ""
    parts.append(f"left {bound}{int(left) // 60}m{int(left) % 60:02d}s")
    return "  ".join(parts)


class _State:
    """Everything a fit needs to continue, saved after every epoch."""

    def __init__(self, steps: Steps, directory: str | None) -> None:
        self.epochs: list[dict[str, Any]] = []
        self._json = tf.Variable("[]", dtype=tf.string, shape=[])
        self._manager: tf.train.CheckpointManager | None = None
        if directory is None:
            return
        checkpoint = tf.train.Checkpoint(
            model=steps.model,
            table_optimizer=steps.table_optimizer,
            tower_optimizer=steps.tower_optimizer,
            epochs=self._json,
        )
        # two are kept: a kill while one is written leaves the other
        self._manager = tf.train.CheckpointManager(
            checkpoint, directory, max_to_keep=2
        )
        if self._manager.latest_checkpoint:
            checkpoint.restore(
                self._manager.latest_checkpoint
            ).assert_consumed()
            self.epochs = json.loads(self._json.numpy())

    def append(self, record: dict[str, Any]) -> None:
        self.epochs.append(record)
        if self._manager is not None:
            self._json.assign(json.dumps(self.epochs))
            self._manager.save(checkpoint_number=record["epoch"])


def _run_epoch(
    name: str,
    steps: Steps,
    schedule: Schedule,
    period: Period,
    epochs: list[dict[str, Any]],
) -> dict[str, Any]:
    started = time.monotonic()
    number = len(epochs) + 1
    phase = schedule.phase(number)
    losses = steps.run_epoch(number, warmup=phase == WARMUP)
    for part, value in losses.items():
        if not math.isfinite(value):
            raise TrainingDivergedError(
                f"[{name}] epoch {number}: the {part} loss is {value}. Lower "
                f"`training.learning_rate` ({steps.config.learning_rate}) or "
                f"`training.clip_norm` ({steps.config.clip_norm})."
            )
    ndcg = None
    if period.queries is not None and (
        number % steps.config.validate_every == 0
        or number == schedule.last_epoch
    ):
        ndcg = validation_ndcg(steps.model, period.queries)
    return {
        "epoch": number,
        "phase": phase,
        "loss": losses["total"],
        "losses": {part: losses[part] for part in LOSSES[1:]},
        _NDCG: ndcg,
        "seconds": time.monotonic() - started,
    }


def _validation(epochs: list[dict[str, Any]]) -> dict[int, float]:
    return {
        record["epoch"]: record[_NDCG]
        for record in epochs
        if record[_NDCG] is not None
    }


def _finished(schedule: Schedule, epochs: list[dict[str, Any]]) -> bool:
    return bool(epochs) and schedule.stops_after(
        len(epochs), _validation(epochs)
    )


def _write_scalars(
    writer: tf.summary.SummaryWriter | None, record: dict[str, Any]
) -> None:
    if writer is None:
        return
    with writer.as_default(step=record["epoch"]):
        tf.summary.scalar("loss/total", record["loss"])
        for part, value in record["losses"].items():
            tf.summary.scalar(f"loss/{part}", value)
        if record[_NDCG] is not None:
            tf.summary.scalar(_NDCG, record[_NDCG])
        tf.summary.scalar("seconds", record["seconds"])
    writer.flush()
