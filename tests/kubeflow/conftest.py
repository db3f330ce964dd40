"""What several tests of Kubeflow start from."""

import pytest

from tests.kubeflow.helpers import make_logs


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """A folder that stands for the bucket, with logs in it."""
    folder = tmp_path_factory.mktemp("bucket")
    make_logs(folder / "logs")
    return folder
