"""What every command says when it is asked for help."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
# What people type; kubeflow.run_step is for the containers.
COMMANDS = (
    "kubeflow.compile",
    "kubeflow.submit",
    "pipeline.batch",
    "pipeline.datasets",
    "pipeline.demo_logs",
    "pipeline.doctor",
    "pipeline.paths",
    "pipeline.run",
    "pipeline.summary",
    "serving.client",
    "serving.server",
    "serving.versions",
)


@pytest.mark.parametrize("module", COMMANDS)
def test_help_comes_without_loading_tensorflow_and_its_noise(module):
    """Else a dozen lines that look like errors come before the first own."""
    # as a person's shell: no setting that quiets TensorFlow
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TF_")
    }
    program = (
        "import runpy, sys\n"
        "sys.argv[1:] = ['--help']\n"
        "try:\n"
        f"    runpy.run_module({module!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    code = end.code\n"
        "assert not code, code\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert done.stdout.startswith("usage:")
