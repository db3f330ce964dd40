"""One epoch of a fit: training, checks, validation, its record."""

from __future__ import annotations

import time

from models.fitting.compiled_epoch import CompiledEpoch
from models.fitting.divergence import check_finite, check_growth
from models.fitting.epoch_result import LOSSES
from models.fitting.input_pipeline import Queries
from models.fitting.memory import of_step, of_tables, out_of_memory_told
from models.fitting.schedule import (
    GRAPH_NDCG,
    NDCG,
    WARMUP,
    Epoch,
    Record,
    Schedule,
)


def run_epoch(
    name: str,
    compiled: CompiledEpoch,
    schedule: Schedule,
    queries: Queries | None,
    epochs: list[Record],
    epoch: Epoch,
) -> Record:
    """Trains, checks and validates one epoch.

    Args:
        name: of the fit.
        compiled: what is trained.
        schedule: decides with `epochs` what is validated.
        queries: validation, None for none.
        epochs: records of the epochs before.
        epoch: what to train.

    Raises:
        TrainingDivergedError: a loss is not finite, or grows.
        OutOfMemoryError: a device has no memory for it.
    """
    started = time.monotonic()
    warmup = epoch.phase == WARMUP
    settings = compiled.model.config, compiled.config
    where = f"[{name}] epoch {epoch.number}"
    with out_of_memory_told(where, of_step(*settings, warmup)):
        result = compiled.run(
            epoch.number, warmup, epoch.phase_epoch, epoch.max_steps
        )
    check_finite(name, epoch.number, result.not_finite, *settings, warmup)
    record = {
        "epoch": epoch.number,
        "phase": epoch.phase,
        "steps": result.steps,
        "loss": result.losses["total"],
        "losses": {part: result.losses[part] for part in LOSSES[1:]},
        "weights": result.weights,
        "learning_rates": result.rates,
        "gradient_norm": result.gradient_norm,
        "clipped_share": result.clipped_share,
    }
    if epoch.phase_epoch == 1:
        record["first_losses"] = result.first_losses
    check_growth(name, [*epochs, record], *settings)
    with out_of_memory_told(
        f"{where}, validation", of_tables(compiled.model.config)
    ):
        record |= _validate(compiled, schedule, queries, epochs, epoch)
    return {**record, "seconds": time.monotonic() - started}


def _validate(
    compiled: CompiledEpoch,
    schedule: Schedule,
    queries: Queries | None,
    epochs: list[Record],
    epoch: Epoch,
) -> dict[str, float | None]:
    """NDCG@10 by the model, and by its graph where the warm-up asks."""
    values: dict[str, float | None] = {NDCG: None, GRAPH_NDCG: None}
    due = epoch.number % compiled.config.validate_every == 0
    if queries is None or not (
        due or epoch.number == schedule.last_epoch(epochs)
    ):
        return values
    values[NDCG] = compiled.validator.ndcg(queries)
    if epoch.phase == WARMUP and schedule.warmup_patience is not None:
        values[GRAPH_NDCG] = compiled.validator.graph_ndcg(queries)
    return values
