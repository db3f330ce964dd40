"""The Beam steps through a job service and workers in other processes.

What `benchmarks.portability` does, as a test: the outputs of every step are
those of one process.
"""

import os

import pytest

from benchmarks import portability, portable_service
from benchmarks.compare_outputs import SAME_BYTES
from pipeline.beam_config import BEAM_STEPS

pytestmark = pytest.mark.slow

# What is one file whatever the workers do, and so has to be the same bytes.
# Transform's examples and rankings come in as many shards as the runner likes.
EXACT = {
    "HistoryExampleGen": {
        "dead_letters/dead_letters.jsonl.gz",
        "dead_letters/ingest.json",
        "examples/Split-all/data_tfrecord-*.gz",
    },
    "StatisticsGen": set(),
    "Transform": {
        f"transform_graph/transform_fn/assets/{name}.tfrecord.gz"
        for name in (
            "items_train",
            "items_development",
            "users_train",
            "users_development",
        )
    },
    "GraphBuilder": {
        f"graph/{period}/{name}"
        for period in ("train", "train_validation")
        for name in ("graph.json", "graph.tfrecord", "graph_schema.pbtxt")
    },
    "PeriodStatistics": {"statistics/drift.json"},
    "RankingEvaluator": {"evaluation/metrics.json", "evaluation/report.html"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Results of all steps, and the processes that were the servers."""
    services = []

    class Remembered(portable_service.PortableService):
        def __enter__(self):
            services.append(self)
            return super().__enter__()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portability, "PortableService", Remembered)
        results = portability.run(tmp_path_factory.mktemp("portability"))
    print(portability.as_table(results))
    return {result.name: result for result in results}, services[0].pids


def test_all_steps_ran(run):
    results, _ = run
    assert list(results) == list(BEAM_STEPS)


@pytest.mark.parametrize("step", BEAM_STEPS)
def test_outputs_are_those_of_one_process(run, step):
    results, _ = run
    different = {
        file.name: file.verdict
        for file in results[step].files
        if not file.equal
    }
    assert not different
    exact = {f.name for f in results[step].files if f.verdict == SAME_BYTES}
    assert EXACT[step] <= exact


@pytest.mark.parametrize("step", BEAM_STEPS)
def test_two_other_processes_did_the_work(run, step):
    results, servers = run
    bundles = results[step].bundles
    assert len(bundles) == 2
    assert min(bundles.values()) >= 1
    assert not set(bundles) & {os.getpid(), *servers.values()}


def test_every_step_had_workers_of_its_own(run):
    results, _ = run
    pids = [pid for result in results.values() for pid in result.bundles]
    assert len(set(pids)) == len(pids) == 2 * len(BEAM_STEPS)


def test_nothing_is_left_running(run):
    results, servers = run
    assert set(servers) == {"job-service", "worker-pool"}
    workers = {pid for result in results.values() for pid in result.bundles}
    for pid in workers | set(servers.values()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
