"""A peer's script, running in the peer's own environment."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.peers.interactions import Interactions
from benchmarks.peers.settings import Epoch, Settings

ENVIRONMENT = """\
If packages are missing there, make the environment of the peers anew:
    python3.11 -m venv PEERS
    PEERS/bin/pip install -r benchmarks/peers/requirements.txt
    PEERS/bin/pip install --no-deps recbole==1.2.1
and give --peer-python PEERS/bin/python."""
_SHOWN_LINES = 30


class PeerError(RuntimeError):
    """A peer did not start, failed, or works on other data than we do."""


class PeerEpochs:
    """Trains one epoch at a time in another process.

    Use as a context manager. What the peer prints goes to a file, of which an
    error shows the end.

    Args:
        python: of the peer's environment.
        script: to run in it, see `turns`.
        interactions: events to train on.
        settings: sizes.
        epochs: how often `run` will be called.

    Raises:
        PeerError: it did not start, or counts other data than we do.
    """

    def __init__(
        self,
        python: str,
        script: Path,
        interactions: Interactions,
        settings: Settings,
        epochs: int,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="peer-")
        folder = Path(self._folder.name)
        self._script, self._log = script, folder / "log.txt"
        interactions.save(folder / "interactions.npz")
        self._command = [
            # absolute, but not resolved: a virtual environment's is a link
            os.path.abspath(python) if os.sep in python else python,
            str(script.resolve()),
            str(folder / "interactions.npz"),
            json.dumps(dataclasses.asdict(settings)),
            str(epochs),
        ]
        try:
            self._process = _start(self._command, self._log, settings.threads)
            self.about = self._answer()
            self._check_sizes(interactions.sizes())
        except BaseException:
            self.close()
            raise

    def run(self) -> Epoch:
        """Trains the next epoch.

        Raises:
            PeerError: the peer ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("epoch\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None
        return Epoch(**self._answer())

    def close(self) -> None:
        """Ends the peer if it still runs, and removes its files."""
        process = getattr(self, "_process", None)
        if process is not None:
            process.kill()
            process.communicate()
        self._folder.cleanup()

    def __enter__(self) -> PeerEpochs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        return json.loads(line)

    def _failure(self) -> PeerError:
        code = self._process.wait()
        lines = self._log.read_text(errors="replace").splitlines()
        end = "\n".join(lines[-_SHOWN_LINES:])
        return PeerError(
            f"{self._script.name} ended with code {code} in "
            f"{self._command[0]}:\n{end}\n\n{ENVIRONMENT}"
        )

    def _check_sizes(self, ours: dict[str, int]) -> None:
        found = self.about["sizes"]
        expected = {name: ours[name] for name in found}
        if found != expected:
            raise PeerError(
                f"{self._script.name} trains on other data: expected "
                f"{expected}, found {found}."
            )


def _start(
    command: list[str], log: Path, threads: int
) -> subprocess.Popen[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        # our own packages must not shine into the peer's environment
        if not name.startswith(("PYTHON", "TF_", "VIRTUAL_ENV"))
    }
    environment["CUDA_VISIBLE_DEVICES"] = ""
    environment["OMP_NUM_THREADS"] = str(threads)
    try:
        with log.open("w") as errors:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=log.parent,
                env=environment,
            )
    except OSError as error:
        raise PeerError(
            f"Cannot start {command[0]}: {error.strerror}.\n\n{ENVIRONMENT}"
        ) from error
