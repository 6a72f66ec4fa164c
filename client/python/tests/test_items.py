"""Items: uploaded in every way, read, changed, counted, exported, deleted."""

import json
import os
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image
from shop import DRESS

import lapel
from lapel import filters


def test_an_item_is_what_was_sent(client, own, wardrobe):
    own.append("new")
    moment = datetime(2026, 11, 30, 12, tzinfo=UTC)
    fields = {"price": 5.0, "in_stock": True, "tags": ["b", "a"], "sold": 3, "brand": "Ä", "since": moment}
    back = np.asarray(Image.open(DRESS).convert("L"))
    new = lapel.NewItem(id="new", image=DRESS, more_images=[back], labels={"color": "pink"}, fields=fields)
    report = client.items.upsert([new])
    assert (report.stored, report.results[0].replaced) == (1, False)
    item = client.items.get("new")
    assert dict(item.labels) == {"color": "pink"} and item.images == 2
    found = lapel.python_values(item.fields)
    assert {**found, "tags": set(found["tags"])} == {**fields, "tags": {"a", "b"}}
    image = client.items.image("new")
    assert (image.data, image.content_type) == (DRESS.read_bytes(), "image/jpeg")
    assert client.items.image("new", picture=1).content_type == "image/png"


def test_parts_of_an_item_are_changed(client, own):
    own.append("part")
    client.items.upsert([lapel.NewItem(id="part", image=DRESS, labels={"color": "pink", "fit": "loose"})])
    update = lapel.ItemUpdate(id="part", labels={"color": "red", "fit": None}, fields={"price": 7.0})
    assert client.items.upsert([update]).results[0].replaced
    item = client.items.get("part")
    assert dict(item.labels) == {"color": "red"} and item.has_image
    assert lapel.python_values(item.fields) == {"price": 7.0}
    client.items.upsert([lapel.ItemUpdate(id="part", fields={"price": None})])
    assert not client.items.get("part").fields
    keeping = lapel.NewItem(id="part", labels={"fit": "loose"}, keep_others=True)
    client.items.upsert([keeping])
    assert dict(client.items.get("part").labels) == {"color": "red", "fit": "loose"}


def test_what_is_refused_does_not_touch_others(client, own, tmp_path):
    own.append("good")
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    items = [
        lapel.NewItem(id="bad", image=tmp_path / "bad.jpg"),
        lapel.NewItem(id="gone", image=tmp_path / "gone.jpg"),
        lapel.NewItem(id="good", image=DRESS),
        lapel.NewItem(id="good", image=DRESS),
        lapel.ItemUpdate(id="nobody", labels={"color": "red"}),
    ]
    report = client.items.upsert(items)
    assert report.stored == 1 and len(report.results) == 5
    refused = {one.id: one.error for one in report.refused}
    assert isinstance(refused["bad"], lapel.InvalidArgumentError) and refused["bad"].reason
    assert refused["gone"].reason == refused["good"].reason == "NOT_SENT"
    assert isinstance(refused["nobody"], lapel.NotFoundError)


def test_an_upload_goes_on_by_its_report(client, own, tmp_path):
    own += ["one", "two", "three"]
    new = [lapel.NewItem(id=item_id, image=DRESS) for item_id in own]
    file = tmp_path / "report.jsonl"
    client.items.upsert(new[:2], report=file)
    # A line that was cut off when the program ended.
    file.write_text(file.read_text() + '{"id":"thr')
    seen = []
    report = client.items.upsert(iter(new), report=file, on_progress=seen.append)
    assert (report.skipped, report.stored) == (2, 1)
    assert (seen[-1].done, seen[-1].total, seen[-1].refused) == (3, None, 0) and seen[-1].items_per_second > 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(line["id"] for line in lines if line["stored"]) == sorted(own)
    (tmp_path / "other").write_text("no report\n")
    with pytest.raises(ValueError, match="line 1"):
        client.items.upsert(new, report=tmp_path / "other")
    assert (tmp_path / "other").read_text() == "no report\n"


def test_many_items_go_by_several_streams(client, own):
    own += [f"many-{number:04}" for number in range(1200)]
    signature = {"color": np.eye(1, client_dim(client, "color"))[0]}
    made = (lapel.NewItem(id=item_id, signatures=signature) for item_id in own)
    report = client.items.upsert(made, parallel=3)
    assert report.stored == len(own) and sorted(one.id for one in report.results) == own
    assert client.items.count(filters.has_label("color", False)).items >= len(own)


def client_dim(client, head):
    """Numbers of a head's signature."""
    return client.heads.get(head).dim


