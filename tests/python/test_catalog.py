"""CatalogService: items written, read, listed, counted, exported, deleted."""

import grpc
import photos
import pytest
from protocol import like, v1
from refusals import refused


@pytest.fixture
def own(client):
    """An item of the test's own."""
    item = v1.UpsertItemsRequest(id="own", image=photos.DRESS, labels={"category": "dress"})
    client.store(item)
    yield item
    client.catalog.DeleteItems(v1.DeleteItemsRequest(ids=["own"]))


def test_an_item_comes_back_as_it_was_sent(client, own):
    item = client.catalog.GetItem(v1.GetItemRequest(id="own")).item
    assert (dict(item.labels), item.has_image) == ({"category": "dress"}, True)
    image = client.catalog.GetItemImage(v1.GetItemImageRequest(id="own"))
    assert (image.image, image.content_type) == (own.image, "image/jpeg")
    assert client.image("own") == own.image


def test_an_item_keeps_what_a_write_does_not_name(client, own):
    def item():
        return client.catalog.GetItem(v1.GetItemRequest(id="own")).item

    size = {"size_of_own": v1.FieldValue(integer=38)}
    client.store(v1.UpsertItemsRequest(id="own", labels={"color": "red"}, fields=size, keep_others=True))
    assert dict(item().labels) == {"category": "dress", "color": "red"}
    client.store(v1.UpsertItemsRequest(id="own", labels={"color": "blue"}, keep_others=True))
    assert dict(item().labels) == {"category": "dress", "color": "blue"}
    assert item().fields["size_of_own"].integer == 38 and client.image("own") == own.image
    both = v1.UpsertItemsRequest(id="own", labels={"color": "red"}, keep_others=True, labels_only=True)
    (result,) = client.catalog.UpsertItems(iter([both])).results
    assert result.error.reason == "INVALID_FIELD" and item().labels["color"] == "blue"
    client.store(v1.UpsertItemsRequest(id="own", image=own.image, labels={"category": "dress"}))
    assert dict(item().labels) == {"category": "dress"} and not item().fields


def test_an_item_has_several_pictures(client, items):
    pictures = [photos.DRESS] + [item.image for item in items[:2]]
    coat = v1.UpsertItemsRequest(id="several", image=pictures[0], more_images=pictures[1:])
    client.store(coat)
    try:
        assert client.catalog.GetItem(v1.GetItemRequest(id="several")).item.images == 3
        for number, picture in enumerate(pictures):
            request = v1.GetItemImageRequest(id="several", picture=number)
            assert client.catalog.GetItemImage(request).image == picture
            found = client.search.Search(v1.SearchRequest(query=v1.Query(image=picture), k=2)).results
            assert {result.item_id: result.picture for result in found}["several"] == number
        mean = like("several", k=1, pictures=v1.PICTURE_MODE_MEAN)
        assert client.search.Search(mean).results[0].item_id == "several"
        request = v1.ExportItemsRequest(after="sev", all_images=True)
        exported = list(client.catalog.ExportItems(request))
        begun = next(at for at, one in enumerate(exported) if one.item.id == "several")
        assert [one.image for one in exported[begun : begun + 3]] == pictures
    finally:
        client.catalog.DeleteItems(v1.DeleteItemsRequest(ids=["several"]))


