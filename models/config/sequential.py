"""Settings of the sequential tower."""

from __future__ import annotations

import dataclasses

from models.config.checks import at_least, between, one_of


@dataclasses.dataclass(frozen=True)
class SequentialConfig:
    """The sequential tower (paper section 3.3); none trains the graph alone.

    `max_length` counts events of a training sequence: for sasrec max_length
    - 1 inputs and as many shifted targets, for bert4rec max_length positions
    of which some are masked. Both recommend from max_length - 1 events.
    `dropout` applies to the inputs and to the result of every sublayer,
    `attention_dropout` to the attention weights. `positions` says which end
    they are counted from, `scale_inputs` whether item vectors are multiplied
    by sqrt(embedding_dim) before the positions are added.
    `mask_probability` (of a position) and `last_mask_probability` (of a
    sequence, to have its last position masked instead) are of bert4rec.
    """

    encoder: str = "sasrec"
    max_length: int = 10
    num_blocks: int = 2
    num_heads: int = 1
    feed_forward_dim: int = 64
    dropout: float = 0.5
    attention_dropout: float = 0.0
    norm: str = "post"
    activation: str = "gelu"
    positions: str = "newest"
    scale_inputs: bool = True
    mask_probability: float = 0.2
    last_mask_probability: float = 0.1

    def __post_init__(self) -> None:
        one_of("encoder", self.encoder, "sasrec", "bert4rec", "none")
        one_of("norm", self.norm, "pre", "post")
        one_of("activation", self.activation, "relu", "gelu")
        one_of("positions", self.positions, "newest", "oldest")
        between("dropout", self.dropout, 0.0, 0.99)
        between("attention_dropout", self.attention_dropout, 0.0, 0.99)
        between("last_mask_probability", self.last_mask_probability, 0.0, 1.0)
        if not 0.0 < self.mask_probability < 1.0:
            raise ValueError(
                "`mask_probability` must lie between 0 and 1, both excluded, "
                f"found {self.mask_probability}."
            )
        at_least("max_length", self.max_length, 2)
        for name in ("num_blocks", "num_heads", "feed_forward_dim"):
            at_least(name, getattr(self, name), 1)
