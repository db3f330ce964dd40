"""Both sequential towers again, in numpy, one history at a time.

Written from the formulas and not from the layers: loops over heads and rows,
no padding, no masks.
"""

import itertools
import math

import numpy as np

_erf = np.vectorize(math.erf)

# every setting that `forward` depends on
OPTIONS = [
    {
        "norm": norm,
        "activation": activation,
        "positions": positions,
        "scale_inputs": scale_inputs,
    }
    for norm, activation, positions, scale_inputs in itertools.product(
        ["pre", "post"], ["relu", "gelu"], ["newest", "oldest"], [True, False]
    )
]


def randomize(tower, seed=0):
    """Gives every weight a value, also biases and norms, which start fixed."""
    generator = np.random.default_rng(seed)
    for weight in tower.weights:
        noise = generator.normal(0.0, 0.3, weight.shape)
        weight.assign(weight + noise.astype("float32"))


def forward(tower, config, vectors, rows, causal):
    """States of one history without padding.

    Args:
        tower: SASRec or BERT4Rec, for its weights.
        config: its SequentialConfig.
        vectors: [n, d] what stands in the columns, not scaled.
        rows: [n] rows of the position table.
        causal: whether column i sees columns 0..i only.

    Returns:
        [n, d].
    """
    scale = math.sqrt(vectors.shape[1]) if config.scale_inputs else 1.0
    states = vectors * scale + tower.positions.numpy()[rows]
    if config.norm == "post":
        states = _layer_norm(tower.norm, states)
    for block in tower.blocks:
        states = _block(block, states, config, causal)
    return _layer_norm(tower.norm, states) if config.norm == "pre" else states


def _block(block, states, config, causal):
    def attend(x):
        return _attention(block.attention, x, config.num_heads, causal)

    def feed(x):
        hidden = _dense(block.expand, x)
        if config.activation == "gelu":
            hidden = hidden * (1 + _erf(hidden / math.sqrt(2))) / 2
        else:
            hidden = np.maximum(hidden, 0)
        return _dense(block.contract, hidden)

    first, second = block.attention_norm, block.feed_forward_norm
    if config.norm == "pre":
        states = states + attend(_layer_norm(first, states))
        return states + feed(_layer_norm(second, states))
    states = _layer_norm(first, states + attend(states))
    return _layer_norm(second, states + feed(states))


def _attention(attention, states, num_heads, causal):
    query, key, value = np.split(
        _dense(attention.query_key_value, states), 3, axis=1
    )
    size = states.shape[1] // num_heads
    mixed = np.zeros_like(states)
    for start in range(0, states.shape[1], size):
        head = slice(start, start + size)
        for row in range(len(states)):
            seen = row + 1 if causal else len(states)
            logits = key[:seen, head] @ query[row, head] / math.sqrt(size)
            weights = np.exp(logits - logits.max())
            weights /= weights.sum()
            mixed[row, head] = weights @ value[:seen, head]
    return _dense(attention.output_projection, mixed)


def _dense(layer, x):
    kernel, bias = layer.get_weights()
    return x @ kernel + bias


def _layer_norm(layer, x):
    gamma, beta = layer.get_weights()
    centred = x - x.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True))
    return centred / deviation * gamma + beta
