"""The events that both sides train on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd


@dataclasses.dataclass(frozen=True)
class Interactions:
    """Events by user, oldest first within a user.

    Attributes:
        users: [events] int64 from 0, ascending.
        items: [events] int64 from 0.
        num_users: users, each with at least 2 events.
        num_items: size of the catalogue.
    """

    users: np.ndarray
    items: np.ndarray
    num_users: int
    num_items: int

    @property
    def lengths(self) -> np.ndarray:
        """[num_users] int64: events of each user."""
        return np.bincount(self.users, minlength=self.num_users)

    @property
    def edges(self) -> np.ndarray:
        """[edges, 2] int64: distinct (user, item) pairs, sorted."""
        return np.unique(np.stack([self.users, self.items], axis=1), axis=0)

    def sizes(self) -> dict[str, int]:
        """What a peer must find too; a position is an input with a target."""
        events = len(self.users)
        return {
            "users": self.num_users,
            "items": self.num_items,
            "events": events,
            "positions": events - self.num_users,
            "edges": len(self.edges),
        }

    def save(self, file: Path) -> None:
        """Writes the arrays as .npz for a peer."""
        np.savez(file, users=self.users, items=self.items)


def read_interactions(
    root: Path, dataset: str, newest: int, quantile: float = 0.8
) -> Interactions:
    """Reads `root/dataset/interactions.csv.gz` and cuts it.

    Args:
        root: folder of the data sets.
        dataset: name of a folder in it.
        newest: events kept per user.
        quantile: of all timestamps, linear; later events are left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column is missing, or nobody has two events.
    """
    file = root / dataset / "interactions.csv.gz"
    if not file.is_file():
        raise FileNotFoundError(
            f"No {file}: `--data-root` must hold a folder {dataset} with "
            "interactions.csv.gz (columns user_id, item_id, timestamp)."
        )
    log = pd.read_csv(file)
    missing = {"user_id", "item_id", "timestamp"} - set(log.columns)
    if missing:
        raise ValueError(
            f"{file}: no column {', '.join(sorted(missing))}, found "
            f"{', '.join(log.columns)}."
        )
    times = log["timestamp"].to_numpy()
    return cut(
        log["user_id"].to_numpy(),
        log["item_id"].to_numpy(),
        times,
        float(np.quantile(times, quantile)),
        newest,
    )


def cut(
    user_ids: np.ndarray,
    item_ids: np.ndarray,
    times: np.ndarray,
    end: float,
    newest: int,
) -> Interactions:
    """Events up to a time, of users with two of them, the newest ones.

    Args:
        user_ids: [rows] of any type.
        item_ids: [rows] of any type.
        times: [rows] of the events, in any unit.
        end: in the same unit; an event at this very time is kept.
        newest: events kept per user; rows of one time keep their order.

    Returns:
        Users and items numbered anew, only those that are left.

    Raises:
        ValueError: nobody has two events up to `end`.
    """
    rows = np.flatnonzero(times <= end)
    rows = rows[np.argsort(times[rows], kind="stable")]
    _, users = np.unique(user_ids[rows], return_inverse=True)
    order = np.argsort(users, kind="stable")
    rows, users = rows[order], users[order]
    counts = np.bincount(users)
    # how many of the user's events come after each
    later = np.cumsum(counts)[users] - 1 - np.arange(len(users))
    kept = (counts[users] >= 2) & (later < newest)
    if not kept.any():
        raise ValueError(
            f"No user has two events up to {end} among {len(rows)} events: "
            "give a larger data set."
        )
    left_users, users = np.unique(users[kept], return_inverse=True)
    left_items, items = np.unique(item_ids[rows[kept]], return_inverse=True)
    return Interactions(users, items, len(left_users), len(left_items))


def generate(
    num_users: int, num_items: int, newest: int, seed: int = 0
) -> Interactions:
    """Histories of 2 to `newest` events (mean 6.2 of 10), items by power law.

    Like the data of `benchmarks.training`; every item is in the catalogue
    whether drawn or not.
    """
    generator = np.random.default_rng(seed)
    lengths = np.minimum(2 + generator.geometric(0.2, num_users), newest)
    items = generator.zipf(1.2, lengths.sum()) % num_items
    users = np.repeat(np.arange(num_users), lengths)
    return Interactions(users, items, num_users, num_items)
