"""SearchService: what is in a photo, and what is like it."""

import math

import grpc
import photos
import pytest
from protocol import like, v1
from refusals import refused


def test_a_photo_is_described(client):
    answer = client.search.Describe(v1.DescribeRequest(image=photos.DRESS, include_signatures=True, labels_max=2))
    told = {one.attribute: one.labels[0].label for one in answer.attributes}
    assert told["category"] == "dress" and told["sleeve_length"] == "long"
    assert all(len(one.labels) == 2 for one in answer.attributes)
    assert {one.head for one in answer.signatures} >= {"category", "color"}


def test_an_item_is_described_with_its_own_labels(client, items):
    answer = client.search.Describe(v1.DescribeRequest(item_id=items[0].id))
    assert dict(answer.stored_labels) == dict(items[0].labels)


def test_an_edit_is_searched_for_and_explained(client):
    answer = client.search.Search(
        v1.SearchRequest(
            query=v1.Query(image=photos.DRESS),
            manipulations=[v1.Manipulation(attribute="sleeve_length", label="short")],
            k=5,
            explain=True,
        )
    )
    assert [effect.head for effect in answer.manipulations] == ["sleeve_length"]
    distances = [result.distance for result in answer.results]
    assert len(distances) == 5 and distances == sorted(distances)
    for result in answer.results:
        terms = sum(term.contribution for term in result.explanation.terms)
        assert result.distance == pytest.approx(terms)


def test_an_item_is_most_like_itself(client, items):
    answer = client.search.Search(like(items[3].id, exact=True))
    assert (answer.results[0].item_id, answer.results[0].distance) == (items[3].id, 0)


def test_one_search_of_a_batch_fails_alone(client, items):
    requests = [like(items[0].id), like("nothing"), like(items[1].id)]
    results = client.search.SearchBatch(v1.SearchBatchRequest(requests=requests)).results
    assert [result.WhichOneof("outcome") for result in results] == ["response", "error", "response"]
    assert results[1].error.reason == "NOT_FOUND"


def test_results_end_at_the_largest_distance(client, items):
    results = list(client.search.Search(like(items[0].id, k=10)).results)
    for most in (0, results[4].distance, results[-1].distance):
        near = client.search.Search(like(items[0].id, k=10, distance_max=most)).results
        assert list(near) == [result for result in results if result.distance <= most]


@pytest.mark.parametrize("most", [-1, math.nan, math.inf])
def test_a_largest_distance_that_is_none_is_refused(client, items, most):
    search = like(items[0].id, distance_max=most)
    refused(lambda: client.search.Search(search), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
