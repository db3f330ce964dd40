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
from collections.abc import Mapping, Sequence

import grpc

from serving import argument_types, file_systems
from serving.client import explain
from serving.config_error import ConfigError


class VersionsError(Exception):
    """Nothing was changed; the message says why and what to do."""


def _list(flags: argparse.Namespace) -> list[str]:
    from serving import version_files

    return version_files.table(flags.directory)


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
        used |= _served_by(target, flags.model_name)
    for file in flags.model_config_file:
        used |= version_files.named_in(file, flags.model_name, flags.directory)
    removed = version_files.prune(
        flags.directory, flags.keep, used, flags.dry_run
    )
    word = "would remove" if flags.dry_run else "removed"
    return [f"{word} {version}" for version in removed] or ["nothing to remove"]


def _served_by(target: str, model_name: str) -> set[int]:
    """Versions in use by a server, which must be one that knows the model."""
    from serving import version_files

    try:
        served = version_files.served_by(target, model_name)
    except grpc.RpcError as error:
        raise VersionsError(
            f"{explain(error, target)} Nothing was removed: it may serve any "
            "version."
        ) from error
    if not served:
        raise VersionsError(
            f"{target} (--target) was asked for the model {model_name!r} and "
            "serves no version under that name, so which versions it uses is "
            "not known and nothing was removed. Fix: give the name that the "
            "server has for it as --model_name; leave out a --target that "
            "does not serve this folder."
        )
    return served


def _rollback(flags: argparse.Namespace) -> list[str]:
    """Pushes an older version again, as the newest."""
    from serving import version_files

    found = dict(version_files.find(flags.directory))
    wanted = flags.to
    if wanted is None:
        wanted = _version_before(flags.directory, found)
    if wanted not in found:
        raise VersionsError(
            f"There is no version {wanted} in {flags.directory}, found "
            f"{list(found) or 'none'}."
        )
    new = max(int(time.time()), max(found) + 1)
    version_files.copy(flags.directory, wanted, new)
    return [f"version {wanted} is served again as {new}"]


def _version_before(directory: str, found: Mapping[int, str]) -> int:
    """What was served before the newest model.

    Not what lies before the newest number: after a rollback that is the
    version that was left.

    Raises:
        VersionsError: there is no such version.
    """
    from serving import version_files

    if not found:
        raise VersionsError(
            f"{directory} holds 0 versions: there is none to go back to."
        )
    newest = max(found)
    original = version_files.copied_from(found[newest])
    older = [v for v in found if v < (original or newest)]
    if not older:
        copy = f", a copy of {original}" if original is not None else ""
        raise VersionsError(
            f"{directory}: the newest version is {newest}{copy}, and of those "
            f"found, {list(found)}, none is older: there is none to go back "
            "to. Fix: name the version as --to."
        )
    return max(older)


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
        if function in (_prune, _label):
            command.add_argument(
                "--model_name",
                default="create",
                help="name that servers and files have for the model "
                "(default: %(default)s)",
            )
        if function is not _label:
            command.add_argument("directory", help="the --model_base_path")
        if function is _prune:
            _add_prune(command)
        if function is _rollback:
            command.add_argument(
                "--to",
                type=argument_types.version,
                help="version; without it the one before the newest model "
                "(of a copy: before the version it is a copy of)",
            )
        if function is _label:
            command.add_argument("file", help="the --model_config_file")
            command.add_argument("--label", required=True)
            command.add_argument(
                "--version", type=argument_types.version, required=True
            )
    return parser.parse_args(arguments)


def _add_prune(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--keep",
        type=argument_types.positive,
        required=True,
        help="newest that stay",
    )
    add(
        "--target",
        type=argument_types.target,
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
    return 0


if __name__ == "__main__":
    file_systems.leave(main())
