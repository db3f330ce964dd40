"""Versions of a model on disk: list, prune, roll back, label.

    python -m serving.versions list DIR
    python -m serving.versions prune DIR --keep 3 --target HOST:8500
    python -m serving.versions rollback DIR
    python -m serving.versions label FILE --label stable --version N

DIR is a --model_base_path, FILE a --model_config_file.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Sequence

import grpc

from serving.config_error import ConfigError


class VersionsError(Exception):
    """Nothing was changed; the message says why and what to do."""


def _list(flags: argparse.Namespace) -> list[str]:
    from serving import version_files

    return [
        f"{version}  {version_files.describe(path)}"
        for version, path in version_files.find(flags.directory)
    ]


def _prune(flags: argparse.Namespace) -> list[str]:
    """Removes old versions; never one that is served or named."""
    from serving import version_files

    if not (flags.target or flags.model_config_file or flags.nothing_serves):
        raise VersionsError(
            "Say which servers read the folder (--target HOST:PORT, "
            "--model_config_file FILE, both as often as needed), or that none "
            "does (--nothing_serves): a version that is served must stay."
        )
    used: set[int] = set()
    for target in flags.target:
        used |= version_files.served_by(target, flags.model_name)
    for file in flags.model_config_file:
        used |= version_files.named_in(file, flags.model_name)
    removed = version_files.prune(
        flags.directory, flags.keep, used, flags.dry_run
    )
    word = "would remove" if flags.dry_run else "removed"
    return [f"{word} {version}" for version in removed] or ["nothing to remove"]


def _rollback(flags: argparse.Namespace) -> list[str]:
    """Pushes an older version again, as the newest."""
    from serving import version_files

    found = [version for version, _ in version_files.find(flags.directory)]
    wanted = flags.to
    if wanted is None:
        if len(found) < 2:
            raise VersionsError(
                f"{flags.directory} holds {len(found)} version(s): there is "
                "none to go back to."
            )
        wanted = found[-2]
    if wanted not in found:
        raise VersionsError(
            f"There is no version {wanted} in {flags.directory}, found "
            f"{found or 'none'}."
        )
    new = max(int(time.time()), found[-1] + 1)
    version_files.copy(flags.directory, wanted, new)
    return [f"version {wanted} is served again as {new}"]


def _label(flags: argparse.Namespace) -> list[str]:
    """Points a label at another version in the configuration."""
    from serving import version_files

    before = version_files.set_label(
        flags.file, flags.model_name, flags.label, flags.version
    )
    was = f" (was {before})" if before is not None else ""
    return [f"{flags.label} is version {flags.version}{was}"]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m serving.versions",
        description="Versions of a model on disk.",
    )
    commands = parser.add_subparsers(required=True)
    for function, text in (
        (_list, "what is there"),
        (_prune, "removes old versions, never one that is served"),
        (_rollback, "pushes an older version again"),
        (_label, "points a label at a version in a --model_config_file"),
    ):
        name = function.__name__.strip("_")
        command = commands.add_parser(name, help=text)
        command.set_defaults(function=function)
        command.add_argument("--model_name", default="create")
        if function is not _label:
            command.add_argument("directory", help="the --model_base_path")
        if function is _prune:
            _add_prune(command)
        if function is _rollback:
            command.add_argument(
                "--to", type=int, help="version, the one before the newest"
            )
        if function is _label:
            command.add_argument("file", help="the --model_config_file")
            command.add_argument("--label", required=True)
            command.add_argument("--version", type=int, required=True)
    return parser.parse_args(arguments)


def _add_prune(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--keep", type=_positive, required=True, help="newest that stay")
    add(
        "--target",
        action="append",
        default=[],
        help="host:port of a server whose versions stay; may be repeated",
    )
    add(
        "--model_config_file",
        action="append",
        default=[],
        help="a server's file, whose versions and labels stay",
    )
    add("--nothing_serves", action="store_true", help="no server reads it")
    add("--dry_run", action="store_true", help="only say what would go")


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, found {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line says; returns the exit code."""
    flags = _parse(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore", FutureWarning)
    try:
        for line in flags.function(flags):
            print(line)
    except (VersionsError, ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except grpc.RpcError as error:
        print(
            f"error: a --target does not answer ({error.details()}); nothing "
            "was removed, as it may serve any version.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
