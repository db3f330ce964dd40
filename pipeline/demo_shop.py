"""Draws the visits to a made-up shop, see `pipeline.demo_logs`."""

from __future__ import annotations

import dataclasses

import numpy as np

DAY = 86_400
_ITEMS_PER_COMMUNITY = 75
_SUCCESSOR_SHARES = (0.5, 0.25, 0.15, 0.1)
_CHAIN_SHARE = 0.5
_FAVOURITE_SHARE = 0.7
_SECOND_SHARE = 0.2
_EVENTS_PER_VISIT = 4
_MIN_USER_EVENTS = 3
_REDRAWS = 4


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """Size of the shop.

    Attributes:
        users: how many.
        items: how many at most; a rare one may never be bought.
        events: how many in all, at least 3 per user.
        days: from the first to the last event.
        seed: of all chance.
    """

    users: int = 3000
    items: int = 1200
    events: int = 80_000
    days: int = 200
    seed: int = 7

    def __post_init__(self) -> None:
        if self.users < 1 or self.days < 1:
            raise ValueError("`users` and `days` must be at least 1.")
        if self.items < 40:
            raise ValueError(f"`items` must be at least 40: {self.items}.")
        if self.events < _MIN_USER_EVENTS * self.users:
            raise ValueError(
                f"`events` must be at least {_MIN_USER_EVENTS} per user, "
                f"{_MIN_USER_EVENTS * self.users}, found {self.events}."
            )


@dataclasses.dataclass(frozen=True)
class Events:
    """Events user by user, in time order within a user.

    Attributes:
        users: [n] user numbers, ascending.
        steps: [n] number of the event within its user, from 0.
        times: [n] seconds since the first day.
    """

    users: np.ndarray
    steps: np.ndarray
    times: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Shop:
    """What drives the choice of items.

    Attributes:
        members: [communities, m] item numbers.
        popularity: [weeks, communities, m] cumulative shares of a
            community's items, 0 for items that have not appeared yet.
        successors: [items, 4] what is likely next, most likely first.
        born: [items] seconds since the first day.
    """

    members: np.ndarray
    popularity: np.ndarray
    successors: np.ndarray
    born: np.ndarray


def draw_events(
    random: np.random.Generator, config: DemoConfig
) -> tuple[Events, np.ndarray]:
    """Draws who comes when, and [n] what they take."""
    events = _draw_times(random, config)
    shop = _draw_shop(random, config)
    return events, _draw_items(random, config, events, shop)


