"""FeedbackService: picks become weights, weights become profiles."""

import grpc
import pytest
from protocol import like, v1
from refusals import refused


@pytest.fixture
def profile(client):
    """A profile of the test's own."""
    request = v1.SaveProfileRequest(name="own", weights={"color": 3.0, "category": 1.0}, picked_ids=["a", "b"])
    yield client.feedback.SaveProfile(request).profile
    client.feedback.DeleteProfile(v1.DeleteProfileRequest(name="own"))


def test_picks_become_weights_and_results(client, items):
    picked = [item.id for item in items[:3]]
    answer = client.feedback.Personalise(v1.PersonaliseRequest(picked_ids=picked, k=4, exclude_ids=picked))
    assert sum(answer.weights.values()) == pytest.approx(len(answer.weights))
    assert len(answer.results) == 4 and not {result.item_id for result in answer.results} & set(picked)


def test_a_profile_is_saved_used_and_listed(client, items, profile):
    assert (profile.version, list(profile.picked_ids)) == (1, ["a", "b"])
    found = client.feedback.GetProfile(v1.GetProfileRequest(name="own")).profile
    assert found == profile
    listed = client.feedback.ListProfiles(v1.ListProfilesRequest()).profiles
    assert [one.name for one in listed] == ["own"]
    weights = client.search.Search(like(items[0].id, profile="own")).head_weights
    assert {one.head: one.given_weight for one in weights if one.HasField("given_weight")} == dict(profile.weights)


def test_an_undo_goes_back_once(client, profile):
    client.feedback.SaveProfile(v1.SaveProfileRequest(name="own", weights={"fit": 1.0}))
    undo = v1.UndoProfileRequest(name="own", version=2)
    undone = client.feedback.UndoProfile(undo).profile
    assert (undone.version, undone.weights) == (3, profile.weights)
    with pytest.raises(grpc.RpcError) as again:
        client.feedback.UndoProfile(undo)
    assert again.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_a_deleted_profile_is_gone(client):
    client.feedback.SaveProfile(v1.SaveProfileRequest(name="brief", weights={"fit": 1.0}))
    client.feedback.DeleteProfile(v1.DeleteProfileRequest(name="brief"))
    read = v1.GetProfileRequest(name="brief")
    refused(lambda: client.feedback.GetProfile(read), grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
