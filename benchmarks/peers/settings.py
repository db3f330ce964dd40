"""What both sides of a comparison are set to, and what each says."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Epoch:
    """What one epoch took.

    Attributes:
        seconds: by the clock.
        cpu_seconds: of all threads.
        loss: mean over the epoch.
    """

    seconds: float
    cpu_seconds: float
    loss: float


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sizes of both models; a peer's script gets them as JSON.

    RecTools fixes what is not here: blocks that normalise before the
    attention, ReLU, dropout also on attention weights, Adam. Ours is set to
    the same. Its feed-forward width is always `embedding_dim`.
    """

    newest: int
    embedding_dim: int = 64
    num_blocks: int = 2
    num_heads: int = 1
    dropout: float = 0.2
    batch_size: int = 128
    learning_rate: float = 0.001
    num_layers: int = 2
    graph_batch_size: int = 2048
    l2: float = 1e-4
    threads: int = 2

    def __post_init__(self) -> None:
        if self.newest < 2:
            raise ValueError(
                f"`newest` must be at least 2, found {self.newest}: a "
                "sequence needs an input and a target."
            )
        for name in ("batch_size", "graph_batch_size", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1.")
