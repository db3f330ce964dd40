"""What settings a trial has, and which a stage tries first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from models.config.together import check_together
from models.settings import SettingsError, value_at, with_values
from models.tuning.config import Settings, StageConfig


def trial_settings(
    settings: Settings, values: Mapping[str, Any], has_neighbors: bool
) -> Settings:
    """The settings of a trial.

    Args:
        settings: as the configuration says.
        values: what the trial has instead, by dotted name.
        has_neighbors: whether the graph has each item's neighbours.

    Raises:
        SettingsError: values that cannot be, alone or together.
    """
    settings = with_values(settings, values)
    model, training = settings.model, settings.training
    if not (model.has_graph and model.has_sequential):
        # a stage may look at one tower alone: nothing is warmed up then,
        # whatever the later stages' warm-up is
        training = dataclasses.replace(
            training,
            warmup_epochs=0,
            warmup_steps=None,
            warmup_patience=None,
        )
    try:
        check_together(model, training, has_neighbors)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    return settings


def present_values(
    settings: Settings, fixed: Mapping[str, Any], stage: StageConfig
) -> dict[str, Any]:
    """What the settings searched are without a search, by dotted name.

    Args:
        settings: as the configuration says.
        fixed: what holds in the stage instead: earlier winners and the
            stage's own `settings`.
        stage: whose space counts.

    Raises:
        SettingsError: the configuration cannot be together with `fixed`, or
            lies outside the space. Trials may still be possible: their values
            take the place of those that are not.
    """
    there = with_values(settings, fixed)
    present = {name: _value(there, name) for name in stage.space}
    outside = [
        f"{name} ({present[name]})"
        for name, parameter in stage.space.items()
        if not parameter.holds(present[name])
    ]
    if outside:
        raise SettingsError(f"{', '.join(outside)} outside the space")
    return present


def _value(settings: Settings, name: str) -> Any:
    try:
        return value_at(settings, name)
    except AttributeError as error:
        # a part of a schedule, where a number is what holds
        raise SettingsError(f"there is no `{name}` in it") from error
