"""A compiled pipeline with a Tuner, to a model that has the values it found."""

import json
import os
import re

import pytest
import tensorflow as tf

from components.trainer.hyperparameters import read_search
from kubeflow.compile import compile_pipeline
from tests.kubeflow.backend import Backend, in_process
from tests.kubeflow.helpers import TINY, killed_after, settings

pytestmark = pytest.mark.slow

SEARCH = """\
tuning={stages: [
  {name: sasrec, trials: 2,
   settings: {model.graph.encoder: none, model.alignment.kind: none,
              training.warmup_epochs: 0},
   space: {model.embedding_dim: {choices: [4, 16]}}},
  {name: create, trials: 2,
   space: {model.global_weight: {choices: [0.5, 0.7]}}}]}"""


@pytest.fixture(scope="module")
def evicted():
    """What the pod of the Tuner printed that was killed."""
    return []


@pytest.fixture(scope="module")
def backend(bucket, evicted):
    """Kills the first pod of the Tuner after a trial."""

    def execute(command, args, environment):
        if "components.tuner" in " ".join(args) and not evicted:
            evicted.extend(
                killed_after(
                    "sasrec 1/2",
                    [*command[command.index("python") + 1 :], *args],
                )
            )
            raise RuntimeError("evicted")
        in_process(command, args, environment)

    return Backend(bucket, execute)


@pytest.fixture(scope="module")
def text():
    return compile_pipeline(settings(*TINY, SEARCH))


@pytest.fixture(scope="module")
def walked(backend, text):
    return backend.run(text)


def test_the_trainer_takes_what_the_search_found(walked):
    assert list(walked)[-1] == "Pusher"
    search = read_search(
        walked["Tuner"].artifacts["best_hyperparameters"]["uri"]
    )
    assert set(search["values"]) == {
        "model.embedding_dim",
        "model.global_weight",
    }
    uri = walked["Trainer"].artifacts["model_run"]["uri"]
    with open(os.path.join(uri, "training.json")) as file:
        trained = json.load(file)
    assert trained["tuning"]["values"] == search["values"]
    reader = tf.train.load_checkpoint(
        walked["Trainer"].artifacts["model"]["uri"]
        + "/Format-Serving/variables/variables"
    )
    dim = search["values"]["model.embedding_dim"]
    shapes = reader.get_variable_to_shape_map().values()
    assert [30, dim] in shapes


def test_a_search_whose_pod_is_evicted_goes_on(walked, evicted):
    assert walked["Tuner"].attempts == 2
    assert evicted
    stages = read_search(
        walked["Tuner"].artifacts["best_hyperparameters"]["uri"]
    )["stages"]
    for stage in stages:
        assert [t["number"] for t in stage["trials"]] == [1, 2]
    # the trial of the first pod is not trained again
    (said,) = re.findall(r"NDCG@10 (\d\.\d+)", evicted[-1])
    assert f"{stages[0]['trials'][0]['value']:.4f}" == said


def test_a_second_run_searches_no_more(walked, backend, text):
    again = backend.run(text)
    assert again["Tuner"].cached
    assert again["Trainer"].cached
