"""Settings of the optimisation and its schedule."""

from __future__ import annotations

import dataclasses

from models.config.checks import at_least, between, one_of, positive

_RATES = ("item_learning_rate", "graph_learning_rate", "warmup_learning_rate")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Optimisation and schedule (paper section 3.6).

    The graph's warm-up ends in one of three ways: after `warmup_epochs`;
    after `warmup_steps` steps, also in the middle of a pass over the edges
    (then `warmup_epochs` is 0); or after `warmup_patience` epochs without a
    better validation of the graph itself, and after `warmup_epochs` at the
    latest. `max_epochs` counts joint epochs, after the warm-up.

    `learning_rate` is the sequential tower's, and that of the item table
    (`item_learning_rate`) and the graph's user table (`graph_learning_rate`)
    where theirs is None. `warmup_learning_rate` takes the place of both in
    the warm-up. `learning_rate_warmup_steps` let the rates rise from 0 at
    the start of each phase, `learning_rate_decay` lets them fall to 0 over
    `max_epochs` joint epochs, in the refit as in selection.

    `restart_tables` lets joint training begin with the tables of the start:
    what the warm-up learned then lives in the kept graph alone
    (`model.warm_graph_weight`).

    `filter_seen` says whether validation leaves out items the user has
    already, and should agree with how the model will be used.

    `distribution` says which devices share each step (`models.replicas`);
    `batch_size` counts the sequences of all of them. `precision` is that of
    the factors of matrix products, `xla` compiles the dense part of a step
    (`models.compute`).
    """

    seed: int = 0
    batch_size: int = 128
    learning_rate: float = 0.001
    item_learning_rate: float | None = None
    graph_learning_rate: float | None = None
    warmup_learning_rate: float | None = None
    learning_rate_warmup_steps: int = 0
    learning_rate_decay: str = "none"
    weight_decay: float = 0.0
    clip_norm: float = 10.0
    warmup_epochs: int = 10
    warmup_steps: int | None = None
    warmup_patience: int | None = None
    restart_table_moments: bool = False
    restart_tables: bool = False
    max_epochs: int = 100
    patience: int = 10
    validate_every: int = 1
    filter_seen: bool = False
    batch_by_length: bool = False
    distribution: str = "auto"
    precision: str = "float32"
    xla: bool = False

    def __post_init__(self) -> None:
        # the steps' seeds are TensorFlow's int32 (models.random_streams)
        between("seed", self.seed, -(2**31), 2**31 - 1)
        for name in ("batch_size", "max_epochs", "patience", "validate_every"):
            at_least(name, getattr(self, name), 1)
        at_least("warmup_epochs", self.warmup_epochs, 0)
        at_least(
            "learning_rate_warmup_steps", self.learning_rate_warmup_steps, 0
        )
        one_of(
            "learning_rate_decay",
            self.learning_rate_decay,
            "none",
            "cosine",
            "linear",
        )
        one_of(
            "distribution",
            self.distribution,
            "auto",
            "none",
            "mirrored",
            "multi_worker",
        )
        one_of("precision", self.precision, "float32", "bfloat16")
        positive("learning_rate", self.learning_rate)
        for name in _RATES:
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))
        positive("clip_norm", self.clip_norm)
        at_least("weight_decay", self.weight_decay, 0.0)
        self._check_warmup()
        self._check_patience()

    @property
    def has_warmup(self) -> bool:
        """Whether the settings ask for a warm-up of the graph."""
        return self.warmup_epochs > 0 or self.warmup_steps is not None

    def _check_warmup(self) -> None:
        for name in ("warmup_steps", "warmup_patience"):
            if getattr(self, name) is not None:
                at_least(name, getattr(self, name), 1)
        if self.warmup_steps is not None and self.warmup_patience is not None:
            raise ValueError(
                f"`warmup_steps` {self.warmup_steps} and `warmup_patience` "
                f"{self.warmup_patience} both say when the warm-up ends; set "
                "one of them to null."
            )
        if self.warmup_steps is not None and self.warmup_epochs:
            raise ValueError(
                f"`warmup_steps` {self.warmup_steps} and `warmup_epochs` "
                f"{self.warmup_epochs} both say when the warm-up ends; set "
                "`warmup_epochs` to 0 or `warmup_steps` to null."
            )
        if self.warmup_patience is None:
            return
        if not self.warmup_epochs:
            raise ValueError(
                f"`warmup_patience` {self.warmup_patience} needs "
                "`warmup_epochs` as the most epochs of the warm-up, found 0."
            )
        if self.warmup_patience >= self.warmup_epochs:
            raise ValueError(
                f"`warmup_patience` {self.warmup_patience} can never end a "
                f"warm-up of at most {self.warmup_epochs} epochs; raise "
                "`warmup_epochs`, or set `warmup_patience` to null."
            )

    def _check_patience(self) -> None:
        """Patience counts epochs: it must not run out between validations."""
        for name in ("patience", "warmup_patience"):
            epochs = getattr(self, name)
            if epochs is not None and self.validate_every > epochs:
                raise ValueError(
                    f"`validate_every` {self.validate_every} is more than "
                    f"`{name}` {epochs}: training would stop before the "
                    "second validation, and keep the first one's epoch. "
                    f"Raise `{name}`, or validate more often."
                )
