"""Heads: taught, registered, watched, compared, changed; generations; backups."""

import hashlib
import io

import pytest
from shop import DRESS, ROOT

import lapel

SEASON = ROOT / "examples/heads/season.safetensors"
BUNDLES = ROOT / "heads/bundles"


@pytest.fixture
def gone(client):
    """Heads that are retired after the test."""
    names = []
    yield names
    for name in names:
        client.heads.retire(name)


def examples(wardrobe, count):
    """Ids of items by one of two labels."""
    ids = {"dark": [], "light": []}
    for item in wardrobe:
        label = "dark" if item.labels.get("color") in ("black", "navy", "blue", "brown", "gray", "grey") else "light"
        ids[label].append(item.id)
    return {label: some[:count] for label, some in ids.items()}


def test_a_head_is_taught_and_taught_again(client, gone, wardrobe):
    shown = examples(wardrobe, 6)
    steps = []
    dry = client.heads.teach("tone", items=shown, dry_run=True, on_progress=steps.append)
    assert not dry.HasField("head") and dry.worth.examples == sum(map(len, shown.values())) and steps
    taught = client.heads.teach("tone", items=shown, images={"light": [DRESS]}, insist=True)
    gone.append("tone")
    seen = []
    assert client.heads.wait("tone", on_progress=seen.append).state == lapel.v1.HEAD_STATE_ACTIVE and seen
    # Versions count on where a head of the name was retired.
    first = taught.head.version
    assert client.heads.get("tone").attributes == ["tone"]
    assert {one.item_id for one in client.heads.suggest_examples("tone", count=3).examples}
    client.heads.teach("tone", label_attribute="collar", update=True, hold=True, insist=True)
    assert client.heads.wait("tone", version=first + 1).state == lapel.v1.HEAD_STATE_STANDBY
    assert client.heads.promote("tone").version == first + 1
    assert client.heads.rollback("tone").version == first
    assert [head.version for head in client.heads.list(page_size=1) if head.name == "tone"][-2:] == [first, first + 1]


def test_where_examples_come_from_is_told_once(client):
    for wrong in ({}, {"items": {"a": ["b"]}, "field": "tags"}):
        with pytest.raises(TypeError, match="one of them"):
            client.heads.teach("tone", **wrong)


def test_a_bundle_is_registered_compared_and_downloaded(client, gone, own):
    own.append("worn")
    client.items.upsert([lapel.NewItem(id="worn", image=DRESS, labels={"season": "summer"})])
    head = client.heads.register(SEASON)
    gone.append("season")
    assert head.bundle_sha256 == hashlib.sha256(SEASON.read_bytes()).hexdigest()
    assert [one.state for one in client.heads.watch("season")][-1] == lapel.v1.HEAD_STATE_ACTIVE
    assert client.heads.download("season") == SEASON.read_bytes()
    assert {one.name for one in client.heads.list(state=lapel.v1.HEAD_STATE_ACTIVE)} >= {"season", "color"}
    assert client.heads.backbone() == head.backbone
    (labels,) = client.heads.labels("season")
    assert "summer" in [one.label for one in labels.labels]
    rename = lapel.v1.LabelRename(**{"from": "all-year", "to": "always"})
    changed = client.heads.change_labels("season", [lapel.v1.LabelChange(rename=rename)], hold=True)
    second = changed.head.version
    assert second == head.version + 1
    client.heads.wait("season", version=second)
    assert (
        client.heads.compare("season", version=second, other_version=head.version).attributes[0].attribute == "season"
    )
    with pytest.raises(lapel.FailedPreconditionError):
        client.heads.cancel("season")
    assert client.heads.retire("season", version=second).version == second


def test_an_unsound_bundle_is_refused(client):
    content = SEASON.read_bytes()
    with pytest.raises(lapel.InvalidArgumentError) as raised:
        client.heads.register(content[:-1] + bytes([content[-1] ^ 1]))
    assert raised.value.reason == "UNSOUND_BUNDLE"


def test_a_signature_lies_beside_its_bundle(tmp_path):
    (tmp_path / "a").write_bytes(b"bundle")
    (tmp_path / "a.sig").write_bytes(b"signature")
    assert lapel.bundle_file.read_bundle(tmp_path / "a") == (b"bundle", b"signature")


def test_generations(client):
    (serving,) = client.generations.list().generations
    heads = [BUNDLES / "color.safetensors"]
    # The same backbone with other heads is no other generation.
    with pytest.raises(lapel.AlreadyExistsError):
        client.generations.build(BUNDLES / "backbone.safetensors", BUNDLES / "extract_parts.safetensors", heads)
    assert [one.backbone for one in client.generations.watch(serving.backbone)][-1] == serving.backbone
    assert client.generations.switch(serving.backbone).backbone == serving.backbone
    with pytest.raises(lapel.FailedPreconditionError):
        client.generations.drop(serving.backbone)


def test_the_server_says_what_it_does(client):
    client.items.stats()
    status = client.status()
    assert status.healthy and any(method.method.endswith("/CatalogStats") for method in status.methods)


def test_a_backup_is_whole(client):
    file, seen = io.BytesIO(b"before"), []
    file.seek(0, io.SEEK_END)
    assert client.backup(file, on_progress=seen.append) == 0
    assert seen[-1] == len(file.getvalue()) - len(b"before") and file.getvalue().startswith(b"before")


def test_words_want_a_model_that_reads_them(client):
    with pytest.raises(lapel.FailedPreconditionError) as raised:
        client.heads.teach("occasion", words={"everyday": ["a casual outfit"], "party": []})
    assert raised.value.reason == "NO_TEXT_TOWER"
    with pytest.raises(TypeError, match="words"):
        client.heads.teach("occasion")
