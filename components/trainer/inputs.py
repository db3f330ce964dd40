"""From transformed histories and graphs to what models/ trains on."""

from __future__ import annotations

import hashlib

import numpy as np

from components import splits
from components.histories import Histories, windows
from components.periods import TRAIN, fit_windows
from models.fitting.input_pipeline import Queries, Sequences, right_aligned
from models.graph.propagation import BipartiteAdjacency


def fit_sequences(
    histories: Histories,
    split: splits.SplitConfig,
    period: str,
    max_length: int,
    num_items: int,
) -> Sequences:
    """Each fit user's newest events of the period.

    Args:
        histories: all users.
        split: which users count.
        period: `train` or `train_validation`.
        max_length: events of a user at most.
        num_items: size of the period's catalogue.

    Raises:
        ValueError: nobody is left to train on.
    """
    data = fit_windows(histories, split, period, max_length)
    if not len(data.user_positions):
        name, cut = ("test", histories.test_cut)
        if period == TRAIN:
            name, cut = ("validation", histories.validation_cut)
        raise ValueError(
            f"No user is left to train on in the period `{period}`: none of "
            f"{histories.num_users} has enough events up to the {name} cut "
            f"({cut}, unix seconds) with `split.strategy: {split.strategy}` "
            f"and `split.validation: {split.validation_rule}`. Move the cut, "
            "lower `split.min_development_events` or use more data."
        )
    return Sequences(
        items=histories.item_indices[data.rows],
        offsets=data.offsets,
        users=histories.user_indices[data.user_positions],
        num_items=num_items,
    )


def validation_queries(
    histories: Histories,
    split: splits.SplitConfig,
    max_length: int,
    num_items: int,
    filter_seen: bool,
) -> Queries:
    """The last development event of every validation user.

    Items the training catalogue lacks are left out of the histories, as the
    served model leaves out unknown ids; as targets they cannot be found.

    Args:
        histories: all users.
        split: which users count.
        max_length: newest max_length - 1 known items are the input.
        num_items: size of the training period's catalogue.
        filter_seen: whether items of the history must not be recommended.

    Raises:
        ValueError: there is no validation user.
    """
    users = histories.select(splits.validation_users(histories, split))
    if not users.num_users:
        raise ValueError(
            f"No validation user among {histories.num_users}: with "
            f"`split.validation: {split.validation_rule}` nobody has both a "
            "history and a development event kept from training. Move the "
            "validation cut, raise `split.validation_user_share`, lower "
            "`split.min_development_events` or use more data."
        )
    ends = users.num_development_events
    targets = users.item_indices[users.offsets[:-1] + ends - 1]
    rows, offsets = windows(users.offsets, ends - 1, None)
    items = users.item_indices[rows]
    known = (items >= 1) & (items <= num_items)
    owners = np.repeat(np.arange(users.num_users), np.diff(offsets))[known]
    items = items[known]
    lengths = np.bincount(owners, minlength=users.num_users)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    nothing = np.zeros(0, np.int64)
    return Queries(
        histories=right_aligned(items, offsets, max_length - 1),
        targets=np.where(targets <= num_items, targets, 0),
        seen_rows=owners if filter_seen else nothing,
        seen_items=items if filter_seen else nothing,
    )


def popular_rows(sequences: Sequences) -> np.ndarray:
    """[num_items] int32 catalogue positions, most events first.

    Items with equal counts keep the catalogue's order.
    """
    counts = np.bincount(sequences.items - 1, minlength=sequences.num_items)
    return np.argsort(-counts, kind="stable").astype(np.int32)


def digest(*parts: str | Sequences | BipartiteAdjacency | Queries) -> str:
    """A short name for exactly this training job, to resume it by.

    Args:
        *parts: settings as text and the data itself, so that neither another
            configuration nor other data can pick up a checkpoint.
    """
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            sha.update(part.encode())
            continue
        if isinstance(part, Sequences):
            # the table also has items that no newest event names
            arrays = [
                part.items,
                part.offsets,
                part.users,
                np.array(part.num_items),
            ]
        elif isinstance(part, Queries):
            arrays = [
                part.histories,
                part.targets,
                part.seen_rows,
                part.seen_items,
            ]
        else:
            users = np.array(part.num_users)
            arrays = [part.edges, users, *(part.neighbors or ())]
        for array in arrays:
            sha.update(str((array.shape, array.dtype)).encode())
            sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()[:16]
