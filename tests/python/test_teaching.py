"""HeadService: a head taught from photos, what to label next, two versions beside each other, and their bundles."""

import hashlib
import itertools

import grpc
import pytest
from photos import wardrobe
from protocol import v1
from refusals import refused

#: What is worn over something, and what on the legs.
LAYERS = {"coat": "over", "jacket": "over", "trouser": "bottom", "jean": "bottom"}
#: Photos of each label that teach.
EXAMPLES = 10
NOT_FOUND = grpc.StatusCode.NOT_FOUND, "NOT_FOUND"
INVALID = grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"


def layer(item):
    """The label of a garment, of those that have one."""
    return LAYERS.get(item.labels["category"])


def photo(item):
    return v1.TaughtExample(label=layer(item), image=item.image)


def teach(client, examples, **fields):
    """Has a head taught; gives what was said on the way, and what came of it."""
    request = v1.TeachRequest(name="layer", examples=v1.TaughtExamples(examples=examples), **fields)
    *told, last = client.heads.Teach(request)
    assert last.WhichOneof("event") == "taught" and {one.WhichOneof("event") for one in told} == {"progress"}
    return [one.progress for one in told], last.taught


def settled(client, version):
    return list(client.heads.WatchHead(v1.WatchHeadRequest(name="layer", version=version)))[-1].head


@pytest.fixture(scope="module")
def examples():
    """As many photos of each label."""
    garments = sorted((item for item in wardrobe(1) if layer(item)), key=layer)
    return [photo(item) for _, same in itertools.groupby(garments, layer) for item in list(same)[:EXAMPLES]]


@pytest.fixture
def taught(client, examples):
    """A head that serves, with what was said while it was taught."""
    progress, taught = teach(client, examples)
    assert settled(client, taught.head.version).state == v1.HEAD_STATE_ACTIVE
    yield progress, taught
    client.heads.RetireHead(v1.RetireHeadRequest(name="layer"))


def test_photos_teach_and_the_stream_tells_how_far_it_is(client, items, examples, taught):
    progress, taught = taught
    steps = [one.step for one in progress]
    assert steps == sorted(steps) and v1.TEACH_STEP_LOOKING in steps, "one step after the other"
    done = [one.examples_done for one in progress]
    assert done == sorted(done) and progress[-1].examples_total == len(examples)
    worth = taught.worth
    assert (worth.examples, worth.majority, worth.has_signal) == (2 * EXAMPLES, 0.5, True)
    assert worth.accuracy.low <= worth.accuracy.value <= worth.accuracy.high
    assert {one.label: one.examples for one in worth.labels} == {"bottom": EXAMPLES, "over": EXAMPLES}
    assert all(sum(one.told.values()) == one.examples for one in worth.labels)
    assert not taught.held_because and not taught.left_out
    coat = next(item for item in items if item.labels["category"] == "coat")
    seen = client.search.Describe(v1.DescribeRequest(item_id=coat.id)).attributes
    assert "layer" in {one.attribute for one in seen}


def test_nothing_is_registered_where_only_the_worth_is_asked_for(client, examples):
    def versions():
        heads = client.heads.ListHeads(v1.ListHeadsRequest(page_size=1000)).heads
        return [head.version for head in heads if head.name == "layer"]

    before = versions()
    _, taught = teach(client, examples, dry_run=True)
    assert taught.worth.examples == len(examples) and not taught.HasField("head")
    assert versions() == before


def test_items_to_label_next_are_named(client, items, taught):
    answer = client.heads.SuggestExamples(v1.SuggestExamplesRequest(name="layer", count=5))
    ids = [one.item_id for one in answer.examples]
    assert len(set(ids)) == 5 and set(ids) <= {item.id for item in items}
    assert all({one.label, one.other} == {"over", "bottom"} and one.probability >= 0.5 for one in answer.examples)
    again = v1.SuggestExamplesRequest(name="layer", count=5, exclude_ids=ids)
    assert not set(ids) & {one.item_id for one in client.heads.SuggestExamples(again).examples}


def test_versions_are_compared_and_a_bundle_is_sent_as_it_was_registered(client, items, examples, taught):
    labelled = [item for item in items if layer(item)]
    mask = {"paths": ["labels.layer"]}
    client.store(*(v1.UpsertItemsRequest(id=i.id, labels={"layer": layer(i)}, update_mask=mask) for i in labelled))
    _, second = teach(client, examples[2:-2], update=True, hold=True)
    assert settled(client, second.head.version).state == v1.HEAD_STATE_STANDBY
    (compared,) = client.heads.CompareHeads(v1.CompareHeadsRequest(name="layer")).attributes
    assert compared.attribute == "layer"
    assert compared.worth.examples == compared.other_worth.examples == len(labelled)
    right = round(compared.worth.accuracy.value * len(labelled))
    other_right = round(compared.other_worth.accuracy.value * len(labelled))
    assert right - other_right == compared.gained - compared.lost
    first, *rest = client.heads.DownloadHead(v1.DownloadHeadRequest(name="layer", version=second.head.version))
    bundle = b"".join(one.chunk for one in [first, *rest])
    assert first.head.version == second.head.version and not any(one.HasField("head") for one in rest)
    assert hashlib.sha256(bundle).hexdigest() == first.head.bundle_sha256
    client.store(*(v1.UpsertItemsRequest(id=item.id, update_mask=mask) for item in labelled))


def test_what_cannot_be_taught_is_told(client, examples):
    one_label = [example for example in examples if example.label == "over"]
    refused(lambda: teach(client, one_label), *INVALID)
    turned = v1.TaughtExample(label="bottom", image=one_label[0].image)
    refused(lambda: teach(client, [*examples, turned]), *INVALID)
    gone = v1.TaughtExample(label="over", item_id="nowhere")
    refused(lambda: teach(client, [*examples, gone]), *NOT_FOUND)


def test_labels_are_changed_without_training(client, items, taught):
    coat = next(item for item in items if item.labels["category"] == "coat")

    def seen():
        answer = client.search.Describe(v1.DescribeRequest(item_id=coat.id, labels_max=9))
        (found,) = [one for one in answer.attributes if one.attribute == "layer"]
        return {one.label: one.probability for one in found.labels}

    before = seen()
    rename = v1.LabelChange(rename=v1.LabelRename(**{"from": "over", "to": "outer"}))
    changed = client.heads.ChangeLabels(v1.ChangeLabelsRequest(attribute="layer", changes=[rename]))
    assert [(one.label, one.new_label) for one in changed.labels] == [("over", "outer")]
    assert settled(client, changed.head.version).state == v1.HEAD_STATE_ACTIVE
    assert seen() == pytest.approx({"outer": before["over"], "bottom": before["bottom"]}, abs=1e-3)
    unknown = v1.ChangeLabelsRequest(attribute="layer", changes=[v1.LabelChange(retire="over")])
    refused(lambda: client.heads.ChangeLabels(unknown), *INVALID)
    client.heads.RollbackHead(v1.RollbackHeadRequest(name="layer"))
    assert seen() == pytest.approx(before, abs=1e-3)
