"""What a study is: one YAML file, read and checked."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.accuracy import METRICS
from models.settings import SettingsError, from_mapping

STUDIES = Path(__file__).parent / "studies"


@dataclasses.dataclass(frozen=True)
class Vary:
    """The setting that a study changes, and the values it takes.

    Attributes:
        setting: dotted name such as `model.alignment_weight`.
        values: of it, in the order of tables and plots.
        label: of the axis.
    """

    setting: str
    values: tuple[Any, ...]
    label: str


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """One study.

    Attributes:
        title: heading of its table.
        datasets: name in tables -> configuration file, or a mapping of
            `config` (that file) and settings by dotted name.
        models: name in tables -> settings by dotted name, on top of the
            configuration; `config` names another configuration file by a
            suffix of the dataset's, as `_sasrec`.
        seeds: of the training.
        metrics: columns of the table, as `ndcg_at_10`.
        vary: the setting that changes, None for none.
        paper: dataset -> model (or value of `vary`, as text) -> metric -> the
            paper's value in percent.
        source: where in the paper these stand.
        reading: what the results say and why, for people; goes to the page.
        mean: whether the page begins with means over the datasets.
        paired_with: the row that the others are compared with, user by user.
    """

    title: str
    datasets: dict[str, Any]
    models: dict[str, dict[str, Any]]
    seeds: tuple[int, ...] = (0, 1, 2)
    metrics: tuple[str, ...] = METRICS
    vary: Vary | None = None
    paper: dict[str, dict[str, dict[str, float]]] = dataclasses.field(
        default_factory=dict
    )
    source: str = ""
    reading: str = ""
    mean: bool = False
    paired_with: str | None = None

    def __post_init__(self) -> None:
        for name, data in self.datasets.items():
            if not isinstance(data, str) and "config" not in data:
                raise ValueError(
                    f"`datasets.{name}` must be a configuration file, or have "
                    f"`config` beside its settings, found {data!r}."
                )
        if self.vary is not None and len(self.models) != 1:
            raise ValueError(
                "`models` must be one where a setting is varied, found "
                f"{len(self.models)}."
            )
        rows = self.vary.values if self.vary else self.models
        if self.paired_with not in (None, *map(str, rows)):
            raise ValueError(
                f"`paired_with` must be a row of the table, one of "
                f"{', '.join(map(str, rows))}, found {self.paired_with!r}."
            )


@dataclasses.dataclass(frozen=True)
class Run:
    """One pipeline run of a study.

    Attributes:
        dataset: name in tables.
        row: the model, or the varied value as text.
        seed: of the training.
        config_file: configuration.
        overrides: `key=value`, on top of it.
    """

    dataset: str
    row: str
    seed: int
    config_file: str
    overrides: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """Where its result is kept, within the study's folder."""
        words = f"{self.dataset} {self.row} {self.seed}".lower()
        kept = "".join(c if c.isalnum() or c == "." else "-" for c in words)
        return f"{kept}.json"


def load_study(name: str, folder: Path = STUDIES) -> StudyConfig:
    """Reads `studies/<name>.yaml`.

    Raises:
        SettingsError: there is no such study, or something in it is wrong.
    """
    path = folder / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise SettingsError(f"No study {name!r}. There are: {known}.")
    try:
        return from_mapping(StudyConfig, yaml.safe_load(path.read_text()))
    except (SettingsError, yaml.YAMLError) as error:
        raise SettingsError(f"{path.name}: {error}") from error


def runs(study: StudyConfig) -> Iterator[Run]:
    """All runs, those of one seed first: a table is whole early."""
    for seed, (dataset, data), (model, settings) in itertools.product(
        study.seeds, study.datasets.items(), study.models.items()
    ):
        data = {"config": data} if isinstance(data, str) else dict(data)
        settings = dict(settings)
        suffix = settings.pop("config", "")
        file = data.pop("config").replace(".yaml", f"{suffix}.yaml")
        settings = {**data, **settings}
        base = [f"{key}={_yaml(value)}" for key, value in settings.items()]
        base.append(f"training.seed={seed}")
        if study.vary is None:
            yield Run(dataset, model, seed, file, tuple(base))
            continue
        for value in study.vary.values:
            varied = f"{study.vary.setting}={_yaml(value)}"
            yield Run(dataset, str(value), seed, file, (*base, varied))


def _yaml(value: Any) -> str:
    """A value as `--set` reads it."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.replace("\n...\n", "").strip()
