"""HeadService: heads registered, updated, rolled back and retired while the server serves."""

import bundles
import grpc
import pytest
from protocol import Client, like, v1
from refusals import refused


def settled(client, name):
    """Follows a head until nothing more happens to it."""
    return list(client.heads.WatchHead(v1.WatchHeadRequest(name=name)))[-1].head


@pytest.fixture(scope="module")
def season(server):
    """A head of these tests' own, with a network."""
    client = Client.of(server.address)
    bundles.register(client, bundles.SEASON)
    yield settled(client, "season")
    client.heads.RetireHead(v1.RetireHeadRequest(name="season"))
    client.close()


def test_a_head_is_registered_filled_and_searched_by(client, items, season):
    assert (season.state, season.backfill.items_done) == (v1.HEAD_STATE_ACTIVE, len(items))
    assert client.heads.GetHead(v1.GetHeadRequest(name="season")).head.bundle_sha256 == season.bundle_sha256
    labels = client.heads.ListLabels(v1.ListLabelsRequest(attribute="season")).attributes
    assert [label.label for label in labels[0].labels] == ["all-year", "summer", "winter"]
    edit = v1.Manipulation(attribute="season", label="winter")
    assert client.search.Search(like(items[0].id, manipulations=[edit])).manipulations[0].head == "season"


def test_an_update_is_promoted_and_rolled_back(client, items, season):
    bundles.register(client, bundles.with_weight(bundles.SEASON, 2.5), update=True, hold=True)
    assert settled(client, "season").state == v1.HEAD_STATE_STANDBY
    promoted = client.heads.PromoteHead(v1.PromoteHeadRequest(name="season")).head
    assert promoted.version > season.version and promoted.weight == 2.5
    weights = client.search.Search(like(items[0].id)).head_weights
    assert {one.head: one.own_weight for one in weights}["season"] == 2.5
    back = client.heads.RollbackHead(v1.RollbackHeadRequest(name="season")).head
    assert (back.version, back.state) == (season.version, v1.HEAD_STATE_ACTIVE)
    client.heads.RetireHead(v1.RetireHeadRequest(name="season", version=promoted.version))


def test_a_backfill_is_cancelled(client, season):
    bundles.register(client, bundles.with_weight(bundles.SEASON, 3.5), update=True)
    dropped = client.heads.CancelHead(v1.CancelHeadRequest(name="season")).head
    assert dropped.version > season.version and dropped.state == v1.HEAD_STATE_RETIRED
    assert client.heads.GetHead(v1.GetHeadRequest(name="season")).head.version == season.version


@pytest.fixture
def mood(client):
    """A head of the test's own, without a network."""
    yield bundles.register(client, bundles.external("mood", 2, ["calm", "loud"]))
    client.heads.RetireHead(v1.RetireHeadRequest(name="mood"))


def test_signatures_of_an_external_head_come_with_the_items(client, items, mood):
    assert (mood.kind, mood.state) == (v1.HEAD_KIND_EXTERNAL, v1.HEAD_STATE_ACTIVE)
    near, far = (item.id for item in items[:2])
    for item_id, values in ((near, [3.0, 4.0]), (far, [4.0, 3.0])):
        signature = v1.Signature(head="mood", values=values)
        client.store(v1.UpsertItemsRequest(id=item_id, signatures=[signature], signatures_only=True))
    query = v1.Query(signatures=v1.SignatureSet(signatures=[v1.Signature(head="mood", values=[0.6, 0.8])]))
    answer = client.search.Search(v1.SearchRequest(query=query, k=len(items), explain=True))
    terms = {result.item_id: result.explanation.terms[0] for result in answer.results}
    assert {item_id for item_id, term in terms.items() if not term.missing} == {near, far}
    # Both were scaled to unit length: (0.6, 0.8) and (0.8, 0.6).
    assert terms[near].distance == pytest.approx(0, abs=1e-6)
    assert terms[far].distance == pytest.approx(0.08**0.5, abs=1e-6)


def test_active_heads_are_listed_in_pages(client, season):
    listed, request = [], v1.ListHeadsRequest(state=v1.HEAD_STATE_ACTIVE, page_size=5)
    while True:
        page = client.heads.ListHeads(request)
        listed.append([head.name for head in page.heads])
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert listed == [
        ["category", "collar", "color", "fabric", "fastening"],
        ["fit", "length", "neckline", "pattern", "pocket"],
        ["season", "sleeve_length"],
    ]


def test_a_bundle_comes_in_one_message_too(client):
    bundle = bundles.external("tone", 2, ["warm", "cold"])
    tone = bundles.register_at_once(client, bundle, request_id="tone-1")
    assert (tone.name, tone.state) == ("tone", v1.HEAD_STATE_ACTIVE)
    assert bundles.register(client, bundle).version == tone.version, "it is there"
    assert bundles.register(client, bundle, request_id="tone-1").version == tone.version, "the same request"
    invalid = grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"
    refused(lambda: bundles.register_at_once(client, bundle, sha256="0" * 64), *invalid)
    client.heads.RetireHead(v1.RetireHeadRequest(name="tone"))


def test_labels_are_listed_in_pages(client):
    whole = client.heads.ListLabels(v1.ListLabelsRequest())
    assert not whole.next_page_token
    listed, request = [], v1.ListLabelsRequest(page_size=4)
    while True:
        page = client.heads.ListLabels(request)
        assert len(page.attributes) <= 4
        listed += page.attributes
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert listed == list(whole.attributes)


def test_a_changed_bundle_is_refused(client):
    changed = bundles.SEASON[:-1] + bytes([bundles.SEASON[-1] ^ 1])
    refused(lambda: bundles.register(client, changed), grpc.StatusCode.INVALID_ARGUMENT, "UNSOUND_BUNDLE")
