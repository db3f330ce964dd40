"""Settings of the two towers, their losses and the training."""

from __future__ import annotations

import dataclasses


def _one_of(name: str, value: str, *allowed: str) -> None:
    if value not in allowed:
        raise ValueError(
            f"`{name}` must be one of {', '.join(allowed)}, found {value!r}."
        )


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(
            f"`{name}` must lie in [{low}, {high}], found {value}."
        )


@dataclasses.dataclass(frozen=True)
class SequentialConfig:
    """The sequential tower (paper section 3.3).

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
        _one_of("encoder", self.encoder, "sasrec")
        _one_of("norm", self.norm, "pre", "post")
        _one_of("activation", self.activation, "relu", "gelu")
        _between("dropout", self.dropout, 0.0, 0.99)
        _between("attention_dropout", self.attention_dropout, 0.0, 0.99)
        if self.max_length < 2:
            raise ValueError("`max_length` must be at least 2.")
        for name in ("num_blocks", "num_heads", "feed_forward_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1.")


@dataclasses.dataclass(frozen=True)
class GraphTowerConfig:
    """The graph tower (paper section 3.4); encoder none trains SASRec alone.

    With `shared_negatives` all pairs of a step are compared with the same
    `num_negatives` items: many negatives for the price of one product.
    """

    encoder: str = "lightgcn"
    num_layers: int = 2
    normalize_layers: bool = False
    num_negatives: int = 1
    shared_negatives: bool = False
    batch_size: int = 2048
    l2: float = 1e-4

    def __post_init__(self) -> None:
        _one_of("encoder", self.encoder, "lightgcn", "none")
        if self.num_layers < 0:
            raise ValueError("`num_layers` must not be negative.")
        if self.num_negatives < 1 or self.batch_size < 1:
            raise ValueError(
                "`num_negatives` and `batch_size` must be at least 1."
            )


@dataclasses.dataclass(frozen=True)
class AlignmentConfig:
    """Alignment of the two user vectors (paper section 3.5, eq. 2 and 3)."""

    kind: str = "barlow_twins"
    off_diagonal_weight: float = 0.05
    divide_by_dim: bool = True
    normalize_rows: bool = False

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, "barlow_twins", "none")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """CREATE: both towers over one item table, and loss eq. 5."""

    embedding_dim: int = 64
    init_stddev: float = 0.02
    sequential: SequentialConfig = dataclasses.field(
        default_factory=SequentialConfig
    )
    graph: GraphTowerConfig = dataclasses.field(
        default_factory=GraphTowerConfig
    )
    alignment: AlignmentConfig = dataclasses.field(
        default_factory=AlignmentConfig
    )
    global_weight: float = 0.1
    alignment_weight: float = 0.2

    def __post_init__(self) -> None:
        if self.embedding_dim < 1:
            raise ValueError("`embedding_dim` must be at least 1.")
        if self.embedding_dim % self.sequential.num_heads:
            raise ValueError(
                f"`embedding_dim` {self.embedding_dim} must be a multiple of "
                f"`sequential.num_heads` {self.sequential.num_heads}."
            )
        if self.global_weight < 0 or self.alignment_weight < 0:
            raise ValueError("loss weights must not be negative.")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Optimisation and schedule (paper section 3.6).

    `max_epochs` counts joint epochs, after the warm-up. `filter_seen` says
    whether validation leaves out items the user has already, and should
    agree with how the model will be used.
    """

    seed: int = 0
    batch_size: int = 128
    learning_rate: float = 0.001
    weight_decay: float = 0.0
    clip_norm: float = 10.0
    warmup_epochs: int = 10
    max_epochs: int = 100
    patience: int = 10
    validate_every: int = 1
    filter_seen: bool = False
    batch_by_length: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_epochs", "patience", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1.")
        if self.warmup_epochs < 0:
            raise ValueError("`warmup_epochs` must not be negative.")
        if self.learning_rate <= 0:
            raise ValueError("`learning_rate` must be positive.")
