"""What the doctor looks at: a small function per fact.

Each returns what it found, or raises Failure (with the fix) or Note. Facts
can be handed in instead of looked up, so that tests reach the failures.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from components.package_versions import MAIN_PACKAGES

REPOSITORY = Path(__file__).resolve().parents[1]
SETUP = "Fix: make setup"
REBUILD = "Fix: make clean setup"


class Failure(Exception):
    """Something the pipeline cannot run without; the text has the fix."""


class Note(Exception):
    """Something to know that stops nothing."""


def check_python(version: Sequence[int] = sys.version_info[:3]) -> str:
    """TFX 1.16 has no wheels for newer Pythons; the lock is for 3.10."""
    found = ".".join(map(str, version))
    if tuple(version[:2]) != (3, 10):
        raise Failure(
            f"found {found}, TFX 1.16 needs 3.10. {SETUP}, then "
            ".venv/bin/python"
        )
    return found


def check_lock(
    lock: Path = REPOSITORY / "requirements.lock",
    installed: Callable[[str], str] = metadata.version,
) -> str:
    """Compares the main packages with the lock."""
    pins = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        name, equals, rest = line.partition("==")
        if equals and not line[0].isspace() and rest.split():
            pins[name.split("[")[0].lower()] = rest.split()[0].rstrip(";\\")
    wrong = []
    for package in MAIN_PACKAGES:
        try:
            found = installed(package)
        except metadata.PackageNotFoundError:
            found = "missing"
        if found != pins.get(package):
            wrong.append(f"{package} {found}, locked {pins.get(package)}")
    if wrong:
        raise Failure(f"{'; '.join(wrong)}. {REBUILD}")
    return f"{len(MAIN_PACKAGES)} main packages as in {lock.name}"


def check_tensorflow() -> str:
    """Imports TensorFlow and lets it add."""
    import tensorflow as tf

    total = int(tf.reduce_sum(tf.range(4)))
    if total != 6:
        raise Failure(f"adds 0 to 3 up to {total}. {REBUILD}")
    return tf.__version__


def check_legacy_keras(model_module: str | None = None) -> str:
    """tf.keras must be tf_keras; Keras 3 objects break TF-GNN and TFRS."""
    if model_module is None:
        import tensorflow as tf

        model_module = tf.keras.Model.__module__
    if not model_module.startswith("tf_keras"):
        raise Failure(
            f"tf.keras is {model_module.split('.')[0]}, needed tf_keras. "
            "Fix: export TF_USE_LEGACY_KERAS=1 before TensorFlow is imported"
        )
    return f"tf_keras {metadata.version('tf-keras')}"


def check_tfx() -> str:
    """Imports TFX."""
    import tfx.v1 as tfx

    return tfx.__version__


def check_beam() -> str:
    """Runs a pipeline of two elements."""
    import apache_beam as beam
    from apache_beam.testing import util

    with beam.Pipeline(runner="DirectRunner") as pipeline:
        squares = pipeline | beam.Create([1, 2]) | beam.Map(_square)
        util.assert_that(squares, util.equal_to([1, 4]))
    return f"{beam.__version__}, DirectRunner"


def _square(number: int) -> int:
    return number * number


def check_tf_gnn() -> str:
    """Imports TF-GNN, which refuses Keras 3."""
    import tensorflow_gnn as tfgnn

    return tfgnn.__version__


def check_recommenders() -> str:
    """Imports TensorFlow Recommenders."""
    import tensorflow_recommenders as tfrs

    return tfrs.__version__


def check_steps(modules: Sequence[str] | None = None) -> str:
    """Imports the code of every step, with all libraries that it needs."""
    if modules is None:
        modules = [
            f"components.{path.parent.name}.executor"
            for path in sorted(REPOSITORY.glob("components/*/executor.py"))
        ]
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            # What the dynamic loader says begins with the name of the file.
            library = str(error).partition(":")[0]
            fix = REBUILD
            if ".so" in library:
                fix = (
                    f"Fix: install the system's package that has {library} "
                    "(libgomp.so.1 is in Debian's libgomp1)"
                )
            raise Failure(f"{module}: {error}. {fix}") from error
    return f"{len(modules)} load"


def check_disk(
    free_bytes: int | None = None, folder: str | Path = REPOSITORY
) -> str:
    """A run needs room for its artifacts in `folder`, which may be to come."""
    if free_bytes is None:
        there = Path(folder).absolute()
        while not there.exists():
            there = there.parent
        free_bytes = shutil.disk_usage(there).free
    gib = free_bytes / 2**30
    if gib < 1:
        raise Failure(
            f"{gib:.1f} GiB free in {folder}, needed 1. Fix: delete old runs "
            "there, or set `runs_dir` to a folder on a larger disk"
        )
    if gib < 5:
        raise Note(f"{gib:.1f} GiB free; large logs may need more")
    return f"{gib:.0f} GiB free"


def check_memory(available_bytes: int | None = None) -> str:
    """TFX and TensorFlow alone take about 1 GiB."""
    if available_bytes is None:
        available_bytes = _available_memory()
    gib = available_bytes / 2**30
    if gib < 2:
        raise Failure(
            f"{gib:.1f} GiB available, needed 2. Fix: end other programs or "
            "give the container more"
        )
    if gib < 4:
        raise Note(f"{gib:.1f} GiB available; large logs need more")
    return f"{gib:.0f} GiB available"


def _available_memory(
    meminfo: Path = Path("/proc/meminfo"),
    cgroup: Path = Path("/sys/fs/cgroup"),
) -> int:
    """Bytes the kernel could give us; in a container at most its limit."""
    fields = dict(
        line.split(":", 1) for line in meminfo.read_text().splitlines()
    )
    available = int(fields["MemAvailable"].split()[0]) * 1024
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        if limit == "max":
            return available
        used = int((cgroup / "memory.current").read_text())
        stat = (cgroup / "memory.stat").read_text().splitlines()
    except OSError:
        return available
    # What files left in the page cache counts as used, but the kernel gives
    # it back before it refuses anything.
    counts = {name: int(value) for name, value in map(str.split, stat)}
    cached = sum(
        counts.get(name, 0)
        for name in ("inactive_file", "active_file", "slab_reclaimable")
    )
    return min(available, int(limit) - max(used - cached, 0))


def check_gpu(names: Sequence[str] | None = None) -> str:
    """Says what training will run on; none is fine."""
    if names is None:
        import tensorflow as tf

        names = [gpu.name for gpu in tf.config.list_physical_devices("GPU")]
    if not names:
        raise Note("none that TensorFlow can use; training takes the CPU")
    return f"{len(names)}: {', '.join(names)}"


def check_scann(
    installed: Callable[[str], str] = metadata.version,
    load: Callable[[str], None] | None = None,
) -> str:
    """ScaNN is optional, but one for another TensorFlow does not load."""
    try:
        found = installed("scann")
    except metadata.PackageNotFoundError:
        raise Note("not installed; only serving.index scann needs it") from None
    from serving import custom_ops

    try:
        (load or custom_ops.load_scann)("it is installed")
    except custom_ops.MissingOpsError as error:
        raise Failure(f"{found}: {' '.join(str(error).split())}") from error
    return found


def check_tfx_command(folder: Path | None = None) -> str:
    """The tfx CLI, and the pip it calls, must lie beside this Python."""
    folder = folder or Path(sysconfig.get_path("scripts"))
    for command in ("tfx", "pip"):
        if not os.access(folder / command, os.X_OK):
            raise Failure(f"no {command} in {folder}. {REBUILD}")
    return str(folder / "tfx")
