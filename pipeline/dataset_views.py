"""The datasets as text: the list, and one of them in full."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

from pipeline.config import REPOSITORY
from pipeline.dataset_catalogue import Catalogue, Counts, Dataset
from pipeline.dataset_files import (
    ROOT_VARIABLE,
    FoundFile,
    configurations,
    find_file,
    overrides,
)

_WIDTH = 80


def format_list(catalogue: Catalogue, root: Path | None) -> str:
    """One line per dataset.

    Args:
        catalogue: all of them.
        root: folder of the files; None where it is not known.
    """
    head = ("name", "users", "items", "events", "terms", "found as", "configs")
    rows = [head]
    configs = configurations()
    for name, dataset in catalogue.datasets.items():
        counts = dataset.counts
        found = root and find_file(catalogue, dataset, root, None)
        rows.append(
            (
                name,
                f"{counts.users:,}",
                f"{counts.items:,}",
                f"{counts.events:,}",
                catalogue.publisher(dataset).summary,
                found.file.layout if found else "-",
                _family([path.stem for path in configs.get(name, [])]),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for row in rows:
        cells = [
            f"{cell:>{width}}" if 1 <= i <= 3 else f"{cell:<{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    where = f"in {root}" if root else f"unknown: {ROOT_VARIABLE} is not set"
    lines += [
        "",
        f"Files: {where}. Configurations: pipeline/configs/*.yaml. Then:",
        "  python -m pipeline.datasets show | check | download NAME",
    ]
    return "\n".join(lines)


def format_dataset(
    catalogue: Catalogue, name: str, dataset: Dataset, root: Path | None
) -> str:
    """Everything about one dataset, and how to run with it."""
    publisher = catalogue.publisher(dataset)
    folder = root / dataset.folder if root else None
    where = str(folder or f"${ROOT_VARIABLE}/{dataset.folder}")
    parts = [
        f"{name}: {dataset.title}",
        "",
        _field("publisher", publisher.name),
        _field("page", dataset.page),
        _field("download", dataset.download.url),
        _field("terms", publisher.terms),
        _field("cite", publisher.citation),
        _field("expected", _counts(dataset.counts)),
        _field("counted by", dataset.source),
        _field("put it in", where),
    ]
    for file in dataset.files:
        parts.append(_field("as", f"{' or '.join(file.names)} ({file.layout})"))
        if file.differs:
            text = f"{_counts(file.differs.counts)}: {file.differs.why}"
            parts.append(_field("may differ", text))
    parts += [_field("note", note) for note in dataset.notes]
    found = find_file(catalogue, dataset, root, None) if root else None
    parts.append(_field("found", str(found.path) if found else "no"))
    if found and root:
        parts += ["", "Run it:", format_commands(name, found, root)]
    return "\n".join(parts)


def format_terms(catalogue: Catalogue, dataset: Dataset) -> str:
    """What a person should know before fetching the files."""
    publisher = catalogue.publisher(dataset)
    return "\n".join(
        [
            dataset.title,
            _field("publisher", publisher.name),
            _field("page", dataset.page),
            _field("terms", publisher.terms),
            _field("cite", publisher.citation),
        ]
    )


def format_commands(name: str, found: FoundFile, root: Path) -> str:
    """`make run` for every configuration of the dataset, a line each.

    Where a configuration is written for another layout, SET= has what it
    takes to read the file found.
    """
    prefix = ""
    if os.environ.get(ROOT_VARIABLE) != str(root):
        prefix = f"{ROOT_VARIABLE}={shlex.quote(str(root))} "
    lines = []
    for path in configurations().get(name, []):
        line = f"  {prefix}make run CONFIG={path.relative_to(REPOSITORY)}"
        changes = overrides(found.logs, path)
        if changes:
            line += f" SET={shlex.quote(' '.join(changes))}"
        lines.append(line)
    return "\n".join(lines)


def _counts(counts: Counts) -> str:
    return (
        f"{counts.users:,} users, {counts.items:,} items, "
        f"{counts.events:,} events"
    )


def _field(label: str, text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=f"  {label:<11}",
        subsequent_indent=" " * 13,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _family(names: Sequence[str]) -> str:
    """What the names have in common: a_x and a_y as a_* (2)."""
    start = os.path.commonprefix(list(names)).rpartition("_")[0]
    return f"{start}_* ({len(names)})" if start else ", ".join(names)
