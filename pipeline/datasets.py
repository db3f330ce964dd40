"""Lists, describes, checks and fetches the public datasets.

python -m pipeline.datasets                   what there is, and what is here
python -m pipeline.datasets show NAME         terms, counts, where to put it
python -m pipeline.datasets check [NAME ...]  counts it by our own ingest
python -m pipeline.datasets download NAME     fetches it, then checks it

The files lie in $CREATE_DATA_ROOT (or --root), a folder per dataset. Exit
code 1: a count that differs, a missing or unreadable file; 2: a wrong name or
setting.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from models.settings import SettingsError
from pipeline import console, dataset_check, dataset_download
from pipeline.dataset_catalogue import (
    Catalogue,
    Dataset,
    DatasetError,
    load_catalogue,
)
from pipeline.dataset_files import data_root, find_file
from pipeline.dataset_views import (
    format_commands,
    format_dataset,
    format_list,
    format_terms,
)


def main(
    argv: Sequence[str] | None = None, catalogue: Catalogue | None = None
) -> int:
    """Runs one command and returns the exit code.

    Args:
        argv: command line.
        catalogue: another one than pipeline/datasets.yaml.
    """
    arguments = _parser().parse_args(argv)
    console.quiet()
    try:
        catalogue = catalogue or load_catalogue()
        match arguments.command:
            case "show":
                return _show(catalogue, arguments)
            case "check":
                return _check_all(catalogue, arguments)
            case "download":
                return _download(catalogue, arguments)
        print(format_list(catalogue, _root_or_none(arguments)))
        return 0
    except (DatasetError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nInterrupted. The same command goes on where this one stopped.",
            file=sys.stderr,
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.datasets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root = argparse.ArgumentParser(add_help=False)
    root.add_argument(
        "--root",
        default=argparse.SUPPRESS,
        help="folder of the datasets (default: $CREATE_DATA_ROOT)",
    )
    parser.add_argument("--root", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("list", parents=[root], help="the default")
    show = commands.add_parser("show", parents=[root], help="one in full")
    show.add_argument("name", metavar="NAME")
    check = commands.add_parser("check", parents=[root], help="count files")
    check.add_argument(
        "names", metavar="NAME", nargs="*", help="default: all that are found"
    )
    check.add_argument(
        "--layout", help="the file in this layout, where there are several"
    )
    fetch = commands.add_parser("download", parents=[root], help="fetch one")
    fetch.add_argument("name", metavar="NAME")
    fetch.add_argument(
        "--accept-terms",
        action="store_true",
        help="you have read the publisher's terms and keep to them",
    )
    return parser


def _root_or_none(arguments: argparse.Namespace) -> Path | None:
    """The data folder; None where none is named."""
    try:
        return data_root(arguments.root)
    except DatasetError as error:
        logging.getLogger(__name__).debug("no data folder: %s", error)
        return None


def _show(catalogue: Catalogue, arguments: argparse.Namespace) -> int:
    dataset = catalogue.dataset(arguments.name)
    root = _root_or_none(arguments)
    print(format_dataset(catalogue, arguments.name, dataset, root))
    return 0


def _check_all(catalogue: Catalogue, arguments: argparse.Namespace) -> int:
    names = arguments.names or list(catalogue.datasets)
    chosen = {name: catalogue.dataset(name) for name in names}
    layout = arguments.layout
    if layout not in (None, *catalogue.layouts):
        raise DatasetError(
            f"There is no layout {layout!r}. Known: "
            f"{', '.join(catalogue.layouts)}."
        )
    root = data_root(arguments.root)
    results = [
        _check(catalogue, name, dataset, root, layout)
        for name, dataset in chosen.items()
    ]
    if arguments.names:
        return 0 if all(results) else 1
    if all(result is None for result in results):
        print(
            f"No dataset is in {root}. Fix: python -m pipeline.datasets "
            "download NAME, or point CREATE_DATA_ROOT to the folder that "
            f"holds {next(iter(catalogue.datasets.values())).folder}/, ...",
            file=sys.stderr,
        )
        return 1
    return 0 if False not in results else 1


def _check(
    catalogue: Catalogue,
    name: str,
    dataset: Dataset,
    root: Path,
    layout: str | None,
) -> bool | None:
    """Checks one dataset, says what came out; None: there is no file."""
    found = find_file(catalogue, dataset, root, layout)
    if found is None:
        wanted = [
            file_name
            for file in dataset.files
            if layout in (None, file.layout)
            for file_name in file.names
        ]
        names = ", ".join(wanted) or f"none in layout {layout}"
        print(f"{name}: not in {root / dataset.folder} ({names})", flush=True)
        return None
    print(f"{name}: {found.path}", flush=True)
    try:
        outcome = dataset_check.check(dataset, found.logs, found.file.layout)
    except DatasetError as error:
        print(f"  {error}", flush=True)
        return False
    print(outcome, flush=True)
    return outcome.passed


def _download(catalogue: Catalogue, arguments: argparse.Namespace) -> int:
    name = arguments.name
    dataset = catalogue.dataset(name)
    root = data_root(arguments.root)
    print(format_terms(catalogue, dataset), flush=True)
    if catalogue.publisher(dataset).accept and not arguments.accept_terms:
        print(
            "\nNothing was fetched. If you agree to these terms, add "
            "--accept-terms.",
            file=sys.stderr,
        )
        return 1
    folder = root / dataset.folder
    there = (folder / dataset.download.save_as).exists()
    try:
        path = dataset_download.download(dataset.download, folder, dataset.page)
    except (DatasetError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    state = "is there already; remove it to fetch it again" if there else "done"
    print(f"\n{path}: {state}", flush=True)
    found = find_file(catalogue, dataset, root, dataset.files[0].layout)
    passed = _check(catalogue, name, dataset, root, dataset.files[0].layout)
    if found and passed:
        print(f"\nRun it:\n{format_commands(name, found, root)}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
