"""Settings of the sequential tower."""

from __future__ import annotations

import dataclasses

from models.config.checks import at_least, between, one_of


@dataclasses.dataclass(frozen=True)
class SequentialConfig:
    """The sequential tower (paper section 3.3); none trains the graph alone.

    `max_length` counts events of a training sequence: max_length - 1 inputs
    and as many shifted targets. `dropout` applies to the inputs and to the
    result of every sublayer, `attention_dropout` to the attention weights.
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

    def __post_init__(self) -> None:
        one_of("encoder", self.encoder, "sasrec", "none")
        one_of("norm", self.norm, "pre", "post")
        one_of("activation", self.activation, "relu", "gelu")
        between("dropout", self.dropout, 0.0, 0.99)
        between("attention_dropout", self.attention_dropout, 0.0, 0.99)
        at_least("max_length", self.max_length, 2)
        for name in ("num_blocks", "num_heads", "feed_forward_dim"):
            at_least(name, getattr(self, name), 1)