def _draw_times(random: np.random.Generator, config: DemoConfig) -> Events:
    """Users arrive early or late, visit now and then, most to the end."""
    end = config.days * DAY
    early = random.random(config.users) < 0.55
    arrival = np.where(
        early,
        random.uniform(0.0, 0.3, config.users),
        random.uniform(0.0, 0.92, config.users),
    )
    stays = random.random(config.users) < 0.65
    departure = np.where(
        stays, 1.0, random.uniform(arrival + (1 - arrival) * 0.2, 1.0)
    )
    activity = random.gamma(1.5, 1.0, config.users)
    weights = activity * (0.15 + departure - arrival)
    counts = _MIN_USER_EVENTS + random.multinomial(
        config.events - _MIN_USER_EVENTS * config.users,
        weights / weights.sum(),
    )
    users = np.repeat(np.arange(config.users), counts)
    first_visit = np.cumsum(-(-counts // _EVENTS_PER_VISIT))
    num_visits = np.diff(first_visit, prepend=0)
    first_visit -= num_visits
    owner = np.repeat(np.arange(config.users), num_visits)
    starts = random.uniform(arrival[owner], departure[owner]) * (end - DAY)
    visits = first_visit[users] + (
        random.random(len(users)) * num_visits[users]
    ).astype(np.int64)
    # Minutes between the events of a visit.
    times = (starts[visits] + random.gamma(2.0, 300.0, len(users))).astype(
        np.int64
    )
    times = np.minimum(times, end - 1)
    times = times[np.lexsort((times, users))]
    steps = np.arange(len(users)) - np.repeat(
        np.cumsum(counts) - counts, counts
    )
    return Events(users, steps, times)


def _draw_shop(random: np.random.Generator, config: DemoConfig) -> _Shop:
    num_communities = max(4, config.items // _ITEMS_PER_COMMUNITY)
    size = -(-config.items // num_communities)
    shuffled = random.permutation(config.items)
    padding = random.choice(shuffled, num_communities * size - config.items)
    members = (
        np.concatenate([shuffled, padding]).reshape(size, num_communities).T
    )
    born = np.where(
        random.random(config.items) < 0.75,
        0.0,
        random.uniform(0.0, 0.9, config.items),
    ) * (config.days * DAY)
    num_weeks = -(-config.days // 7)
    weeks = (np.arange(num_weeks) + 1.0)[:, None] * 7 * DAY
    base = (1.0 + random.permutation(config.items)) ** -0.6
    peak = random.uniform(0.0, 1.0, config.items) * config.days * DAY
    spread = random.uniform(0.08, 0.3, config.items) * config.days * DAY
    drift = 0.25 + np.exp(-0.5 * ((weeks - peak) / spread) ** 2)
    weights = np.where(born < weeks, base * drift, 0.0)[:, members]
    weights += 1e-12  # a community may have no item yet
    shares = np.cumsum(weights, axis=2)
    successors = np.empty((config.items, len(_SUCCESSOR_SHARES)), np.int64)
    for community in members:
        # Successor 1 is the next of a ring, 2 the next of another, ...
        for column in range(len(_SUCCESSOR_SHARES)):
            ring = random.permutation(np.unique(community))
            successors[ring, column] = np.roll(ring, -1)
    return _Shop(members, shares / shares[:, :, -1:], successors, born)


def _draw_items(
    random: np.random.Generator,
    config: DemoConfig,
    events: Events,
    shop: _Shop,
) -> np.ndarray:
    """[n] item numbers, drawn for all users at once, step by step."""
    num_communities = len(shop.members)
    taste = random.integers(num_communities, size=(config.users, 2))
    items = np.full(len(events.users), -1)
    history = np.full((config.users, int(events.steps.max()) + 1), -1)
    by_step = np.argsort(events.steps, kind="stable")
    bounds = np.searchsorted(
        events.steps[by_step], np.arange(history.shape[1] + 1)
    )
    for step in range(history.shape[1]):
        now = by_step[bounds[step] : bounds[step + 1]]
        users, times = events.users[now], events.times[now]
        seen = history[users, :step]
        drawn = np.full(len(now), -1)
        if step:
            shares = np.cumsum(_SUCCESSOR_SHARES)
            choice = np.searchsorted(shares[:-1], random.random(len(now)))
            following = shop.successors[history[users, step - 1], choice]
            chained = (random.random(len(now)) < _CHAIN_SHARE) & (
                shop.born[following] <= times
            )
            drawn[chained] = following[chained]
        for _ in range(_REDRAWS):
            again = (drawn < 0) | (seen == drawn[:, None]).any(axis=1)
            drawn[again] = _draw_by_taste(
                random, shop, taste[users[again]], times[again]
            )
        history[users, step] = items[now] = drawn
    return items


def _draw_by_taste(
    random: np.random.Generator,
    shop: _Shop,
    taste: np.ndarray,
    times: np.ndarray,
) -> np.ndarray:
    """[n] items popular now in a community that the users like.

    Args:
        random: source of chance.
        shop: the shop.
        taste: [n, 2] favourite and second community.
        times: [n] seconds since the first day.
    """
    chance = random.random(len(times))
    communities = np.select(
        [chance < _FAVOURITE_SHARE, chance < _FAVOURITE_SHARE + _SECOND_SHARE],
        [taste[:, 0], taste[:, 1]],
        random.integers(len(shop.members), size=len(times)),
    )
    shares = shop.popularity[times // (7 * DAY), communities]
    ranks = (random.random((len(times), 1)) > shares).sum(axis=1)
    return shop.members[communities, ranks]
