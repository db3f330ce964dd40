"""Items that the same users had, for UltraGCN's item-item loss.

    G       = R^T R                      R: users x items, 1 at each edge
    omega_ij = G_ij sqrt(g_i + 1) / g_i / sqrt(g_j + 1),  g_i = sum_j G_ij

(Mao et al. 2021, arXiv:2110.15114, equation 10, in the form of the authors'
code: the diagonal counts in the sums and i is its own neighbour, unless left
out.) Every item keeps the K largest; it is part of the graph and not of the
training step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

# most entries of G that are held at a time: some 200 MiB while they are sorted
MAX_ENTRIES = 1 << 22


@dataclasses.dataclass(frozen=True)
class ItemNeighbors:
    """Edges from items to their nearest items.

    Attributes:
        sources: [n] int64 items, ascending.
        targets: [n] int64 items, of each source the heaviest first, equal
            ones in the catalogue's order.
        weights: [n] float32 omega.
    """

    sources: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


def item_neighbors(
    users: np.ndarray,
    items: np.ndarray,
    num_users: int,
    num_items: int,
    count: int,
    include_self: bool = True,
    max_entries: int = MAX_ENTRIES,
) -> ItemNeighbors:
    """The `count` heaviest neighbours of every item.

    Args:
        users: [num_edges] user nodes of distinct edges.
        items: [num_edges] item nodes.
        num_users: user nodes.
        num_items: item nodes.
        count: K; items with fewer co-occurring items have fewer.
        include_self: whether an item may be its own neighbour.
        max_entries: of G, held at a time; one row may have more.
    """
    matrix = sp.csr_matrix(
        (np.ones(len(users), np.float64), (items, users)),
        shape=(num_items, num_users),
    )
    columns = matrix.T.tocsr()
    # row sums of G = R^T R without building it; whole numbers, exact
    totals = matrix @ np.asarray(columns.sum(axis=1))[:, 0]
    outer = 1.0 / np.sqrt(totals + 1.0)
    inner = np.sqrt(totals + 1.0) / np.maximum(totals, 1.0)
    parts = []
    for start, stop in _blocks(totals, max_entries):
        block = (matrix[start:stop] @ columns).tocoo()
        rows, cols = block.row.astype(np.int64), block.col.astype(np.int64)
        rows += start
        weights = block.data * inner[rows] * outer[cols]
        if not include_self:
            other = rows != cols
            rows, cols, weights = rows[other], cols[other], weights[other]
        parts.append(_heaviest(rows, cols, weights, count))
    sources, targets, omegas = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return ItemNeighbors(sources, targets, omegas.astype(np.float32))


def _blocks(totals: np.ndarray, max_entries: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows of G; a row has at most its sum and num_items entries."""
    num_items = len(totals)
    ends = np.cumsum(np.minimum(totals, num_items))
    start = 0
    while start < num_items:
        before = ends[start - 1] if start else 0
        stop = np.searchsorted(ends, before + max_entries, side="right")
        stop = max(int(stop), start + 1)
        yield start, stop
        start = stop


def _heaviest(
    rows: np.ndarray, cols: np.ndarray, weights: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The `count` entries of largest weight of each row."""
    order = np.lexsort((cols, -weights, rows))
    rows, cols, weights = rows[order], cols[order], weights[order]
    starts = np.flatnonzero(np.append(True, rows[1:] != rows[:-1]))
    if not len(rows):
        return rows, cols, weights
    lengths = np.diff(np.append(starts, len(rows)))
    kept = np.arange(len(rows)) - np.repeat(starts, lengths) < count
    return rows[kept], cols[kept], weights[kept]
