"""Describe, search, suggest and picks, with pictures in every form."""

import io
import random

import numpy as np
import pytest
from PIL import Image
from shop import DRESS

import lapel
from lapel import filters


def test_a_photo_is_described_whatever_form_it_has(client):
    picture = Image.open(DRESS)
    forms = [DRESS, str(DRESS), DRESS.read_bytes(), picture, np.asarray(picture.convert("RGB"))]
    seen = [client.describe(form, labels_max=1).attributes for form in forms]
    (category,) = {one.labels[0].label for answer in seen for one in answer if one.attribute == "category"}
    assert category == "dress"


def test_pictures_keep_what_they_are(tmp_path):
    for mode in ("RGB", "RGBA", "L"):
        picture = Image.effect_noise((40, 30), 90).convert(mode)
        for form in (picture, np.asarray(picture)):
            again = Image.open(io.BytesIO(lapel.images.encode(form)))
            assert again.mode == mode and np.array_equal(np.asarray(again), np.asarray(picture))
    palette = Image.effect_noise((8, 8), 90).convert("P")
    assert Image.open(io.BytesIO(lapel.images.encode(palette))).mode == "RGBA"
    turned = Image.new("RGB", (4, 2))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert Image.open(io.BytesIO(lapel.images.encode(Image.open(tmp_path / "turned.jpg")))).getexif()[0x0112] == 6
    large = Image.frombytes("RGB", (1800, 1600), random.Random(7).randbytes(3 * 1800 * 1600))
    assert Image.open(io.BytesIO(lapel.images.encode(large))).format == "JPEG"


@pytest.mark.parametrize("wrong", [np.zeros((3, 3)), np.zeros((2, 2, 2), np.uint8), np.zeros((0, 2, 3), np.uint8)])
def test_an_array_that_is_no_picture_is_refused(wrong):
    with pytest.raises(ValueError, match="is wanted"):
        lapel.images.encode(wrong)


def test_a_search_takes_edits_weights_and_filters(client, wardrobe):
    answer = client.search(
        image=DRESS,
        manipulations={"sleeve_length": "short"},
        weights={"color": 2.0},
        filter=filters.between("price", at_most=30.0),
        show_fields=["price"],
        facets=["category", lapel.v1.FacetRequest(field="in_stock")],
        explain=True,
        k=5,
    )
    assert 0 < len(answer.results) <= 5 and answer.manipulations[0].label == "short"
    assert {one.head: one.given_weight for one in answer.head_weights}["color"] == 2.0
    assert all(lapel.python_values(one.fields)["price"] <= 30 for one in answer.results)
    assert answer.results[0].explanation.terms and len(answer.facets) == 2


def test_what_is_near_is_found_by_signatures_too(client, wardrobe):
    item_id = wardrobe[0].id
    signatures = lapel.arrays(client.describe(item_id=item_id, include_signatures=True).signatures)
    (best,) = client.search(signatures=signatures, k=1).results
    assert best.item_id == item_id and best.distance == pytest.approx(0, abs=1e-3)


def test_options_that_are_messages_or_plain_values(client, wardrobe):
    like = {"item_id": wardrobe[0].id}
    groups = client.search(**like, group_by="in_stock").groups
    assert {lapel.python_value(group.value) for group in groups} == {True, False}
    assert client.search(**like, group_by=lapel.v1.Grouping(field="in_stock", results_max=2)).groups[0].results[1]
    assert client.search(**like, diversity=0.5, k=3).results
    only = client.search(**like, weights={"color": 1}, only_named=True)
    assert dict(only.weights) == {"color": 1.0}
    assert not client.search(**like, distance_max=0, exclude_ids=[wardrobe[0].id]).results


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "exactly one of image, item_id and signatures"),
        ({"item_id": "a", "image": b"b"}, "exactly one"),
        ({"item_id": "a", "weights": {"color": 1}, "profile": "b"}, "not both"),
        ({"item_id": "a", "only_named": True}, "only_named"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(options, told):
    with pytest.raises(TypeError, match=told):
        lapel.search_request(**options)


def test_pages_follow_one_another(client, wardrobe):
    pages = client.search_pages(lapel.search_request(item_id=wardrobe[0].id, k=12))
    ids = [result.item_id for page in pages for result in page.results]
    assert len(ids) == len(set(ids)) == len(wardrobe)


def test_a_batch_has_an_outcome_for_each_search(client, wardrobe):
    requests = [lapel.search_request(item_id=item_id, k=1) for item_id in (wardrobe[0].id, "nobody")]
    found, missing = client.search_batch(requests)
    assert found.results[0].item_id == wardrobe[0].id
    assert isinstance(missing, lapel.NotFoundError) and missing.reason == "NOT_FOUND"


def test_suggestions_lead_somewhere(client, wardrobe):
    best = client.suggest(item_id=wardrobe[0].id, keep=["pattern"], suggestions_max=3)
    assert best.suggestions and all(one.items for one in best.suggestions)


def test_picks_become_weights_and_a_profile(client, wardrobe):
    ids = [item.id for item in wardrobe]
    learnt = client.personalise(ids[:3], unwanted_ids=ids[3:4], item_id=ids[5], k=4)
    assert len(learnt.results) == 4 and learnt.weights
    profile = client.profiles.save("anna", dict(learnt.weights), picked_ids=ids[:3])
    assert profile.version == 1 and client.profiles.get("anna").picked_ids == ids[:3]
    assert client.search(item_id=ids[0], profile="anna").results
    assert client.profiles.save("anna", {"color": 1}).version == 2
    assert dict(client.profiles.undo("anna", version=2).weights) == dict(profile.weights)
    assert [one.name for one in client.profiles.list(page_size=1)] == ["anna"]
    client.profiles.delete("anna")
    with pytest.raises(lapel.NotFoundError):
        client.profiles.get("anna")


def test_raw_stubs_are_reachable(shop):
    with lapel.Client(shop.address, token="") as client:
        assert client.stubs.heads.ListHeads(lapel.v1.ListHeadsRequest(), timeout=10).heads
