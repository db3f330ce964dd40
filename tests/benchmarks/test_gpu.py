"""The GPU benchmark where there is no GPU."""

import sys
import time

import pytest

from benchmarks import gpu


def test_without_a_gpu_it_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu"])
    monkeypatch.setattr(gpu.tf.config, "list_physical_devices", lambda kind: [])
    assert gpu.main() == 1
    assert "no GPU here" in capsys.readouterr().err


def test_utilisation_is_the_mean_over_gpus(monkeypatch, tmp_path):
    """A stand-in for nvidia-smi reports two GPUs, 50 % and 70 %."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 50\necho 70\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with gpu.Utilisation(True) as busy:
        time.sleep(0.5)
    assert busy.share == pytest.approx(0.6)
    with gpu.Utilisation(False) as idle:
        pass
    assert idle.share is None
