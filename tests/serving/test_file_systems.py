"""s3://, which TensorFlow has with a plug-in only."""

import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from serving import file_systems, version_folders

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
    "path", ["models", "/models", "gs://bucket/models", "ram://models"]
)
def test_what_tensorflow_has(path):
    assert file_systems.why_unknown(path) is None


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("s3://bucket/models", "pip install tensorflow-io==0.37.1, or copy"),
        ("hdfs://host/models", "Fix: copy the folder"),
    ],
)
def test_what_is_missing_is_named(monkeypatch, path, fix):
    monkeypatch.setattr(file_systems, "_PLUG_IN", "no_such_package")
    why = file_systems.why_unknown(path)
    assert fix in why
    # What a server says that finds no version there.
    assert version_folders.why_none(path) == why


def test_the_fix_is_the_version_that_images_install():
    pinned = (ROOT / "kubeflow" / "requirements-s3.in").read_text()
    assert "tensorflow-io==0.37.1" in pinned
    why = file_systems._FIXES["s3"]
    assert "tensorflow-io==0.37.1" in why


def test_the_plug_in_is_loaded_where_it_is_installed(tmp_path, monkeypatch):
    """The real one registers s3:// as it is imported."""
    (tmp_path / "a_plug_in.py").write_text(
        "import tensorflow as tf\n"
        "known = tf.io.gfile.get_registered_schemes()\n"
        "tf.io.gfile.get_registered_schemes = lambda: [*known, 's3']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(file_systems, "_PLUG_IN", "a_plug_in")
    schemes = tf.io.gfile.get_registered_schemes
    monkeypatch.setattr(tf.io.gfile, "get_registered_schemes", schemes)
    assert file_systems.why_unknown("s3://bucket/models") is None
    assert "a_plug_in" in sys.modules
    monkeypatch.delitem(sys.modules, "a_plug_in")


@pytest.mark.parametrize("code", [0, 3])
def test_a_process_ends_with_its_code_though_the_plug_in_aborts(code):
    script = (
        "import atexit, os, sys\n"
        "from serving import file_systems\n"
        "atexit.register(os.abort)\n"
        "sys.modules['tensorflow_io'] = sys\n"
        "print('done')\n"
        f"file_systems.leave({code})\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (code, "done\n")