def test_one_item_is_written_without_a_stream(client, own):
    relabelled = v1.UpsertItemsRequest(id="own", labels={"category": "skirt"}, labels_only=True)
    assert client.catalog.UpsertItem(v1.UpsertItemRequest(item=relabelled)).replaced
    assert client.catalog.GetItem(v1.GetItemRequest(id="own")).item.labels["category"] == "skirt"
    torn = v1.UpsertItemRequest(item=v1.UpsertItemsRequest(id="torn", image=own.image[:1000]))
    refused(lambda: client.catalog.UpsertItem(torn), grpc.StatusCode.INVALID_ARGUMENT, "BAD_IMAGE")
    nothing = v1.UpsertItemRequest()
    refused(lambda: client.catalog.UpsertItem(nothing), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


def test_a_refused_item_does_not_touch_the_others(client, own):
    torn = v1.UpsertItemsRequest(id="torn", image=own.image[:1000])
    relabelled = v1.UpsertItemsRequest(id="own", labels={"category": "skirt"}, labels_only=True)
    results = client.catalog.UpsertItems(iter([torn, relabelled])).results
    assert [result.id for result in results] == ["torn", "own"]
    assert results[0].error.reason == "BAD_IMAGE" and results[1].replaced
    assert client.catalog.GetItem(v1.GetItemRequest(id="own")).item.labels["category"] == "skirt"


def test_an_upload_says_what_is_durable_while_it_goes_on(client, own, standing):
    torn = v1.UpsertItemsRequest(id="torn", image=own.image[:1000])
    relabelled = v1.UpsertItemsRequest(id="own", labels={"category": "skirt"}, labels_only=True)
    sent = [v1.UpsertItemsStreamRequest(item=item) for item in (torn, relabelled)]
    upload = client.catalog.UpsertItemsStream(standing(*sent))
    results = []
    while len(results) < len(sent):
        told = next(upload)
        results += told.results
        assert told.acknowledged == len(results)
    assert [(result.message, result.id) for result in results] == [(1, "torn"), (2, "own")]
    assert results[0].error.reason == "BAD_IMAGE" and results[1].replaced
    assert client.catalog.GetItem(v1.GetItemRequest(id="own")).item.labels["category"] == "skirt"
    upload.cancel()


def test_an_upload_that_ends_has_acknowledged_everything(client, own):
    items = [v1.UpsertItemsRequest(id=item_id, labels_only=True) for item_id in ("own", "nothing", "own")]
    answers = list(client.catalog.UpsertItemsStream(iter([v1.UpsertItemsStreamRequest(item=i) for i in items])))
    results = [result for answer in answers for result in answer.results]
    assert [result.error.reason for result in results] == ["", "NOT_FOUND", "INVALID_FIELD"]
    assert answers[-1].acknowledged == len(items)


def test_a_message_that_cannot_be_read_leaves_the_others(client, own):
    relabelled = v1.UpsertItemsRequest(id="own", labels={"category": "skirt"}, labels_only=True)
    upload = client.channel.stream_unary(
        "/lapel.v1.CatalogService/UpsertItems",
        request_serializer=lambda sent: sent,
        response_deserializer=v1.UpsertItemsResponse.FromString,
    )
    results = upload(iter([b"\xff" * 9, relabelled.SerializeToString()])).results
    assert [result.error.reason for result in results] == ["MESSAGE_UNREADABLE", ""]
    assert client.catalog.GetItem(v1.GetItemRequest(id="own")).item.labels["category"] == "skirt"


def test_a_repeated_request_changes_nothing(client, own):
    request = v1.DeleteItemsRequest(ids=["own", "nothing"], request_id="a-request")
    first = client.catalog.DeleteItems(request)
    assert (first.deleted, list(first.not_found)) == (1, ["nothing"])
    client.store(own)
    client.catalog.DeleteItems(request)
    client.catalog.GetItem(v1.GetItemRequest(id="own"))


def test_pages_are_together_all_items(client, items):
    listed, token = [], ""
    while True:
        page = client.catalog.ListItems(v1.ListItemsRequest(page_size=20, page_token=token))
        listed += [item.id for item in page.items]
        token = page.next_page_token
        if not token:
            break
    assert listed == sorted(item.id for item in items)


def test_filters_let_pass_what_has_the_label(client, items):
    wanted = v1.LabelFilter(attribute="category", labels=["dress", "skirt"])
    listed = client.catalog.ListItems(v1.ListItemsRequest(filters=[wanted])).items
    assert [item.id for item in listed] == sorted(i.id for i in items if i.labels["category"] in wanted.labels)
    answer = client.search.Search(like(items[0].id, k=100, filters=[wanted]))
    assert {result.item_id for result in answer.results} == {item.id for item in listed}


def test_items_are_counted(client, items):
    stats = client.catalog.CatalogStats(v1.CatalogStatsRequest())
    assert stats.items == len(items)
    assert sum(stats.labels["category"].counts.values()) == len(items)
    assert not stats.next_page_token


def test_pages_of_statistics_are_together_all_labels(client):
    whole = client.catalog.CatalogStats(v1.CatalogStatsRequest())
    paged, request = {}, v1.CatalogStatsRequest(page_size=3)
    while True:
        page = client.catalog.CatalogStats(request)
        assert sum(len(labels.counts) for labels in page.labels.values()) <= 3 and page.items == whole.items
        for attribute, labels in page.labels.items():
            paged.setdefault(attribute, {}).update(labels.counts)
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert paged == {attribute: dict(labels.counts) for attribute, labels in whole.labels.items()}


def test_an_export_has_everything(client, items):
    exported = client.exported()
    assert list(exported) == sorted(item.id for item in items)
    for item in items:
        one = exported[item.id]
        assert (one.image, dict(one.item.labels)) == (item.image, dict(item.labels))
        assert {signature.head for signature in one.signatures} == set(one.item.heads)


def test_an_export_goes_on_where_it_was_cut_off(client, items):
    ids = sorted(item.id for item in items)
    rest = client.catalog.ExportItems(v1.ExportItemsRequest(after=ids[9], no_images=True))
    assert [(one.item.id, one.image) for one in rest] == [(item_id, b"") for item_id in ids[10:]]


def test_what_is_not_there_is_not_found(client):
    not_found = grpc.StatusCode.NOT_FOUND, "NOT_FOUND"
    refused(lambda: client.catalog.GetItem(v1.GetItemRequest(id="nothing")), *not_found)
    refused(lambda: client.catalog.GetItemImage(v1.GetItemImageRequest(id="nothing")), *not_found)
    refused(lambda: client.image("nothing"), *not_found)
