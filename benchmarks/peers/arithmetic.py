"""Floating-point operations that an epoch of SASRec cannot do without.

Padding is not counted, so a program that computes on it gets no credit. A
product of [m, k] and [k, n] counts 2 m k n; its backward pass is two such
products, so training counts three.
"""

from __future__ import annotations

import numpy as np


def softmax_flops(positions: int, items: int, dim: int) -> int:
    """The products of the full softmax with the item table, one epoch.

    Args:
        positions: inputs that have a target.
        items: size of the catalogue.
        dim: of the vectors.
    """
    return 6 * positions * items * dim


def encoder_flops(inputs: np.ndarray, dim: int, blocks: int) -> int:
    """The products of the transformer, one epoch; feed-forward width `dim`.

    Args:
        inputs: [sequences] int, inputs of each.
        dim: of the vectors.
        blocks: of the transformer.
    """
    inputs = np.asarray(inputs, np.int64)
    # query, key, value, output, and the two feed-forward layers
    dense = 6 * 2 * dim * dim * inputs
    # scores and the weighted sum over all pairs of a sequence
    attention = 2 * 2 * dim * inputs**2
    return int(3 * blocks * (dense + attention).sum())
