"""The catalogue of public datasets: pipeline/datasets.yaml as dataclasses.

Nothing here imports TensorFlow, TFX or Beam.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping

from components.history_example_gen.config import LogsConfig
from models.settings import SettingsError, from_mapping
from pipeline.config import REPOSITORY
from pipeline.yaml_tree import place_of, read_tree

CATALOGUE = REPOSITORY / "pipeline" / "datasets.yaml"
_DIGEST = r"(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})"


class DatasetError(ValueError):
    """A dataset that cannot be named, found, read or fetched; has the fix."""


@dataclasses.dataclass(frozen=True)
class Counts:
    """Distinct users, distinct items, and rows that are events."""

    users: int
    items: int
    events: int


@dataclasses.dataclass(frozen=True)
class KnownDifference:
    """Counts of a copy that is known to differ, and why it does."""

    counts: Counts
    why: str


@dataclasses.dataclass(frozen=True)
class DatasetFile:
    """A dataset in one layout.

    Attributes:
        layout: a key of `Catalogue.layouts`.
        names: file names, the preferred one first.
        differs: a copy in this layout that is known to differ.
    """

    layout: str
    names: tuple[str, ...]
    differs: KnownDifference | None = None


@dataclasses.dataclass(frozen=True)
class Download:
    """Where the publisher's file is.

    Attributes:
        url: of the file or archive.
        save_as: name in the dataset's folder.
        member: what to take out of a zip archive; None keeps the file.
        digest: of what `url` gives, as md5:... or sha256:...; None where the
            publisher gives none.
    """

    url: str
    save_as: str
    member: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        if not self.url.startswith(("https://", "http://127.0.0.1:")):
            raise ValueError(f"`url` must be https, found {self.url!r}.")
        if self.digest and not re.fullmatch(_DIGEST, self.digest):
            raise ValueError(
                "`digest` must be md5: or sha256: and hexadecimal digits, "
                f"found {self.digest!r}."
            )


@dataclasses.dataclass(frozen=True)
class Publisher:
    """Who publishes, on which terms.

    `accept` says whether a download needs an explicit yes.
    """

    name: str
    summary: str
    terms: str
    citation: str
    accept: bool


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One dataset; `in_table_1`: its counts are those of the paper."""

    title: str
    publisher: str
    page: str
    folder: str
    counts: Counts
    source: str
    in_table_1: bool
    files: tuple[DatasetFile, ...]
    download: Download
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """All datasets, by name."""

    publishers: dict[str, Publisher]
    layouts: dict[str, LogsConfig]
    datasets: dict[str, Dataset]

    def __post_init__(self) -> None:
        for name, dataset in self.datasets.items():
            where = f"datasets.{name}"
            _one_of(f"{where}.publisher", dataset.publisher, self.publishers)
            for index, file in enumerate(dataset.files):
                key = f"{where}.files[{index}].layout"
                _one_of(key, file.layout, self.layouts)

    def dataset(self, name: str) -> Dataset:
        """The dataset called `name`.

        Raises:
            DatasetError: there is none; the message suggests the nearest.
        """
        if name not in self.datasets:
            near = difflib.get_close_matches(name, self.datasets, 1, 0.4)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise DatasetError(
                f"There is no dataset {name!r}.{hint} Known: "
                f"{', '.join(self.datasets)}."
            )
        return self.datasets[name]

    def publisher(self, dataset: Dataset) -> Publisher:
        return self.publishers[dataset.publisher]


def load_catalogue(path: str | os.PathLike[str] = CATALOGUE) -> Catalogue:
    """Reads a catalogue; a SettingsError names the file, line and key."""
    tree, places = read_tree(path)
    try:
        return from_mapping(Catalogue, tree)
    except SettingsError as error:
        message = str(error).removeprefix("`Catalogue`: ")
        place = place_of(message, places, str(path))
        raise SettingsError(f"{place}: {message}") from error


def _one_of(key: str, name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        raise ValueError(
            f"`{key}` must be one of {', '.join(known)}, found {name!r}."
        )
