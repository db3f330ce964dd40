"""Command line of the local server, in tensorflow_model_server's words."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

# Tuning of the real server that changes no answer; taken and left alone.
_IGNORED = (
    "enable_profiler",
    "enable_signature_method_name_check",
    "flush_filesystem_caches",
    "grpc_max_threads",
    "load_retry_interval_micros",
    "max_num_load_retries",
    "num_load_threads",
    "num_unload_threads",
    "per_process_gpu_memory_fraction",
    "remove_unused_fields_from_bundle_metagraph",
    "rest_api_num_threads",
    "rest_api_timeout_in_ms",
    "tensorflow_session_config_file",
    "tensorflow_session_parallelism",
    "xla_cpu_compilation_enabled",
)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; exits with a message where it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m serving.server",
        description="Local stand-in for tensorflow_model_server.",
        allow_abbrev=False,
    )
    _add_models(parser)
    _add_ports(parser)
    _add_batching(parser)
    for name in _IGNORED:
        parser.add_argument(
            f"--{name}", nargs="?", const="true", help=argparse.SUPPRESS
        )
    flags, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(
            f"unknown, or not supported by the local server: {unknown[0]} "
            "(TF Serving may have it)"
        )
    if not flags.port and not flags.rest_api_port:
        parser.error("--port and --rest_api_port are both 0: nothing to serve")
    if bool(flags.model_base_path) == bool(flags.model_config_file):
        parser.error(
            "give either --model_base_path (one model) or --model_config_file"
        )
    if flags.batching_parameters_file and not flags.enable_batching:
        parser.error(
            "--batching_parameters_file is set without --enable_batching, "
            "which it is for: give both, or neither"
        )
    ignored = [n for n in _IGNORED if getattr(flags, n) is not None]
    if ignored:
        print(f"Ignored here: --{', --'.join(ignored)}", file=sys.stderr)
    return flags


def _add_models(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model_name", default="create", help="name that clients ask for")
    add(
        "--model_base_path",
        default="",
        help="folder of numbered version folders, each a SavedModel",
    )
    add(
        "--model_config_file",
        default="",
        help="models, version policies and labels (ModelServerConfig in "
        "protobuf text) instead of --model_base_path",
    )
    add(
        "--model_config_file_poll_wait_seconds",
        type=float,
        default=0.0,
        help="seconds between looks at that file, 0 reads it once",
    )
    add(
        "--file_system_poll_wait_seconds",
        type=float,
        default=1.0,
        help="seconds between looks for new versions, 0 looks once",
    )
    _add_switch(
        parser,
        "allow_version_labels_for_unavailable_models",
        False,
        "let labels name versions that are not loaded yet",
    )
    _add_switch(parser, "enable_model_warmup", True, "replay warm-up requests")
    add(
        "--num_request_iterations_for_warmup",
        type=_count,
        default=1,
        help="times each warm-up request is replayed",
    )


def _add_ports(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--port", type=_port, default=8500, help="gRPC port, 0 is off")
    add("--rest_api_port", type=_port, default=0, help="REST port, 0 is off")
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on; unlike TF Serving's, the default is this "
        "machine only (0.0.0.0 is all interfaces)",
    )
    add(
        "--grpc_channel_arguments",
        type=_channel_arguments,
        default=[],
        help="gRPC's own settings, name=value with commas between them",
    )
    _add_switch(
        parser,
        "enable_grpc_healthcheck_service",
        False,
        "serve grpc.health.v1.Health",
    )
    add(
        "--monitoring_config_file",
        default="",
        help="where Prometheus finds metrics (MonitoringConfig)",
    )
    add(
        "--shutdown_grace_seconds",
        type=float,
        default=10.0,
        help="how long a stop waits for requests in flight",
    )


def _add_batching(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _add_switch(parser, "enable_batching", False, "join concurrent requests")
    add(
        "--batching_parameters_file",
        default="",
        help="sizes and waits (BatchingParameters in protobuf text)",
    )
    for kind in ("intra", "inter"):
        add(
            f"--tensorflow_{kind}_op_parallelism",
            type=_count,
            default=0,
            help="threads of TensorFlow, 0 lets it choose",
        )


def _add_switch(
    parser: argparse.ArgumentParser, name: str, default: bool, help_text: str
) -> None:
    """Adds --name, --name=true and --name=false."""
    parser.add_argument(
        f"--{name}",
        nargs="?",
        const=True,
        default=default,
        type=_boolean,
        help=f"{help_text} (default: {str(default).lower()})",
    )


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    try:
        return values[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(
            f"must be true or false, found {text!r}"
        ) from None


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(
            f"must be a port from 0 to 65535, found {text!r}"
        )
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(
            f"must be a whole number, found {text!r}"
        )
    return int(text)


def _channel_arguments(text: str) -> list[tuple[str, int | str]]:
    pairs: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        name, separator, value = part.partition("=")
        if not separator:
            raise argparse.ArgumentTypeError(
                f"must be name=value with commas between, found {part!r}"
            )
        number = re.fullmatch(r"-?\d+", value)
        pairs.append((name, int(value) if number else value))
    return pairs
