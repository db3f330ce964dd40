"""What XLA's start leaves on stderr, and what it must not take with it."""

import os
import subprocess
import sys

import pytest

from models import xla_start

# A process of its own: XLA starts once in each.
CODE = """
import tensorflow as tf
from models import xla_start
{first}
double = tf.function(lambda x: tf.exp(x) * 2, jit_compile=True)
print(float(double(tf.constant(0.0))))
"""


def written_to_stderr(first: str) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE.format(first=first)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "2.0\n"
    return result.stderr


def test_xla_starts_in_silence():
    assert "Compiled cluster using XLA" in written_to_stderr("")
    assert written_to_stderr("xla_start.start_xla()") == ""


def test_what_others_write_meanwhile_is_handed_on(monkeypatch, capfd):
    def others(value):
        os.write(2, b"disk full\nI am no log\n")
        raise ValueError("no XLA")

    monkeypatch.setattr(xla_start, "_compiled", others)
    with pytest.raises(ValueError, match="no XLA"):
        xla_start.start_xla()
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == "disk full\nI am no log\nafter\n"
