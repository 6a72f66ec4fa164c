"""SearchService: what is attainable of edits, and the edits that lead somewhere."""

import grpc
import photos
import pytest
from protocol import like, v1
from refusals import refused


def _carrying(items, wanted):
    """How many items carry all labels, given by attribute."""
    return sum(all(item.labels.get(name) == label for name, label in wanted.items()) for item in items)


def _edits(**wanted):
    return [v1.Manipulation(attribute=name, label=label) for name, label in wanted.items()]


def test_edits_of_a_photo_are_suggested(client, items):
    answer = client.search.Suggest(v1.SuggestRequest(query=v1.Query(image=photos.DRESS)))
    assert dict(answer.kept) == {"category": "dress"}
    assert 0 < len(answer.suggestions) <= 20
    distances = [one.best_distance for one in answer.suggestions]
    assert distances == sorted(distances)
    by_id = {item.id: item for item in items}
    for one in answer.suggestions:
        edit = one.manipulation
        wanted = {**answer.kept, edit.attribute: edit.label}
        assert one.items == _carrying(items, wanted) > 0
        assert _carrying([by_id[one.best_item_id]], wanted) == 1


def test_a_suggested_edit_is_attainable(client, items):
    query = v1.Query(item_id=items[0].id)
    for one in client.search.Suggest(v1.SuggestRequest(query=query, suggestions_max=3)).suggestions:
        answer = client.search.Search(like(items[0].id, manipulations=[one.manipulation]))
        assert answer.attainability.items >= one.items
        assert not answer.attainability.changes


def test_what_is_not_attainable_is_told_with_what_is(client, items):
    colors, patterns = (
        sorted({item.labels[name] for item in items if name in item.labels}) for name in ("color", "pattern")
    )
    pairs = ({"color": color, "pattern": pattern} for color in colors for pattern in patterns)
    wanted = next((pair for pair in pairs if _carrying(items, pair) == 0), None)
    assert wanted is not None, "the catalogue has every pattern in every color"
    reached = client.search.Search(like(items[0].id, manipulations=_edits(**wanted))).attainability
    assert reached.items == 0 and reached.changes
    for change in reached.changes:
        given_up = {edit.attribute for edit in change.given_up}
        left = {name: label for name, label in wanted.items() if name not in given_up}
        if change.HasField("replaced"):
            left[change.replaced.attribute] = change.replacement
        assert change.items == _carrying(items, left) > 0


def test_without_edits_nothing_is_told(client, items):
    assert not client.search.Search(like(items[0].id)).HasField("attainability")


@pytest.mark.parametrize(
    "fields, code, why",
    [
        ({"keep": ["colour"]}, grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        ({"suggestions_max": 1_000_000}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"query": None}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    ],
)
def test_a_suggestion_that_is_none_is_refused(client, items, fields, code, why):
    request = v1.SuggestRequest(**{"query": v1.Query(item_id=items[0].id), **fields})
    refused(lambda: client.search.Suggest(request), code, why)
