"""Large messages, both ways, with a client's default limits: it sends anything, and reads 4 MiB."""

import bundles
import grpc
import photos
import pytest
from program import Server
from protocol import Client, like, v1
from refusals import refused

PICTURE = photos.noise(9 * photos.MIB)
#: How an answer is refused that a client could not read.
TOO_LARGE = grpc.StatusCode.FAILED_PRECONDITION, "ANSWER_TOO_LARGE"


@pytest.fixture(scope="module")
def large_server(tmp_path_factory):
    """A server with a picture of 9 MiB."""
    server = Server(tmp_path_factory.mktemp("large") / "data")
    client = Client.of(server.address)
    client.store(v1.UpsertItemsRequest(id="large", image=PICTURE, labels={"category": "noise"}))
    client.close()
    yield server
    server.stop()


@pytest.fixture
def client(connect, large_server):
    """A client of that server, with default options."""
    return connect(large_server)


def test_a_picture_of_9_mib_goes_up(client):
    assert len(PICTURE) > 8.9 * photos.MIB
    assert client.catalog.GetItem(v1.GetItemRequest(id="large")).item.has_image
    answer = client.search.Search(v1.SearchRequest(query=v1.Query(image=PICTURE), k=1, exact=True))
    assert answer.results[0].distance == pytest.approx(0, abs=1e-3)


def test_a_picture_of_9_mib_comes_down(client):
    pieces = list(client.catalog.StreamItemImage(v1.StreamItemImageRequest(id="large")))
    assert b"".join(piece.chunk for piece in pieces) == PICTURE
    assert (pieces[0].size_bytes, pieces[0].content_type) == (len(PICTURE), "image/png")


def test_a_picture_that_does_not_fit_says_where_it_does(client):
    error = refused(lambda: client.catalog.GetItemImage(v1.GetItemImageRequest(id="large")), *TOO_LARGE)
    assert "StreamItemImage" in error.details()
    error = refused(lambda: list(client.catalog.ExportItems(v1.ExportItemsRequest())), *TOO_LARGE)
    assert "in_pieces" in error.details()
    without = list(client.catalog.ExportItems(v1.ExportItemsRequest(no_images=True)))
    assert [one.item.id for one in without] == ["large"]


def test_a_picture_of_9_mib_is_exported(client):
    assert client.exported()["large"].image == PICTURE


def test_a_backup_is_readable(client):
    pieces = [piece.chunk for piece in client.admin.Backup(v1.BackupRequest())]
    assert PICTURE in b"".join(pieces)


def test_a_picture_beyond_the_limit_is_told_as_such(client):
    picture = photos.noise(int(10.5 * photos.MIB))
    beyond = v1.UpsertItemsRequest(id="beyond", image=bytes(12 * photos.MIB))
    upload = iter([v1.UpsertItemsRequest(id="larger", image=picture), beyond, v1.UpsertItemsRequest(id="last")])
    results = client.catalog.UpsertItems(upload).results
    told = [(result.message, result.id, result.error.reason) for result in results]
    assert told[:2] == [(1, "larger", "BAD_IMAGE"), (2, "", "MESSAGE_TOO_LARGE")]
    assert told[2][:2] == (3, "last"), "what comes after it is taken"
    refused(
        lambda: client.search.Describe(v1.DescribeRequest(image=bytes(12 * photos.MIB))),
        grpc.StatusCode.OUT_OF_RANGE,
        "MESSAGE_TOO_LARGE",
    )


def test_the_answer_to_a_large_batch_is_readable(connect, server, items):
    requests = [like(item.id, k=len(items), explain=True) for item in items * 2]
    results = connect(server).search.SearchBatch(v1.SearchBatchRequest(requests=requests)).results
    assert len(results) == len(requests)
    assert all(len(result.response.results) == len(items) for result in results if result.HasField("response"))
    assert {result.error.reason for result in results if result.HasField("error")} <= {"ANSWER_TOO_LARGE"}
    assert results[0].HasField("response")


@pytest.fixture
def labelled(client):
    """A thousand items with a hundred long labels each, no two alike."""
    bundles.register(client, bundles.external("mood", 2, ["calm"]))
    signature = v1.Signature(head="mood", values=[1.0, 0.0])
    ids = [f"labelled-{number}" for number in range(1000)]

    def item(item_id):
        labels = {f"attribute-{at}": f"{item_id}-{'long' * 10}-{at}" for at in range(100)}
        return v1.UpsertItemsRequest(id=item_id, labels=labels, signatures=[signature])

    client.store(*map(item, ids))
    yield ids
    client.catalog.DeleteItems(v1.DeleteItemsRequest(ids=ids))
    client.heads.RetireHead(v1.RetireHeadRequest(name="mood"))


def test_pages_of_items_with_many_labels_are_readable(client, labelled):
    listed, token = 0, ""
    while True:
        page = client.catalog.ListItems(v1.ListItemsRequest(page_size=1000, page_token=token))
        listed, token = listed + len(page.items), page.next_page_token
        if not token:
            break
    assert listed == len(labelled) + 1


@pytest.mark.parametrize("page_size", [0, 1000])
def test_statistics_of_many_labels_are_readable(client, labelled, page_size):
    counted, token = {}, ""
    while True:
        page = client.catalog.CatalogStats(v1.CatalogStatsRequest(page_size=page_size, page_token=token))
        assert page.items == len(labelled) + 1
        for attribute, labels in page.labels.items():
            counted.setdefault(attribute, {}).update(labels.counts)
        token = page.next_page_token
        if not token:
            break
    assert sum(map(len, counted.values())) == 100 * len(labelled) + 1
    assert counted["category"] == {"noise": 1}


def test_results_of_many_refused_items_are_readable(client):
    ids = [f"{number:04}".ljust(256, "x") for number in range(10_000)]
    results = client.catalog.UpsertItems(v1.UpsertItemsRequest(id=item_id) for item_id in ids).results
    assert [result.id for result in results] == ids and all(result.error.reason for result in results)


def test_results_with_many_words_are_readable(client):
    # Each of them is refused at length: every label is named.
    labels = {f"{at:02}".ljust(64, "y"): " " for at in range(100)}
    ids = [f"{number:04}".ljust(256, "x") for number in range(5000)]
    upload = (v1.UpsertItemsRequest(id=item_id, labels=labels) for item_id in ids)
    results = client.catalog.UpsertItems(upload).results
    assert [result.id for result in results] == ids
    assert all(result.error.reason == "INVALID_FIELD" and result.error.message for result in results)


def test_ids_that_an_answer_could_not_name_are_refused_beforehand(client):
    ids = [f"{number:04}".ljust(1000, "x") for number in range(5000)]
    invalid = grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"
    refused(lambda: client.catalog.DeleteItems(v1.DeleteItemsRequest(ids=ids)), *invalid)
