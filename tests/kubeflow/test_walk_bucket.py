"""A whole run whose logs, root and push target are in a bucket, step by step.

Each store is skipped where the environment does not name it. S3 needs a server
and, here, what `--build-arg STORAGE=s3` puts into the image
(kubeflow/requirements-s3.txt):

    moto_server -p 5057 &    # pip install "moto[server]", or MinIO
    export CREATE_S3_ENDPOINT=http://127.0.0.1:5057

Google's needs a bucket, emptied by the test, and the right to write to it; or,
without an account, tests/kubeflow/gcs_emulator.py, which says how:

    export CREATE_GCS_BUCKET=my-test-bucket

    pytest tests/kubeflow/test_walk_bucket.py

Steps are processes of this environment or, with CREATE_RUN_IN, of an image that
was built from this very code:

    export CREATE_RUN_IN="docker run --rm --network host -v /tmp:/tmp IMAGE"

with `-e NAME` for whatever the store needs.
"""

import dataclasses
import os
from collections.abc import Callable

import pytest

from kubeflow.compile import compile_pipeline
from tests.kubeflow.backend import Backend, in_a_container, in_a_process
from tests.kubeflow.helpers import TINY, make_logs, settings

# Several minutes alone, much more on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@dataclasses.dataclass
class Store:
    """A bucket with logs in it.

    Attributes:
        uri: scheme and name.
        keys: lists what lies in it.
        overrides: settings that a pipeline with this store needs.
    """

    uri: str
    keys: Callable[[], list[str]]
    overrides: tuple[str, ...] = ()


class InTheBucket(Backend):
    """Leaves URIs as they are, and resolves nothing to folders."""

    def _local(self, text):
        return text


def s3(log, patch):
    endpoint = os.environ.get("CREATE_S3_ENDPOINT")
    if not endpoint:
        pytest.skip("CREATE_S3_ENDPOINT is not set")
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("tensorflow_io")
    patch.setenv("S3_ENDPOINT", endpoint)
    patch.setenv("AWS_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        if name not in os.environ:
            patch.setenv(name, "test")
    bucket = boto3.resource(
        "s3", endpoint_url=endpoint, region_name="us-east-1"
    ).Bucket("bucket")
    bucket.create()
    bucket.objects.all().delete()
    bucket.upload_file(str(log), f"logs/{log.name}")
    return Store(
        "s3://bucket",
        lambda: [found.key for found in bucket.objects.all()],
        (f"beam.pipeline_args=[--s3_endpoint_url={endpoint}]",),
    )


def gcs(log, patch):
    name = os.environ.get("CREATE_GCS_BUCKET")
    if not name:
        pytest.skip("CREATE_GCS_BUCKET is not set")
    storage = pytest.importorskip("google.cloud.storage")
    bucket = storage.Client().bucket(name)
    for blob in list(bucket.list_blobs()):
        blob.delete()
    bucket.blob(f"logs/{log.name}").upload_from_filename(str(log))
    return Store(
        f"gs://{name}", lambda: [blob.name for blob in bucket.list_blobs()]
    )


@pytest.fixture(scope="module", params=[s3, gcs], ids=["s3", "gcs"])
def store(request, tmp_path_factory):
    logs = tmp_path_factory.mktemp("logs")
    make_logs(logs)
    with pytest.MonkeyPatch.context() as patch:
        yield request.param(logs / "log.csv.gz", patch)


@pytest.fixture(scope="module")
def backend(store, tmp_path_factory):
    pods = tmp_path_factory.mktemp("pods")
    prefix = os.environ.get("CREATE_RUN_IN")
    if not prefix:
        return InTheBucket(pods, in_a_process)
    # The image's user is another one.
    for folder in (pods, pods.parent, pods.parent.parent):
        folder.chmod(0o777)
    return InTheBucket(pods, in_a_container(prefix))


@pytest.fixture(scope="module")
def text(store):
    return compile_pipeline(
        settings(
            *TINY,
            f"logs.path={store.uri}/logs",
            f"kubeflow.root={store.uri}/runs",
            *store.overrides,
        )
    )


@pytest.fixture(scope="module")
def walked(backend, text):
    return backend.run(text)


def test_every_step_runs_to_a_model_pushed_to_the_bucket(walked, store):
    assert list(walked)[-1] == "Pusher"
    pushed = walked["Pusher"].artifacts["pushed_model"]["metadata"]
    assert pushed["pushed"] == 1
    target = pushed["pushed_destination"]
    assert target.startswith(f"{store.uri}/runs/tiny_shop/serving/create/")
    prefix = target.removeprefix(f"{store.uri}/")
    keys = {key.removeprefix(prefix) for key in store.keys()}
    assert {"/saved_model.pb", "/variables/variables.index"} <= keys


def test_nothing_is_left_of_the_checkpoints(walked, store):
    left = [
        key
        for key in store.keys()
        # TensorFlow's folders on Google's store are empty objects.
        if "checkpoint" in key and not key.endswith("/")
    ]
    assert not left


def test_a_second_run_comes_from_the_cache(walked, backend, text):
    again = backend.run(text)
    assert [name for name, task in again.items() if not task.cached] == [
        "ResolveRun",
        "ServingValidator",
        "Pusher",
    ]
