"""Messages compressed by gzip, both ways, seen on the wire."""

import grpc
import photos
import pytest
from protocol import like, v1
from refusals import refused
from relay import Relay

GZIP = grpc.Compression.Gzip


@pytest.fixture
def relay(server):
    """Counts the bytes of one connection."""
    relay = Relay(server.address)
    yield relay
    relay.close()


@pytest.fixture
def through(relay, connect):
    """Makes clients whose bytes are counted."""
    return lambda **options: connect(relay, **options)


def test_requests_may_be_compressed(through, relay, items):
    request = like(items[0].id, exclude_ids=["a" * 200 + str(n) for n in range(90)])
    assert through(compression=GZIP).search.Search(request).results
    assert relay.up < request.ByteSize() / 4


def test_answers_are_compressed_for_whoever_reads_them(through, relay):
    # A channel with default options says that it reads gzip.
    answer = through().catalog.ListItems(v1.ListItemsRequest(page_size=1000))
    assert relay.down < answer.ByteSize() * 0.7


def test_requests_that_are_not_compressed_are_read(through, relay, items):
    request = like(items[0].id, exclude_ids=["a" * 200 + str(n) for n in range(90)])
    assert through().search.Search(request).results
    assert relay.up > request.ByteSize()


def test_uploads_and_pictures_may_be_compressed(connect, server):
    client = connect(server, compression=GZIP)
    client.store(v1.UpsertItemsRequest(id="packed", image=photos.DRESS))
    image = client.catalog.GetItemImage(v1.GetItemImageRequest(id="packed")).image
    exported = client.exported()["packed"].image
    described = client.search.Describe(v1.DescribeRequest(image=photos.DRESS))
    client.catalog.DeleteItems(v1.DeleteItemsRequest(ids=["packed"]))
    assert image == exported == photos.DRESS and described.attributes


def test_a_message_that_unpacks_to_more_than_the_limit_is_refused(connect, server):
    bomb = v1.DescribeRequest(image=bytes(64 * photos.MIB))
    client = connect(server, compression=GZIP)
    refused(lambda: client.search.Describe(bomb), grpc.StatusCode.OUT_OF_RANGE, "MESSAGE_TOO_LARGE")
    assert client.catalog.CatalogStats(v1.CatalogStatsRequest()).items


def test_deflate_is_refused_in_words(connect, server):
    with pytest.raises(grpc.RpcError) as raised:
        connect(server, compression=grpc.Compression.Deflate).catalog.CatalogStats(v1.CatalogStatsRequest())
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "deflate" in raised.value.details()
