"""Deadlines: what takes too long ends, and nobody else notices."""

import grpc
import photos
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from protocol import like, v1
from refusals import refused

LATE = grpc.StatusCode.DEADLINE_EXCEEDED
FULL = grpc.StatusCode.RESOURCE_EXHAUSTED
#: As a client's library says it, without a clock of the client's own: the answer is the server's then.
SERVERS_CLOCK = [("grpc-timeout", "200m")]


def test_the_server_keeps_deadlines_itself(client, standing):
    refused(lambda: client.catalog.UpsertItems(standing(), metadata=SERVERS_CLOCK), LATE, "DEADLINE_PASSED")


def test_an_upload_that_takes_too_long_ends(client, standing):
    with pytest.raises(grpc.RpcError) as raised:
        client.catalog.UpsertItems(standing(), timeout=0.3)
    assert raised.value.code() == LATE


def test_a_watch_ends_with_its_deadline(client):
    watch = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest(), timeout=0.3)
    with pytest.raises(grpc.RpcError) as raised:
        for change in watch:
            assert change.status == health_pb2.HealthCheckResponse.SERVING
    assert raised.value.code() == LATE


def test_late_photos_hold_up_nobody(client, items):
    photo = photos.large_photo()
    late = [client.search.Describe.future(v1.DescribeRequest(image=photo), timeout=0.05) for _ in range(20)]
    answered = [client.search.Search(like(item.id), timeout=10) for item in items]
    codes = {call.code() for call in late}
    # A server whose places are taken may say so at once.
    assert LATE in codes and codes <= {LATE, FULL}
    assert all(answer.results for answer in answered)
    # The places of those that were late are free again.
    assert client.search.Describe(v1.DescribeRequest(image=photos.DRESS), timeout=30).attributes
