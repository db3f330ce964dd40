"""What is to be predicted on test: requests, and what each must find.

A request is a user and how much of the history is its input; the targets are
events after that. Most rules have one request per user with one target,
`successive` has a request per test event, and `all` one request per user with
all that follows as targets.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from components.histories import Histories

LAST = "last"
FIRST = "first"
RANDOM = "random"
SUCCESSIVE = "successive"
ALL = "all"
RULES = (LAST, FIRST, RANDOM, SUCCESSIVE, ALL)

KEPT = "kept"
DROPPED = "dropped"


@dataclasses.dataclass(frozen=True)
class Targets:
    """Requests of one rule and their targets.

    Attributes:
        users: [num_requests] position of the request's user in the histories,
            ascending.
        ends: [num_requests] how many of the user's first events are the input.
        requests: [num_targets] request of each target, ascending; each
            request has at least one.
        positions: [num_targets] place of each target in its user's history.
    """

    users: np.ndarray
    ends: np.ndarray
    requests: np.ndarray
    positions: np.ndarray

    @property
    def owners(self) -> np.ndarray:
        """[num_targets] position of each target's user in the histories."""
        return self.users[self.requests]

    def rows(self, histories: Histories) -> np.ndarray:
        """[num_targets] row of each target in the flat arrays."""
        return histories.offsets[self.owners] + self.positions

    def are_cold(self, histories: Histories) -> np.ndarray:
        """[num_targets] bool: items without any development event."""
        return histories.item_indices[self.rows(histories)] == 0

    def part(self, start: int, stop: int) -> Targets:
        """The requests start..stop - 1 and their targets."""
        low, high = np.searchsorted(self.requests, [start, stop])
        return Targets(
            self.users[start:stop],
            self.ends[start:stop],
            self.requests[low:high] - start,
            self.positions[low:high],
        )

    def pieces(self, max_targets: int) -> Iterator[Targets]:
        """The same requests again and again, with some of the targets each.

        A request may have any number of targets, so what is made per target
        grows beyond any bound on requests.

        Args:
            max_targets: of a piece; a request's may lie in several, and a
                request in a piece without any target.
        """
        for start in range(0, len(self.requests), max_targets):
            stop = start + max_targets
            yield dataclasses.replace(
                self,
                requests=self.requests[start:stop],
                positions=self.positions[start:stop],
            )

    def evenly(self, number: int) -> Targets:
        """At most `number` requests, evenly spaced, a target of each."""
        total = len(self.users)
        picks = np.linspace(0, total - 1, min(number, total)).astype(int)
        picks = np.unique(picks)
        return Targets(
            self.users[picks],
            self.ends[picks],
            np.arange(len(picks)),
            self.positions[np.searchsorted(self.requests, picks)],
        )

    def batches(self, max_requests: int, max_events: int) -> Iterator[Targets]:
        """Cuts the requests into parts that fit into memory.

        A part may have any number of targets: `pieces` cuts these.

        Args:
            max_requests: of a part.
            max_events: of a part padded to its longest input; a single
                request may have more.
        """
        start, longest = 0, 0
        for request, end in enumerate(self.ends.tolist()):
            longest = max(longest, end)
            number = request - start + 1
            if number > 1 and (
                number > max_requests or number * longest > max_events
            ):
                yield self.part(start, request)
                start, longest = request, end
        if start < len(self.ends):
            yield self.part(start, len(self.ends))


def label(rule: str) -> str:
    """The rule as it stands in tables, such as `last target`."""
    return f"{rule} target{'s' if rule in (SUCCESSIVE, ALL) else ''}"


def select_targets(histories: Histories, rule: str, seed: int) -> Targets:
    """Requests and targets of test users.

    Of a user's test events those that have an input before them can be
    targets: a user without a development event gives up the first test event
    as input.

    Args:
        histories: users with such an event, `splits.test_users` at most.
        rule: `last` or `first` of these events; `random`: one of them, drawn
            by a hash of the user's id and the seed; `successive`: each, given
            everything before it; `all`: their distinct items, given the
            events before the first of them.
        seed: of `random`.

    Raises:
        ValueError: an unknown rule.
    """
    ends = histories.num_events
    starts = np.maximum(histories.num_development_events, 1)
    if rule in (SUCCESSIVE, ALL):
        users, positions = _test_events(starts, ends)
        if rule == SUCCESSIVE:
            return _one_by_one(users, positions)
        items = histories.item_ids[histories.offsets[users] + positions]
        first = first_of_item(users, items)
        return Targets(
            np.arange(histories.num_users),
            starts,
            users[first],
            positions[first],
        )
    if rule == LAST:
        positions = ends - 1
    elif rule == FIRST:
        positions = starts
    elif rule == RANDOM:
        draws = _hashes(histories.user_ids, seed) % (ends - starts).astype("u8")
        positions = starts + draws.astype(np.int64)
    else:
        raise ValueError(
            f"Target rule must be one of {', '.join(RULES)}, found {rule!r}."
        )
    return _one_by_one(np.arange(histories.num_users), positions)


def drop_cold(targets: Targets, histories: Histories) -> Targets:
    """Without items that have no development event.

    A request that loses all its targets is dropped with them, and so a user
    without any other is not measured.
    """
    warm = ~targets.are_cold(histories)
    kept, requests = np.unique(targets.requests[warm], return_inverse=True)
    return Targets(
        targets.users[kept],
        targets.ends[kept],
        requests,
        targets.positions[warm],
    )


def measured_targets(
    histories: Histories, rule: str, seed: int, cold_items: str
) -> Targets:
    """`select_targets`, and `drop_cold` where cold_items is `dropped`."""
    targets = select_targets(histories, rule, seed)
    return drop_cold(targets, histories) if cold_items == DROPPED else targets


def first_of_item(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """[n] bool: no earlier event has the same user and item.

    Args:
        users: [n] int, of each event.
        items: [n] bytes objects, of each event.
    """
    codes, distinct = pd.factorize(items)
    keys = users * (len(distinct) + 1) + codes
    return ~pd.Series(keys).duplicated().to_numpy()


def _one_by_one(users: np.ndarray, positions: np.ndarray) -> Targets:
    """A request for each target, given everything before it."""
    return Targets(users, positions, np.arange(len(users)), positions)


def _test_events(
    starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Users and positions of all events in [starts, ends), user by user."""
    lengths = ends - starts
    users = np.repeat(np.arange(len(lengths)), lengths)
    before = np.cumsum(lengths) - lengths
    return users, np.arange(len(users)) + (starts - before)[users]


def _hashes(user_ids: np.ndarray, seed: int) -> np.ndarray:
    """[num_users] uint64 of each id and the seed alone."""
    key = str(seed).encode()
    digests = [
        hashlib.blake2b(user, digest_size=8, key=key).digest()
        for user in user_ids
    ]
    return np.frombuffer(b"".join(digests), "<u8")
