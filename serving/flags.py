"""Command line of the local server, in tensorflow_model_server's words."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

# Tuning of the real server that changes no answer; taken and left alone.
_IGNORED = (
    "allow_version_labels_for_unavailable_models",
    "batching_parameters_file",
    "enable_batching",
    "enable_profiler",
    "enable_signature_method_name_check",
    "flush_filesystem_caches",
    "grpc_channel_arguments",
    "grpc_max_threads",
    "load_retry_interval_micros",
    "max_num_load_retries",
    "monitoring_config_file",
    "num_load_threads",
    "num_request_iterations_for_warmup",
    "num_unload_threads",
    "per_process_gpu_memory_fraction",
    "remove_unused_fields_from_bundle_metagraph",
    "rest_api_num_threads",
    "rest_api_timeout_in_ms",
    "tensorflow_inter_op_parallelism",
    "tensorflow_intra_op_parallelism",
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
    add = parser.add_argument
    add("--model_name", default="create", help="name that clients ask for")
    add(
        "--model_base_path",
        required=True,
        help="folder of numbered version folders, each a SavedModel",
    )
    add("--port", type=_port, default=8500, help="gRPC port, 0 is off")
    add("--rest_api_port", type=_port, default=0, help="REST port, 0 is off")
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on; unlike TF Serving's, the default is this "
        "machine only (0.0.0.0 is all interfaces)",
    )
    add(
        "--file_system_poll_wait_seconds",
        type=float,
        default=1.0,
        help="seconds between looks for new versions, 0 looks once",
    )
    _add_switch(parser, "enable_model_warmup", True, "replay warm-up requests")
    _add_switch(
        parser,
        "enable_grpc_healthcheck_service",
        False,
        "serve grpc.health.v1.Health",
    )
    add(
        "--shutdown_grace_seconds",
        type=float,
        default=10.0,
        help="how long a stop waits for requests in flight",
    )
    for name in _IGNORED:
        add(f"--{name}", nargs="?", const="true", help=argparse.SUPPRESS)
    flags, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(
            f"unknown, or not supported by the local server: {unknown[0]} "
            "(TF Serving may have it)"
        )
    if not flags.port and not flags.rest_api_port:
        parser.error("--port and --rest_api_port are both 0: nothing to serve")
    ignored = [n for n in _IGNORED if getattr(flags, n) is not None]
    if ignored:
        print(f"Ignored here: --{', --'.join(ignored)}", file=sys.stderr)
    return flags


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
