"""Where the Beam steps run: in this process, or on an engine elsewhere."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Sequence

# The components that are Beam pipelines; a test compares with the pipeline.
BEAM_STEPS = (
    "HistoryExampleGen",
    "StatisticsGen",
    "Transform",
    "GraphBuilder",
    "PeriodStatistics",
    "RankingEvaluator",
)
# Not of the pipeline: that of pipeline/batch.py.
BATCH_SCORING = "BatchScoring"
# Setting -> Beam's name.
RUNNERS = {
    "direct": "DirectRunner",
    "portable": "PortableRunner",
    "flink": "FlinkRunner",
    "spark": "SparkRunner",
    "dataflow": "DataflowRunner",
}
# Without an image TFX packs itself up for the workers, a second and more per
# step, which the direct runner never looks at.
_IMAGE = "--sdk_container_image"
_MODES = ("in_memory", "multi_threading", "multi_processing")
# Beam's options that only some of the runners read.
_ONLY_FOR = {
    "--direct_": ("direct",),
    "--flink_": ("flink",),
    "--spark_": ("spark",),
    "--job_endpoint": ("portable", "flink", "spark"),
    "--environment_": ("portable", "flink", "spark"),
    "--sdk_worker_parallelism": ("portable", "flink", "spark"),
    "--parallelism": ("portable", "flink"),
}
_NEEDED = {
    "portable": ("--job_endpoint",),
    "dataflow": ("--project", "--region", "--temp_location"),
}


@dataclasses.dataclass(frozen=True)
class BeamConfig:
    """How the Beam steps are run, see docs/distributed.md.

    Attributes:
        runner: direct, portable, flink, spark or dataflow.
        running_mode: of the direct runner: in_memory, multi_threading or
            multi_processing.
        num_workers: of the direct runner; 0 means one per core and, like any
            number above 1, needs threads or processes.
        pipeline_args: Beam's arguments for all steps, as they are.
        steps: step name, or BatchScoring, -> arguments that stand in the
            place of `pipeline_args` for it. They may begin with a
            `--runner=` of their own.
        artifact_root: folder or URI of the artifacts where workers on other
            machines read and write them; null is `<runs_dir>/<name>/artifacts`.
    """

    runner: str = "direct"
    running_mode: str = "in_memory"
    num_workers: int = 1
    pipeline_args: tuple[str, ...] = ()
    steps: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    artifact_root: str | None = None

    def __post_init__(self) -> None:
        if self.runner not in RUNNERS:
            raise ValueError(
                f"`runner` must be one of {', '.join(RUNNERS)}, found "
                f"{self.runner!r}."
            )
        self._check_direct()
        _check_form("pipeline_args", self.pipeline_args)
        _check_runner("pipeline_args", self.pipeline_args, self.runner)
        for step, arguments in self.steps.items():
            self._check_step(step, arguments)

    def arguments(self, step: str) -> list[str]:
        """The Beam arguments of a step, its runner among them."""
        found = list(self.steps.get(step, self.pipeline_args))
        if _value("--runner", found) is None:
            found = [*self._runner_arguments(), *found]
        direct = _value("--runner", found) in (None, RUNNERS["direct"])
        if direct and _value(_IMAGE, found) is None:
            found.append(f"{_IMAGE}=none")
        return found

    def _runner_arguments(self) -> list[str]:
        if self.runner == "direct":
            return [
                f"--direct_running_mode={self.running_mode}",
                f"--direct_num_workers={self.num_workers}",
            ]
        return [f"--runner={RUNNERS[self.runner]}"]

    def _check_direct(self) -> None:
        if self.running_mode not in _MODES:
            raise ValueError(
                f"`running_mode` must be one of {', '.join(_MODES)}, found "
                f"{self.running_mode!r}."
            )
        if self.num_workers < 0:
            raise ValueError(
                "`num_workers` must not be negative (0: one per core), found "
                f"{self.num_workers}."
            )
        if self.runner != "direct":
            for name, usual in (
                ("running_mode", "in_memory"),
                ("num_workers", 1),
            ):
                if getattr(self, name) != usual:
                    raise ValueError(
                        f"`{name}` {getattr(self, name)!r} has no effect with "
                        f"`runner: {self.runner}`; leave it out and set the "
                        "engine's own parallelism in `pipeline_args`."
                    )
        elif self.running_mode == "in_memory" and self.num_workers != 1:
            raise ValueError(
                f"`num_workers` {self.num_workers} has no effect with "
                "`running_mode: in_memory`; set it to 1 or choose "
                "multi_threading or multi_processing."
            )

    def _check_step(self, step: str, arguments: Sequence[str]) -> None:
        known = (*BEAM_STEPS, BATCH_SCORING)
        if step not in known:
            near = difflib.get_close_matches(step, known, n=1, cutoff=0.4)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise ValueError(
                f"`steps` names an unknown step `{step}`.{hint} The Beam "
                f"steps are {', '.join(known)}."
            )
        where = f"steps.{step}"
        _check_form(where, arguments)
        wanted = _value("--runner", arguments)
        if wanted is None:
            _check_runner(where, arguments, self.runner)
            return
        runners = {name: key for key, name in RUNNERS.items()}
        if wanted not in runners:
            raise ValueError(
                f"`{where}` has the runner {wanted!r}, expected one of "
                f"{', '.join(runners)}."
            )
        others = [a for a in arguments if _name(a) != "--runner"]
        _check_options(where, others, runners[wanted])


def _check_form(where: str, arguments: Sequence[str]) -> None:
    """Each argument is one `--name=value` or `--name`."""
    for argument in arguments:
        if not re.match(r"--[A-Za-z]", argument):
            raise ValueError(
                f"`{where}` has the entry {argument!r}, expected a Beam "
                "argument such as --job_endpoint=host:8099: two dashes, name "
                "and value in one entry."
            )
        if re.match(r"--[\w-]+\s", argument):
            raise ValueError(
                f"`{where}` has the entry {argument!r}: write name and value "
                "as --name=value, and every argument as an entry of its own."
            )


def _check_runner(where: str, arguments: Sequence[str], runner: str) -> None:
    found = _value("--runner", arguments)
    if found is not None:
        raise ValueError(
            f"`{where}` has --runner={found} while `runner` is {runner}: set "
            f"`runner` ({', '.join(RUNNERS)}) and leave --runner out."
        )
    _check_options(where, arguments, runner)


def _check_options(where: str, arguments: Sequence[str], runner: str) -> None:
    """Refuses options of other runners, and missing ones."""
    for argument in arguments:
        for prefix, runners in _ONLY_FOR.items():
            matches = (
                _name(argument).startswith(prefix)
                if prefix.endswith("_")
                else _name(argument) == prefix
            )
            if matches and runner not in runners:
                raise ValueError(
                    f"`{where}` has {argument}, which the {runner} runner "
                    f"does not read: it is for {' and '.join(runners)}."
                )
            if matches and prefix == "--direct_" and where == "pipeline_args":
                raise ValueError(
                    f"`{where}` has {argument}: set `running_mode` and "
                    "`num_workers` instead."
                )
    for name in _NEEDED.get(runner, ()):
        if not _value(name, arguments):
            raise ValueError(
                f"`{where}` needs {name}=... with the {runner} runner; "
                f"pipeline/configs/beam/{runner}.yaml has a complete block."
            )


def _name(argument: str) -> str:
    return argument.partition("=")[0]


def _value(name: str, arguments: Sequence[str]) -> str | None:
    """Value of an option, "" where it has none, None where it is missing."""
    for argument in arguments:
        if _name(argument) == name:
            return argument.partition("=")[2]
    return None
