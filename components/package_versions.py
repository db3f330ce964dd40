"""The packages that decide what a run does and what it measures.

One list for the doctor, the summary and the report. Loads none of them.
"""

from __future__ import annotations

import importlib.metadata
import platform

MAIN_PACKAGES = (
    "tfx",
    "tensorflow",
    "tf-keras",
    "tfx-bsl",
    "tensorflow-transform",
    "tensorflow-data-validation",
    "ml-metadata",
    "tensorflow-gnn",
    "tensorflow-recommenders",
    "tensorflow-serving-api",
    "apache-beam",
    "protobuf",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "implicit",
    "optuna",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that are installed, by name."""
    found = {"python": platform.python_version()}
    for package in MAIN_PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # an image may leave out what its step does not load
    return found
