"""What a foreign client reads of an error: code, words, reason, fields; never a stream that breaks."""

import grpc
import pytest
from google.rpc import error_details_pb2
from protocol import like, v1
from refusals import details, reason, refused

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
#: In Cyrillic, which a header takes three bytes for each byte of.
LONG = "я" * 5000


def fields(error):
    """The fields that an error tells of."""
    return {violation.field for violation in details(error, error_details_pb2.BadRequest).field_violations}


def test_all_bad_fields_are_told_at_once(client, items):
    no_labels = v1.LabelFilter(attribute="color")
    error = refused(lambda: client.search.Search(like(items[0].id, k=0, filters=[no_labels])), INVALID, "INVALID_FIELD")
    assert fields(error) == {"k", "filters[0]"}


def test_names_that_are_not_there_are_told_beside_bad_fields(client):
    edit = v1.Manipulation(attribute="colour", label="red")
    search = like("nobody", k=0, manipulations=[edit], weights=v1.Weights(by_head={"fitt": 1}))
    error = refused(lambda: client.search.Search(search), INVALID, "INVALID_FIELD")
    assert fields(error) == {"k", "query.item_id", "manipulations[0].attribute", "weights.by_head[fitt]"}
    search.k = 1
    error = refused(lambda: client.search.Search(search), NOT_FOUND, "NOT_FOUND")
    assert fields(error) == {"query.item_id", "manipulations[0].attribute", "weights.by_head[fitt]"}


def test_a_batch_of_very_many_empty_searches_is_refused(client):
    # Eleven megabytes of them would take more than a gigabyte once they are decoded.
    batch = v1.SearchBatchRequest(requests=[v1.SearchRequest()] * 100_000)
    refused(lambda: client.search.SearchBatch(batch), grpc.StatusCode.OUT_OF_RANGE, "MESSAGE_TOO_LARGE")


def typos(client, items):
    """Requests with the same slip of a filter, by every method that filters."""
    filters = [v1.LabelFilter(attribute="category", labels=["dres"])]
    return {
        "Search": lambda: client.search.Search(like(items[0].id, filters=filters)),
        "ListItems": lambda: client.catalog.ListItems(v1.ListItemsRequest(filters=filters)),
        "Personalise": lambda: client.feedback.Personalise(
            v1.PersonaliseRequest(picked_ids=[item.id for item in items[:2]], k=1, filters=filters)
        ),
    }


@pytest.mark.parametrize("method", ["Search", "ListItems", "Personalise"])
def test_a_typo_in_a_filter_is_told_with_what_was_meant(client, items, method):
    error = refused(typos(client, items)[method], NOT_FOUND, "NOT_FOUND")
    assert 'did you mean "dress"?' in error.details()
    metadata = details(error, error_details_pb2.ErrorInfo).metadata
    assert (metadata["what"], metadata["attribute"], metadata["name"]) == ("label", "category", "dres")


def test_a_typo_in_an_attribute_is_told_with_what_was_meant(client, items):
    search = like(items[0].id, filters=[v1.LabelFilter(attribute="colour", labels=["red"])])
    error = refused(lambda: client.search.Search(search), NOT_FOUND, "NOT_FOUND")
    assert 'did you mean "color"?' in error.details()


def test_an_unknown_label_may_be_allowed(client, items):
    filters = [v1.LabelFilter(attribute="category", labels=["dres"], allow_unknown=True)]
    assert not client.search.Search(like(items[0].id, filters=filters)).results


def long_names(client):
    """Requests that name something with a very long name."""
    query, edit = like("blazer-01").query, v1.Manipulation(attribute="category", label=LONG)
    weights = v1.Weights(by_head={f"{number}{LONG}": 1 for number in range(100)})
    filters = [v1.LabelFilter(attribute=LONG, labels=[LONG])]
    return {
        "item": lambda: client.catalog.GetItem(v1.GetItemRequest(id=LONG)),
        "query": lambda: client.search.Search(like(LONG)),
        "label": lambda: client.search.Search(v1.SearchRequest(query=query, k=1, manipulations=[edit])),
        "filter": lambda: client.search.Search(v1.SearchRequest(query=query, k=1, filters=filters)),
        "weights": lambda: client.search.Search(v1.SearchRequest(query=query, k=1, weights=weights)),
        "picks": lambda: client.feedback.Personalise(v1.PersonaliseRequest(picked_ids=[LONG, LONG + "2"])),
        "profile": lambda: client.feedback.SaveProfile(v1.SaveProfileRequest(name=LONG, weights={LONG: 1})),
        "no profile": lambda: client.feedback.GetProfile(v1.GetProfileRequest(name=LONG)),
        "request id": lambda: client.catalog.DeleteItems(v1.DeleteItemsRequest(ids=["x"], request_id=LONG)),
        "head": lambda: client.heads.GetHead(v1.GetHeadRequest(name=LONG)),
        "watched": lambda: list(client.heads.WatchHead(v1.WatchHeadRequest(name=LONG))),
        "attribute": lambda: client.heads.ListLabels(v1.ListLabelsRequest(attribute=LONG)),
        "backbone": lambda: client.generations.DropGeneration(v1.DropGenerationRequest(backbone=LONG)),
    }


@pytest.mark.parametrize("named", long_names(None))
def test_errors_about_long_names_are_readable(client, named):
    with pytest.raises(grpc.RpcError) as raised:
        long_names(client)[named]()
    error = raised.value
    assert error.code() in (INVALID, NOT_FOUND) and reason(error), error
    # Clients refuse headers of more than 8 to 16 KiB in all.
    assert error.details() and len(error.details().encode()) < 1500


def test_results_about_long_names_are_readable(client):
    results = client.catalog.UpsertItems(iter([v1.UpsertItemsRequest(id=LONG)])).results
    assert results[0].error.reason == "INVALID_FIELD"


def test_an_unknown_method_is_told_as_such(client):
    nothing = client.channel.unary_unary("/lapel.v1.SearchService/Nothing", lambda _: b"", lambda _: None)
    refused(lambda: nothing(None), grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")


def test_a_message_that_is_none_is_refused(client):
    search = client.channel.unary_unary("/lapel.v1.SearchService/Search", lambda _: b"\xff" * 9, lambda _: None)
    with pytest.raises(grpc.RpcError) as raised:
        search(None)
    assert raised.value.code() == INVALID and "decode" in raised.value.details()
    assert client.catalog.CatalogStats(v1.CatalogStatsRequest()).items


def test_requests_carry_their_callers_id(client):
    told = [("x-request-id", "order-17")]
    _, call = client.catalog.CatalogStats.with_call(v1.CatalogStatsRequest(), metadata=told)
    assert ("x-request-id", "order-17") in call.initial_metadata()


def test_a_repeated_id_for_another_request_is_refused(client):
    first = v1.DeleteItemsRequest(ids=["nothing"], request_id="twice")
    client.catalog.DeleteItems(first)
    other = v1.DeleteItemsRequest(ids=["something"], request_id="twice")
    refused(lambda: client.catalog.DeleteItems(other), INVALID, "REQUEST_ID_REUSED")
