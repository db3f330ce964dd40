"""Where the files of the public datasets are, and what reads them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from components.history_example_gen.config import LogsConfig
from models.settings import from_mapping
from pipeline.config import REPOSITORY
from pipeline.dataset_catalogue import (
    Catalogue,
    Dataset,
    DatasetError,
    DatasetFile,
)
from pipeline.yaml_tree import read_tree

CONFIGS = REPOSITORY / "pipeline" / "configs"
ROOT_VARIABLE = "CREATE_DATA_ROOT"

# Keys of `logs` that do not say how a file is read.
_NOT_LAYOUT = ("path", "keep", "max_bad_row_share", "num_buckets")


@dataclasses.dataclass(frozen=True)
class FoundFile:
    """A file of a dataset that exists.

    Attributes:
        path: the file.
        file: its entry in the catalogue.
        logs: how it is read, with `path` and `pattern`.
    """

    path: Path
    file: DatasetFile
    logs: LogsConfig


def data_root(root: str | None = None) -> Path:
    """The folder of all datasets: `root`, or $CREATE_DATA_ROOT.

    Raises:
        DatasetError: neither is given, or it is no folder.
    """
    text = root or os.environ.get(ROOT_VARIABLE)
    if not text:
        raise DatasetError(
            f"{ROOT_VARIABLE} is not set. Fix: export "
            f"{ROOT_VARIABLE}=/path/to/data (the folder that holds ml-1m/, "
            "amazon-beauty/, ...), or --root /path/to/data"
        )
    path = Path(text).expanduser()
    if not path.is_dir():
        name = "--root" if root else ROOT_VARIABLE
        raise DatasetError(f"{name} {text} is no folder. Fix: mkdir -p {text}")
    return path


def find_file(
    catalogue: Catalogue, dataset: Dataset, root: Path, layout: str | None
) -> FoundFile | None:
    """The first file of a dataset that exists under `root`, or None.

    Args:
        catalogue: for the layouts.
        dataset: which one.
        root: folder of all datasets.
        layout: only files in this layout; None takes any.
    """
    folder = root / dataset.folder
    for file in dataset.files:
        for name in file.names:
            if layout in (None, file.layout) and (folder / name).is_file():
                logs = dataclasses.replace(
                    catalogue.layouts[file.layout],
                    path=str(folder.absolute()),
                    pattern=name,
                )
                return FoundFile(folder / name, file, logs)
    return None


def configurations() -> dict[str, list[Path]]:
    """The shipped configurations by their `dataset`, sorted by file name."""
    found: dict[str, list[Path]] = {}
    for path in sorted(CONFIGS.glob("*.yaml")):
        name = read_tree(path)[0].get("dataset")
        if name:
            found.setdefault(name, []).append(path)
    return found


def overrides(logs: LogsConfig, config: Path) -> list[str]:
    """What `SET=` must hold for a configuration to read a file.

    Args:
        logs: how the file is read.
        config: a configuration.

    Returns:
        key=value pairs, none where the configuration reads it as it is.
    """
    wanted = _flat(dataclasses.asdict(logs), "logs")
    shipped = from_mapping(LogsConfig, read_tree(config)[0]["logs"], "logs")
    present = _flat(dataclasses.asdict(shipped), "logs")
    return [
        f"{key}={_as_yaml(value)}"
        for key, value in wanted.items()
        if value != present[key]
    ]


def _flat(tree: Mapping[str, object], prefix: str) -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in tree.items():
        if prefix == "logs" and key in _NOT_LAYOUT:
            continue
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}.{key}"))
        else:
            flat[f"{prefix}.{key}"] = value
    return flat


def _as_yaml(value: object) -> str:
    """`value` as --set reads it; quoted only where it must be."""
    if not isinstance(value, str):
        return json.dumps(value)
    plain = re.fullmatch(r"[A-Za-z][\w./-]*", value)
    # YAML takes some words, such as `no`, as something else than text.
    if plain and yaml.safe_load(value) == value:
        return value
    return json.dumps(value)
