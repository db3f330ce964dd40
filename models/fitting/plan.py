"""What is trained and what is frozen in each phase of a fit, as a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.config import ModelConfig
from models.fitting.compiled_epoch import CompiledEpoch
from models.fitting.rates import base_rates
from models.fitting.schedule import WARMUP, Record, Schedule


def plan(
    schedule: Schedule, epochs: Sequence[Record], compiled: CompiledEpoch
) -> list[dict[str, Any]]:
    """One mapping per phase of a fit that has ended.

    Args:
        schedule: what was planned.
        epochs: records of what was done.
        compiled: has the parameter groups.

    Returns:
        Of each phase in order: `phase`; `trained` groups, each with `group`,
        `parameters`, `learning_rate` (as set) and `last_learning_rate` (of
        the last step); `frozen` groups with `group` and `parameters`;
        `weights`, for each loss that is trained the first and the last;
        `planned`: `epochs` (most), `steps` and `patience`, None where they
        end nothing; `done`: `epochs` and `steps`; `ended_by`: `epochs`,
        `steps` or `patience`.
    """
    phases = dict.fromkeys(record["phase"] for record in epochs)
    return [
        {
            **_groups([e for e in epochs if e["phase"] == phase], compiled),
            **_length([e for e in epochs if e["phase"] == phase], schedule),
        }
        for phase in phases
    ]


def _groups(
    epochs: Sequence[Record], compiled: CompiledEpoch
) -> dict[str, Any]:
    """The part of a phase that says what is trained, and how fast."""
    first, last = epochs[0], epochs[-1]
    base = base_rates(compiled.config, first["phase"] == WARMUP)
    trained, frozen = [], []
    for group in compiled.groups:
        size = {"group": group.name, "parameters": group.num_parameters}
        rate = last["learning_rates"].get(group.name)
        if rate is None:
            frozen.append(size)
            continue
        size |= {
            "learning_rate": base[group.name],
            "last_learning_rate": rate,
        }
        trained.append(size)
    weights = {
        loss: [first["weights"].get(loss, 1.0), last["weights"].get(loss, 1.0)]
        for loss in _losses(first["phase"], compiled.model.config)
    }
    return {
        "phase": first["phase"],
        "trained": trained,
        "frozen": frozen,
        "weights": weights,
    }


def _losses(phase: str, config: ModelConfig) -> list[str]:
    """The parts of the loss that a phase trains."""
    if phase == WARMUP or not config.has_sequential:
        return ["global"]
    if not config.has_graph:
        return ["local"]
    aligned = config.alignment.kind != "none"
    return ["local", "global", *(["alignment"] if aligned else [])]


def _length(epochs: Sequence[Record], schedule: Schedule) -> dict[str, Any]:
    """The part of a phase that says how long it was to be, and was."""
    most, steps, patience = (
        schedule.main_epochs,
        None,
        schedule.patience,
    )
    if epochs[0]["phase"] == WARMUP:
        most, steps, patience = (
            schedule.warmup_epochs,
            schedule.warmup_steps,
            schedule.warmup_patience,
        )
    ended_by = "epochs"
    if steps is not None:
        ended_by = "steps"
    elif len(epochs) < most:
        ended_by = "patience"
    return {
        "planned": {"epochs": most, "steps": steps, "patience": patience},
        "done": {
            "epochs": len(epochs),
            "steps": sum(record["steps"] for record in epochs),
        },
        "ended_by": ended_by,
    }
