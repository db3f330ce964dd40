"""Writes what the contract tests ask for, for any server.

    python -m tests.serving.contract.models DIR [PATH]

DIR gets two versions of the model `create` and TF Serving's configuration
files; PATH is where the server finds the same folder (default DIR).
"""

import os
import pathlib
import shutil
import sys

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

METRICS_PATH = "/monitoring/prometheus/metrics"


def model_config(base_path, stable=1):
    """Both versions, with a label each."""
    return f"""model_config_list {{
  config {{
    name: "create"
    base_path: "{base_path}"
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
    version_labels {{ key: "stable" value: {stable} }}
    version_labels {{ key: "canary" value: 2 }}
  }}
}}
"""


def server_flags(directory):
    """The command line that the tests expect."""
    return [
        f"--model_config_file={directory}/models.config",
        f"--monitoring_config_file={directory}/monitoring.config",
        "--allow_version_labels_for_unavailable_models",
        "--enable_grpc_healthcheck_service",
    ]


def write(directory, seen_as=None, first=None):
    """`first` is a folder that holds version 1 already."""
    from tests.serving.catalogue import make_catalogue

    directory = pathlib.Path(directory).absolute()
    seen_as = seen_as or str(directory)
    catalogue = make_catalogue()
    if first is None:
        catalogue.export(directory / "create" / "1")
    else:
        shutil.copytree(first, directory / "create" / "1")
    catalogue.export(
        directory / "create" / "2", item_ids=catalogue.item_ids[::-1]
    )
    (directory / "models.config").write_text(model_config(f"{seen_as}/create"))
    (directory / "monitoring.config").write_text(
        f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}\n'
    )


if __name__ == "__main__":
    write(*sys.argv[1:3])
    print("tensorflow_model_server --port=8500 --rest_api_port=8501 \\")
    print("  " + " \\\n  ".join(server_flags(sys.argv[-1])))
