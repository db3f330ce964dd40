"""Checks the environment; every failure is one line with its fix.

python -m pipeline.doctor
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Sequence

from pipeline import console
from pipeline import doctor_checks as checks

Check = tuple[str, Callable[[], str]]

# What a run looks at before it starts. Cheap ones first; each library is
# imported only once, in this process.
RUN_CHECKS: tuple[Check, ...] = (
    ("Python", checks.check_python),
    ("locked versions", checks.check_lock),
    ("disk", checks.check_disk),
    ("memory", checks.check_memory),
    ("tfx command", checks.check_tfx_command),
    ("TensorFlow", checks.check_tensorflow),
    ("legacy Keras", checks.check_legacy_keras),
    ("GPU", checks.check_gpu),
    ("Beam", checks.check_beam),
    ("TFX", checks.check_tfx),
    ("TF-GNN", checks.check_tf_gnn),
    ("TFRS", checks.check_recommenders),
    ("ScaNN", checks.check_scann),
)
# A run finds out about its steps by itself, in another process.
# A run may fail of these later; that there is no GPU is no news.
_ALWAYS_NOTED = ("disk", "memory")
CHECKS = (*RUN_CHECKS, ("steps", checks.check_steps))


@dataclasses.dataclass(frozen=True)
class Result:
    """Outcome of one check; status is ok, FAIL or note."""

    status: str
    name: str
    detail: str

    def __str__(self) -> str:
        return f"{self.status:<4}  {self.name:<16}{self.detail}"


def run_check(name: str, function: Callable[[], str]) -> Result:
    """Runs one check; an error nobody foresaw is a failure too."""
    try:
        return Result("ok", name, function())
    except checks.Note as note:
        return Result("note", name, str(note))
    except checks.Failure as failure:
        return Result("FAIL", name, str(failure))
    except Exception as error:
        words = console.last_words(error).splitlines()
        return Result("FAIL", name, f"{words[-1]}. {checks.REBUILD}")


def checks_of_run(runs_dir: str) -> tuple[Check, ...]:
    """What a run with its files in `runs_dir` needs."""
    disk = functools.partial(checks.check_disk, folder=runs_dir)
    return tuple(
        (name, disk if name == "disk" else check) for name, check in RUN_CHECKS
    )


def main(checks_to_run: Sequence[Check] = CHECKS, brief: bool = False) -> int:
    """Prints a line per check.

    Args:
        checks_to_run: names and functions.
        brief: whether only failures, and notes on disk and memory, are
            printed.

    Returns:
        1 where a check failed, else 0.
    """
    console.quiet()
    started = time.monotonic()
    failures = 0
    for name, function in checks_to_run:
        result = run_check(name, function)
        failures += result.status == "FAIL"
        noted = result.status == "note" and name in _ALWAYS_NOTED
        if result.status == "FAIL" or noted or not brief:
            print(result, flush=True)
    seconds = time.monotonic() - started
    if failures:
        print(
            f"{failures} of {len(checks_to_run)} checks failed "
            f"({seconds:.0f} s).",
            file=sys.stderr,
        )
        return 1
    print(
        f"The environment is ready: {len(checks_to_run)} checks, "
        f"{seconds:.0f} s.",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m pipeline.doctor", description=__doc__.splitlines()[0]
    ).parse_args()
    sys.exit(main())
