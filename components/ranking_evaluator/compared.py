"""Exported models of other runs, measured on this run's targets."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from tfx.dsl.io import fileio

from components.histories import Histories
from components.ranking_evaluator.config import SERVED
from components.ranking_evaluator.exported_model import ModelAnswerError
from components.ranking_evaluator.words import date
from serving import assets_extra, version_folders

COMPARED_FOLDER = "compared"

# What serving.export puts into a SavedModel, beside `assets_extra`.
ITEM_IDS = os.path.join("assets", "item_ids.txt")

# Of two files that are compared, read at a time.
_CHUNK_BYTES = 1 << 22

# Least share of the test users' events up to the cut whose items it knows.
_LEAST_KNOWN = 0.5


@dataclasses.dataclass(frozen=True)
class ComparedModel:
    """A model that this run's is compared with.

    Attributes:
        name: in the results.
        directory: of the SavedModel.
        num_items: size of its catalogue.
        num_unknown_items: of these, those that this run's catalogue lacks.
            Recommended they are misses, and its coverage is of all items of
            the universe and its own together.
        known_share: of the test users' events up to the cut, those whose
            items it knows.
        max_history: newest known items that it reads, None where not known.
        fitted_until: unix seconds of the last event it may have learned
            from, None where it does not say.
    """

    name: str
    directory: str
    num_items: int
    num_unknown_items: int
    known_share: float
    max_history: int | None
    fitted_until: int | None

    @property
    def facts(self) -> dict[str, Any]:
        """What metrics.json says of it."""
        facts = dataclasses.asdict(self)
        del facts["name"]
        return facts


def find(
    folders: Mapping[str, str],
    catalogue: Collection[bytes],
    test: Histories,
    serving_dir: str = "",
    model: str = "",
) -> list[ComparedModel]:
    """The models of `evaluation.compare_with`, checked.

    Args:
        folders: name to SavedModel or folder of numbered versions, or
            `served`, which is left out where no other model than this run's
            has been pushed yet.
        catalogue: ids of the items known before this run's test cut.
        test: histories of the test users, who are what it is measured on.
        serving_dir: base path that this pipeline pushes to.
        model: folder of this run's SavedModel.

    Raises:
        ModelAnswerError: there is no model, it knows hardly any of the test
            users' items, or it has learned from this run's test period or
            may have: it has items that this run's catalogue lacks, and no
            date.
    """
    known = frozenset(catalogue)
    found = []
    for name, folder in folders.items():
        if folder != SERVED:
            directory = newest_version(name, folder)
        elif (served := served_before(serving_dir, model)) is not None:
            directory = served
        else:
            continue
        found.append(_checked(name, directory, known, test))
    return found


def served_before(serving_dir: str, model: str) -> str | None:
    """The newest pushed version that is not this model itself.

    Once a model has been pushed the newest version is the model. Measured
    again it is compared with what it was compared with before, not with
    itself: so it stays blessed, its card says the same, and Pusher finds it
    where it has put it.

    Args:
        serving_dir: base path that this pipeline pushes to.
        model: folder of a SavedModel as Trainer exports it.

    Returns:
        Its folder; None where there is none.
    """
    versions = reversed(version_folders.find(serving_dir).values())
    return next((v for v in versions if not is_pushed(model, v)), None)


def is_pushed(model: str, version: str) -> bool:
    """Whether a version is this model, but for its `assets.extra`.

    The way to a server adds the card and warm-up records there.

    Args:
        model: folder of a SavedModel as Trainer exports it.
        version: folder of a version.
    """
    if not version_folders.is_complete(model):
        return False
    for folder, _, names in fileio.walk(model):
        for name in names:
            path = os.path.join(folder, name)
            place = os.path.relpath(path, model)
            if place.split(os.sep)[0] == assets_extra.FOLDER:
                continue
            copy = os.path.join(version, place)
            if not fileio.exists(copy) or not _same_bytes(path, copy):
                return False
    return True


def _same_bytes(one: str, other: str) -> bool:
    with fileio.open(one, "rb") as left, fileio.open(other, "rb") as right:
        while chunk := left.read(_CHUNK_BYTES):
            if right.read(_CHUNK_BYTES) != chunk:
                return False
        return not right.read(1)


def newest_version(name: str, folder: str) -> str:
    """`folder`, or the highest number in it that holds a SavedModel."""
    if version_folders.is_complete(folder):
        return folder
    newest = version_folders.newest(folder)
    if newest is None:
        raise ModelAnswerError(
            f"`evaluation.compare_with.{name}`: {folder} holds no SavedModel "
            "and no numbered version with one. Fix: give the folder of an "
            "exported model (serving/<model_name> of a run, or a version in "
            f"it). `{SERVED}` in its place is what this pipeline has pushed "
            "before, and may be nothing yet."
        )
    return newest


def read_item_ids(directory: str) -> list[bytes]:
    """Ids of the catalogue in a SavedModel of ours."""
    with fileio.open(os.path.join(directory, ITEM_IDS), "rb") as file:
        return file.read().rstrip(b"\n").split(b"\n")


def _checked(
    name: str, directory: str, known: frozenset[bytes], test: Histories
) -> ComparedModel:
    where = f"`evaluation.compare_with.{name}`: the model in {directory}"
    if not fileio.exists(os.path.join(directory, ITEM_IDS)):
        raise ModelAnswerError(
            f"{where} has no {ITEM_IDS}, so its catalogue is not known. Fix: "
            "give a model that this pipeline has exported."
        )
    item_ids = read_item_ids(directory)
    others = [item for item in item_ids if item not in known]
    facts = _facts(directory)
    until = facts.get("version_info", {}).get("fitted_until")
    # Items leave a log: sold out, forgotten, older than its first day. A model
    # that says until when it has learned may know them; without that they may
    # be items of the future.
    if others and until is None:
        raise ModelAnswerError(
            f"{where} knows {len(others):,} of {len(item_ids):,} items that "
            f"none of this run's {len(known):,} is (the first: "
            f"{others[0]!r}), and does not say until when it has learned: its "
            "histories may reach beyond this run's test cut. Fix: compare "
            "models of the same log and the same `split`, or ones whose "
            "assets.extra/model.json has `fitted_until`."
        )
    if until is not None and until > test.test_cut:
        raise ModelAnswerError(
            f"{where} has learned from events up to {date(until)}, after "
            f"this run's test cut {date(test.test_cut)}: it has seen what it "
            "would be measured on. Fix: compare models of the same `split`, "
            "or of an earlier cut."
        )
    share = known_share(test, item_ids)
    if share < _LEAST_KNOWN:
        raise ModelAnswerError(
            f"{where} knows the items of only {100 * share:.1f} % of what the "
            "test users had up to the test cut: it was made for other "
            "histories. Fix: compare models of the same log."
        )
    return ComparedModel(
        name=name,
        directory=directory,
        num_items=len(item_ids),
        num_unknown_items=len(others),
        known_share=share,
        max_history=facts.get("max_history"),
        fitted_until=until,
    )


def known_share(test: Histories, item_ids: Collection[bytes]) -> float:
    """Of the test users' events up to the cut, those with one of the items.

    1 where there is no such event: all users are new.
    """
    places = np.arange(len(test.item_ids)) - np.repeat(
        test.offsets[:-1], test.num_events
    )
    before = places < np.repeat(test.num_development_events, test.num_events)
    items = test.item_ids[before]
    return float(pd.Series(items).isin(item_ids).mean()) if len(items) else 1.0


def _facts(directory: str) -> dict[str, Any]:
    path = os.path.join(directory, assets_extra.MODEL_FILE)
    if not fileio.exists(path):
        return {}
    with fileio.open(path, "r") as file:
        return json.loads(file.read())
