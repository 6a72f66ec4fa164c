"""The standard health check."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from protocol import MODULES

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = ["", *(s.full_name for module in MODULES for s in module.DESCRIPTOR.services_by_name.values())]


def asked(service=""):
    return health_pb2.HealthCheckRequest(service=service)


@pytest.mark.parametrize("service", SERVICES)
def test_the_server_and_each_service_is_healthy(client, service):
    assert health_pb2_grpc.HealthStub(client.channel).Check(asked(service)).status == SERVING


def test_an_unknown_service_is_not_found(client):
    with pytest.raises(grpc.RpcError) as raised:
        health_pb2_grpc.HealthStub(client.channel).Check(asked("lapel.v1.Nothing"))
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_watch_says_what_has_changed_alone(client):
    changes = health_pb2_grpc.HealthStub(client.channel).Watch(asked(), timeout=2.5)
    assert next(changes).status == SERVING
    # Until the deadline.
    with pytest.raises(grpc.RpcError):
        next(changes)


def test_whoever_watches_hears_of_the_end(start, connect):
    server = start()
    changes = health_pb2_grpc.HealthStub(connect(server).channel).Watch(asked())
    assert next(changes).status == SERVING
    server.terminate()
    assert any(change.status == NOT_SERVING for change in changes)
    changes.cancel()


def test_whoever_watches_does_not_hold_up_the_end(start, connect):
    server = start(operation__drain_seconds=600)
    changes = health_pb2_grpc.HealthStub(connect(server).channel).Watch(asked())
    assert next(changes).status == SERVING
    server.terminate()
    assert list(changes)[-1].status == NOT_SERVING
