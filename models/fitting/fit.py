"""The training loop: epochs, validation, checkpoints, progress."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from models.config import ModelConfig, TrainingConfig
from models.create import Create
from models.fitting.compiled_epoch import CompiledEpoch
from models.fitting.epoch import run_epoch
from models.fitting.fit_state import FitState
from models.fitting.input_pipeline import Queries, Sequences
from models.fitting.memory import of_tables, out_of_memory_told
from models.fitting.plan import plan
from models.fitting.progress import progress_line, switch_line
from models.fitting.schedule import (
    GRAPH_NDCG,
    NDCG,
    WARMUP,
    Record,
    Schedule,
)
from models.fitting.validation import check_queries
from models.graph.propagation import BipartiteAdjacency
from models.replicas import Replicas


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
        epochs: one mapping per epoch: epoch, phase, steps, loss, losses,
            weights (of the losses), learning_rates (of the last step, by
            trained group), gradient_norm (mean, before clipping),
            clipped_share (of the steps), validation_ndcg_at_10 and
            graph_validation_ndcg_at_10 (None where not measured), seconds.
        best_epoch: epoch after the warm-up with the highest validation
            NDCG@10, None without validation.
        plan: of each phase what was trained, see `models.fitting.plan.plan`.
    """

    model: Create
    epochs: list[Record]
    best_epoch: int | None
    plan: list[dict[str, Any]]


def fit(
    name: str,
    model_config: ModelConfig,
    config: TrainingConfig,
    period: Period,
    schedule: Schedule,
    checkpoint_dir: str | None = None,
    log_dir: str | None = None,
    report: Callable[[str], None] = print,
    after_epoch: Callable[[Record], None] | None = None,
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
        after_epoch: takes the record of every epoch, those of a fit that
            resumes once more; what it raises ends the fit.

    Raises:
        TrainingDivergedError: a loss is not finite, or grows.
        OutOfMemoryError: a device has no memory for it.
        ValueError: there is nothing to train on, no query among those that
            are given, or nothing to validate the warm-up on.
    """
    if period.queries is not None:
        check_queries(period.queries)
    if schedule.warmup_patience is not None and period.queries is None:
        raise ValueError(
            "`training.warmup_patience` looks at the validation of the "
            f"graph, but the fit {name!r} has no validation queries."
        )
    devices = Replicas.of(config.distribution)
    if not devices.is_chief:
        log_dir = None

    def create() -> Create:
        return Create(
            model_config,
            period.sequences.num_items,
            period.adjacency,
            config.seed,
        )

    with out_of_memory_told(f"[{name}] tables", of_tables(model_config)):
        with devices.scope():
            model = create()
        compiled = CompiledEpoch(model, config, period.sequences, devices)
    state = FitState(compiled, checkpoint_dir)
    if state.epochs:
        report(f"[{name}] resumed after epoch {len(state.epochs)}")
    writer = tf.summary.create_file_writer(log_dir) if log_dir else None
    for record in state.epochs:
        _write_scalars(writer, record)
        if after_epoch:
            after_epoch(record)
    while epoch := schedule.next_epoch(state.epochs):
        if epoch.phase != WARMUP and epoch.phase_epoch == 1 < epoch.number:
            report(switch_line(name, schedule, state.epochs, compiled))
            model.end_warmup(config.restart_tables)
            if config.restart_tables or config.restart_table_moments:
                compiled.restart_table_moments()
        record = run_epoch(
            name, compiled, schedule, period.queries, state.epochs, epoch
        )
        state.append(record)
        _write_scalars(writer, record)
        report(progress_line(name, schedule, state.epochs))
        if after_epoch:
            after_epoch(record)
    if writer:
        writer.close()
    return FitResult(
        model if devices.count == 1 else on_one_device(model, create()),
        state.epochs,
        schedule.best_epoch(state.epochs),
        plan(schedule, state.epochs, compiled),
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

    Raises:
        ValueError: there is no validation user; and as `fit`.
    """
    check_queries(train.queries)

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

    schedule = Schedule.of_selection(
        model_config, config, graph_steps(model_config, train)
    )
    selection = run("selection", train, schedule)
    refit_schedule = schedule.of_refit(
        config, selection.epochs, graph_steps(model_config, train_validation)
    )
    report(
        f"[selection] best epoch {selection.best_epoch}; refit on train + "
        f"validation for as many epochs{_warmup_again(refit_schedule)}"
    )
    return selection, run("refit", train_validation, refit_schedule)


def on_one_device(model: Create, plain: Create) -> Create:
    """Copies a model's weights into one that was made outside of replicas.

    Args:
        model: whose variables have a copy on every device.
        plain: an equal model, whatever its weights.

    Returns:
        `plain`.
    """
    for target, source in zip(plain.variables, model.variables, strict=True):
        target.assign(source.numpy())
    return plain


def graph_steps(config: ModelConfig, period: Period) -> int:
    """Steps of a pass over the edges, 0 without a graph."""
    if period.adjacency is None:
        return 0
    return -(-len(period.adjacency.edges) // config.graph.batch_size)


def _warmup_again(refit: Schedule) -> str:
    """How long the warm-up of a refit is."""
    if refit.warmup_steps is not None:
        return f", after {refit.warmup_steps} warm-up steps as before"
    if refit.warmup_epochs:
        return f", {refit.warmup_epochs} of them warm-up as before"
    return ""


def _write_scalars(
    writer: tf.summary.SummaryWriter | None, record: dict[str, Any]
) -> None:
    if writer is None:
        return
    with writer.as_default(step=record["epoch"]):
        tf.summary.scalar("loss/total", record["loss"])
        for part, value in record["losses"].items():
            tf.summary.scalar(f"loss/{part}", value)
        for part, weight in record["weights"].items():
            tf.summary.scalar(f"weight/{part}", weight)
        for group, rate in record["learning_rates"].items():
            tf.summary.scalar(f"learning_rate/{group}", rate)
        for key in ("gradient_norm", "clipped_share", NDCG, GRAPH_NDCG):
            if record[key] is not None:
                tf.summary.scalar(key, record[key])
        tf.summary.scalar("seconds", record["seconds"])
    writer.flush()
