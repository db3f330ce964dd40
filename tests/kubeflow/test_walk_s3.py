"""A whole run whose logs, root and push target are s3://, step after step.

Needs an S3 server, and in this environment what `--build-arg STORAGE=s3` puts
into the image (kubeflow/requirements-s3.txt). Skipped without:

    moto_server -p 5057 &    # pip install "moto[server]", or MinIO
    export CREATE_S3_ENDPOINT=http://127.0.0.1:5057
    pytest tests/kubeflow/test_walk_s3.py
"""

import os

import pytest

from kubeflow.compile import compile_pipeline
from tests.kubeflow.backend import BUCKET, Backend, in_a_process
from tests.kubeflow.helpers import TINY, make_logs, settings

ENDPOINT = os.environ.get("CREATE_S3_ENDPOINT")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ENDPOINT, reason="CREATE_S3_ENDPOINT is not set"),
]


class InTheBucket(Backend):
    """Leaves s3:// as it is, and resolves nothing to folders."""

    def _local(self, text):
        return text


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The bucket, with logs in it."""
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("tensorflow_io")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S3_ENDPOINT", ENDPOINT)
        patch.setenv("AWS_REGION", "us-east-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            if name not in os.environ:
                patch.setenv(name, "test")
        bucket = boto3.resource(
            "s3", endpoint_url=ENDPOINT, region_name="us-east-1"
        ).Bucket(BUCKET.removeprefix("s3://"))
        bucket.create()
        bucket.objects.all().delete()
        logs = tmp_path_factory.mktemp("logs")
        make_logs(logs)
        bucket.upload_file(str(logs / "log.csv.gz"), "logs/log.csv.gz")
        yield bucket


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    return InTheBucket(tmp_path_factory.mktemp("pods"), in_a_process)


@pytest.fixture(scope="module")
def text():
    return compile_pipeline(
        settings(*TINY, f"beam.pipeline_args=[--s3_endpoint_url={ENDPOINT}]")
    )


@pytest.fixture(scope="module")
def walked(store, backend, text):
    return backend.run(text)


def test_every_step_runs_to_a_model_pushed_to_the_bucket(walked, store):
    assert list(walked)[-1] == "Pusher"
    pushed = walked["Pusher"].artifacts["pushed_model"]["metadata"]
    assert pushed["pushed"] == 1
    target = pushed["pushed_destination"]
    assert target.startswith(f"{BUCKET}/runs/tiny_shop/serving/create/")
    prefix = target.removeprefix(f"{BUCKET}/")
    keys = {
        o.key.removeprefix(prefix) for o in store.objects.filter(Prefix=prefix)
    }
    assert {"/saved_model.pb", "/variables/variables.index"} <= keys


def test_nothing_is_left_of_the_checkpoints(walked, store):
    left = [o.key for o in store.objects.all() if "checkpoint" in o.key]
    assert not left


def test_a_second_run_comes_from_the_cache(walked, backend, text):
    again = backend.run(text)
    assert [name for name, task in again.items() if not task.cached] == [
        "ResolveRun"
    ]
