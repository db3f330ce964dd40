"""Training data as flat arrays that stay on the device for a whole fit.

No Python and no host work per step: an epoch is one array of user numbers,
drawn from (seed, epoch) alone, so that a resumed fit continues exactly.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from models import random_streams


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Histories of the users that are fitted on.

    Attributes:
        items: [rows] item numbers from 1, oldest first within a user.
        offsets: [num_sequences + 1] into `items`.
        users: [num_sequences] row of each user in the user table.
        num_items: size of the catalogue.
    """

    items: np.ndarray
    offsets: np.ndarray
    users: np.ndarray
    num_items: int

    def __post_init__(self) -> None:
        if len(self.items) and not (
            self.items.min() >= 1 and self.items.max() <= self.num_items
        ):
            raise ValueError(
                f"Item numbers must lie in 1..{self.num_items}, found "
                f"{self.items.min()}..{self.items.max()}."
            )


@dataclasses.dataclass(frozen=True)
class Queries:
    """Histories to recommend for, each with the item that came next.

    Attributes:
        histories: [n, length] int32, newest in the last column, 0 pads.
        targets: [n] item numbers, 0 where the target is not in the
            catalogue and can therefore not be found.
        seen_rows: [s] query and
        seen_items: [s] item number pairs that must not be recommended;
            empty where seen items are kept.
    """

    histories: np.ndarray
    targets: np.ndarray
    seen_rows: np.ndarray
    seen_items: np.ndarray


def right_aligned(
    items: np.ndarray, offsets: np.ndarray, length: int
) -> np.ndarray:
    """[num_sequences, length] int32: newest items right, 0 pads left."""
    counts = np.minimum(np.diff(offsets), length)
    columns = np.arange(length)[np.newaxis]
    kept = columns >= length - counts[:, np.newaxis]
    rows = offsets[1:, np.newaxis] - length + columns
    matrix = np.zeros(kept.shape, np.int32)
    matrix[kept] = items[rows[kept]]
    return matrix


def shuffled_batches(
    number: int,
    batch_size: int,
    seed: int,
    epoch: int,
    stream: int,
) -> np.ndarray:
    """A permutation of 0..number-1 cut into batches.

    Args:
        number: how many.
        batch_size: per batch; the last batch is filled with -1.
        seed: of the fit.
        epoch: of the fit.
        stream: of `models.random_streams`; tells independent permutations
            of one epoch apart.

    Returns:
        [num_batches, batch_size] int32, a function of the arguments alone.
    """
    generator = random_streams.order(seed, epoch, stream)
    num_batches = -(-number // batch_size)
    order = np.full(num_batches * batch_size, -1, np.int32)
    order[:number] = generator.permutation(number)
    return order.reshape(num_batches, batch_size)


def spread_over_batches(
    number: int,
    num_batches: int,
    seed: int,
    epoch: int,
    stream: int,
) -> np.ndarray:
    """A permutation of 0..number-1 over a given number of batches.

    Args:
        number: how many.
        num_batches: into how many batches, whose sizes differ by one at
            most.
        seed: of the fit.
        epoch: of the fit.
        stream: of `models.random_streams`; tells independent permutations
            of one epoch apart.

    Returns:
        [num_batches, most] int32, -1 where a batch has one less.
    """
    most = max(1, -(-number // num_batches))
    flat = shuffled_batches(number, max(number, 1), seed, epoch, stream)[:1]
    flat = flat.reshape(-1)[:number]
    sizes = np.full(num_batches, number // num_batches)
    sizes[: number % num_batches] += 1
    batches = np.full((num_batches, most), -1, np.int32)
    batches[np.arange(most) < sizes[:, np.newaxis]] = flat
    return batches


def batches_by_length(
    order: np.ndarray, lengths: np.ndarray, seed: int, epoch: int
) -> np.ndarray:
    """Puts sequences of like length into one batch, in pools of batches.

    Within pools of 16 shuffled batches the sequences are sorted by length;
    then the batches are shuffled. Saves the padding of short histories.

    Args:
        order: [num_batches, batch_size] int32 from `shuffled_batches`.
        lengths: [num_sequences] int.
        seed: of the fit.
        epoch: of the fit.

    Returns:
        The same numbers in another arrangement; the batch with -1, if any,
        may be any of them.
    """
    num_batches, batch_size = order.shape
    flat = order.reshape(-1)
    used = flat[flat >= 0].copy()
    for start in range(0, len(used), 16 * batch_size):
        pool = used[start : start + 16 * batch_size]
        pool[:] = pool[np.argsort(lengths[pool], kind="stable")]
    flat = np.full(order.size, -1, np.int32)
    flat[: len(used)] = used
    generator = random_streams.order(seed, epoch, random_streams.BATCHES)
    return flat.reshape(order.shape)[generator.permutation(num_batches)]
