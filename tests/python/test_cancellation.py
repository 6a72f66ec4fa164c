"""Calls that their callers give up: nothing is held for them afterwards."""

import time

import grpc
import photos
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from protocol import like, v1

#: Fewer than a connection has places for (limits.requests_per_connection_max, half of limits.streams_max, half of
#: limits.query_images_max), and so many times that all places for calls would be taken.
AT_ONCE, TIMES = 15, 10
#: More streams, one after the other, than the server has places for.
STREAMS = 75
#: Until places must be free again; much longer than it takes.
SECONDS = 10


@pytest.fixture(autouse=True)
def serves_on(connect, client, server, items):
    """After each test the same caller is answered, and so are others."""
    yield
    for caller in (client, connect(server)):
        answered(lambda: caller.search.Search(like(items[0].id), timeout=SECONDS))
        answered(lambda: caller.search.Describe(v1.DescribeRequest(image=photos.DRESS), timeout=SECONDS))
        answered(lambda: caller.store(items[0]))


def answered(call):
    """Calls until there is a place, but not for long: that a caller has left is heard a little after it has."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED or time.monotonic() > until:
                raise


def given_up(client, begin):
    """Begins calls and gives them up once the server has them; says how many were not answered before."""
    calls = [begin() for _ in range(AT_ONCE)]
    # Calls of one connection begin in their order, so that the server has seen the others when this is answered.
    client.catalog.GetItem(v1.GetItemRequest(id="blazer-01"))
    return [call.cancel() for call in calls].count(True)


def test_searches_are_given_up(client, items):
    for _ in range(TIMES * AT_ONCE):
        # Some are answered sooner than they are given up.
        client.search.Search.future(like(items[0].id)).cancel()


def test_large_photos_are_given_up(client):
    request = v1.DescribeRequest(image=photos.large_photo())
    for _ in range(TIMES):
        assert given_up(client, lambda: client.search.Describe.future(request))


def test_uploads_are_given_up(client, items, standing):
    for _ in range(STREAMS // AT_ONCE):
        assert given_up(client, lambda: client.catalog.UpsertItems.future(standing(items[0]))) == AT_ONCE


@pytest.mark.parametrize("stream", ["export", "backup"])
def test_long_answers_are_given_up(client, stream):
    begin = {
        "export": lambda: client.catalog.ExportItems(v1.ExportItemsRequest()),
        "backup": lambda: client.admin.Backup(v1.BackupRequest()),
    }[stream]
    for _ in range(STREAMS):
        answers = begin()
        next(answers)
        answers.cancel()
        assert answers.code() == grpc.StatusCode.CANCELLED
    assert len(answered(lambda: list(begin()))) > 1


def test_watches_are_given_up(client):
    health = health_pb2_grpc.HealthStub(client.channel)
    for _ in range(STREAMS):
        changes = health.Watch(health_pb2.HealthCheckRequest())
        next(changes)
        changes.cancel()
    assert next(answered(lambda: health.Watch(health_pb2.HealthCheckRequest()))).status


def test_a_lost_connection_gives_everything_back(connect, server):
    for _ in range(20):
        client = connect(server)
        answers = [client.catalog.ExportItems(v1.ExportItemsRequest()) for _ in range(10)]
        # The last has begun, and so have those before it.
        next(answers[-1])
        client.close()
