"""What TF Serving's clients may rely on, against any server.

Without options a local server is started. Against another one, which serves
what `python -m tests.serving.contract.models DIR` wrote:

    pytest tests/serving/contract --target=HOST:8500 --rest-target=HOST:8501 \
        --base-path=DIR/create
"""

import dataclasses
import pathlib

import grpc
import pytest
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from tests.serving.contract import models
from tests.serving.server_process import ServerProcess


def pytest_addoption(parser):
    group = parser.getgroup("serving contract")
    group.addoption("--target", help="host:port of gRPC")
    group.addoption("--rest-target", help="host:port of REST")
    group.addoption(
        "--base-path", help="folder of the versions, as the server sees it"
    )


@dataclasses.dataclass
class Server:
    """The server under test."""

    target: str
    rest_target: str
    base_path: str
    channel: grpc.Channel

    @property
    def prediction(self):
        return prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    @property
    def models(self):
        return model_service_pb2_grpc.ModelServiceStub(self.channel)


@pytest.fixture(scope="session")
def server(request, exported, tmp_path_factory):
    target = request.config.getoption("--target", None)
    if target:
        rest = request.config.getoption("--rest-target", None)
        assert rest, "--target needs --rest-target"
        base_path = request.config.getoption("--base-path", None)
        with grpc.insecure_channel(target) as channel:
            yield Server(target, rest, base_path, channel)
        return
    directory = tmp_path_factory.mktemp("contract")
    models.write(directory, first=exported)
    config, *flags = models.server_flags(directory)
    process = ServerProcess(pathlib.Path(directory), *flags, models=[config])
    yield Server(
        process.target,
        f"127.0.0.1:{process.rest_port}",
        f"{directory}/create",
        process.channel,
    )
    assert process.stop() == 0


@pytest.fixture(scope="session")
def stub(server):
    return server.prediction
