import shutil
import time

import pytest

from tests.serving.catalogue import make_catalogue
from tests.serving.server_process import ServerProcess

MESSAGE_LIMIT = 32 * 2**20


@pytest.fixture(scope="session")
def catalogue():
    return make_catalogue()


@pytest.fixture(scope="session")
def exported(catalogue, tmp_path_factory):
    """Folder of the exported SavedModel."""
    path = tmp_path_factory.mktemp("exported") / "1"
    catalogue.export(path)
    return path


@pytest.fixture(scope="session")
def start_server(exported, tmp_path_factory):
    """Starts servers of version 1, each with its own folder."""
    servers = []

    def start(*flags):
        base_path = tmp_path_factory.mktemp("models")
        shutil.copytree(exported, base_path / "1")
        servers.append(ServerProcess(base_path, *flags))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="session")
def running(start_server):
    """A server that answers to the end, for all who leave it as it is."""
    running = start_server(
        "--grpc_channel_arguments="
        f"grpc.max_receive_message_length={MESSAGE_LIMIT}"
    )
    yield running
    assert running.process.poll() is None


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture(name="wait_until", scope="session")
def wait_until_fixture():
    return wait_until