def test_items_are_listed_and_counted(client, wardrobe):
    dresses = {item.id for item in wardrobe if item.labels.get("category") == "dress"}
    filter = filters.all_of(filters.label("category", "dress"), filters.none_of(filters.has_label("category", False)))
    assert {item.id for item in client.items.list(filter, page_size=2)} == dresses
    answer = client.items.count(filter, facets=["category", lapel.v1.FacetRequest(field="tags")])
    assert (answer.items, answer.items_total) == (len(dresses), len(wardrobe))
    assert answer.facets[0].counts[0].value == "dress"
    stats = client.items.stats()
    assert stats.items == len(wardrobe) and stats.labels["category"].counts["dress"] == len(dresses)


def test_filters_of_every_kind(client, wardrobe):
    count = len(wardrobe)
    for filter, items in [
        (filters.field("in_stock", True), count // 2),
        (filters.field("tags", "shelf-0", "shelf-1", "shelf-2"), count),
        (filters.has_field("price"), count),
        (filters.between("price", above=10.0, below=13.0), 2),
        (filters.any_of(filters.between("price", at_least=10.0, at_most=11.0), filters.field("price", 12.0)), 3),
        (filters.label("category", "spacesuit", allow_unknown=True), 0),
        (filters.ids(wardrobe[0].id, wardrobe[1].id, "nothing"), 2),
    ]:
        assert client.items.count(filter).items == items, filter
    assert client.items.count(filters.predicted("category", "dress", probability_min=0.2)).items
    with pytest.raises(ValueError, match="one of"):
        filters.between("price", above=1, at_least=1)


def test_an_export_has_everything(client, wardrobe):
    exported = list(client.items.export())
    assert [one.item.id for one in exported] == sorted(item.id for item in wardrobe)
    by_id = {one.item.id: one for one in exported}
    for item in wardrobe:
        one = by_id[item.id]
        assert one.images[0].data == item.image.read_bytes() and one.image_error is None
        assert np.linalg.norm(one.signatures["color"]) == pytest.approx(1, abs=1e-3)
    after = exported[4].item.id
    assert next(client.items.export(after=after, images=False)).item.id == exported[5].item.id


def test_the_catalogue_becomes_arrays(client, own, wardrobe):
    own.append("~bare")
    client.items.upsert([lapel.NewItem(id="~bare", labels={"color": "red"}, signatures={"fit": unit(client, "fit")})])
    catalog = client.items.to_numpy()
    assert list(catalog.ids) == sorted([item.id for item in wardrobe] + ["~bare"])
    color = catalog.signatures["color"]
    assert color.dtype == np.float32 and np.isnan(color[-1]).all() and np.isfinite(color[:-1]).all()
    assert catalog.labels["color"][-1] == "red" and catalog.labels["category"][-1] == ""


def unit(client, head):
    """A signature."""
    return np.eye(1, client_dim(client, head))[0]


def test_items_are_deleted(client):
    client.items.upsert([lapel.NewItem(id=f"old-{n}", image=DRESS, fields={"season": "2019"}) for n in range(2)])
    old = filters.field("season", "2019")
    found = client.items.delete_by_filter(old, dry_run=True)
    assert (found.items, list(found.first_ids)) == (2, ["old-0", "old-1"])
    with pytest.raises(lapel.FailedPreconditionError) as raised:
        client.items.delete_by_filter(old, expected_items=1)
    assert raised.value.reason == "COUNT_DIFFERS"
    assert client.items.delete(["old-0", "never"]).not_found == ["never"]
    assert client.items.delete_by_filter(old).items == 1


def test_an_item_that_cannot_be_sent_fails_alone(client, own, tmp_path):
    own += ["first", "last"]
    named = os.fsdecode(b"caf\xe9")
    odd = [lapel.NewItem(id=named, image=DRESS), lapel.NewItem(id="odd", signatures=[1, 2])]
    new = [lapel.NewItem(id="first", image=DRESS), *odd, lapel.NewItem(id="last", image=DRESS)]
    report = client.items.upsert(new, report=tmp_path / "report.jsonl")
    assert report.stored == 2 and {one.id for one in report.refused} == {named, "odd"}
    assert {one.error.reason for one in report.refused} == {"NOT_SENT"}
    again = client.items.upsert(new, report=tmp_path / "report.jsonl")
    assert (again.skipped, len(again.refused)) == (2, 2)
    foreign = tmp_path / "settings.json"
    foreign.write_text('{"my":"settings"}')
    with pytest.raises(ValueError, match="not a report"):
        client.items.upsert(new, report=foreign)
    assert foreign.read_text() == '{"my":"settings"}'


def test_values_of_numpy_are_values(client, own):
    own.append("typed")
    fields = {"in_stock": np.True_, "price": np.float64(12.5)}
    assert client.items.upsert([lapel.NewItem(id="typed", image=DRESS, fields=fields)]).stored == 1
    assert lapel.python_values(client.items.get("typed").fields) == {"in_stock": True, "price": 12.5}
    with pytest.raises(TypeError, match="takes texts"):
        lapel.NewItem(id="typed", fields={"tags": [1, 2]}).message()
