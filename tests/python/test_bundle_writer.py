"""client/python/src/lapel/bundle.py, as a file alone: heads trained with NumPy serve like any other, and compute what NumPy computes."""

import re
import subprocess

import bundle_writer
import bundles
import grpc
import numpy as np
import pytest
from lessons import INPUTS, PHOTOS_A_LABEL, TRAIN, softmax
from protocol import ROOT, v1
from refusals import refused

#: heads/src/head/tests.rs reads it.
GOLDEN = ROOT / "heads/testdata/from-python.safetensors"


def fitted(rows, labels, count):
    """Multinomial logistic regression, by gradient steps on scaled inputs: weights and biases of unscaled ones."""
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    # An input that never changes tells nothing.
    factor = np.where(deviation < 1e-6, 0, 1 / np.maximum(deviation, 1e-6)) / rows.shape[1] ** 0.5
    inputs, wanted = (rows - mean) * factor, np.eye(count)[labels]
    weight, bias = np.zeros((count, rows.shape[1])), np.zeros(count)
    for _ in range(500):
        error = (softmax(inputs @ weight.T + bias) - wanted) / len(rows)
        weight -= error.T @ inputs + 1e-3 * weight
        bias -= error.sum(axis=0)
    weight = weight * factor
    return weight, bias - weight @ mean


def test_features_are_the_numbers_of_the_backbone(client, lesson):
    assert lesson.rows.dtype == np.float32 and lesson.rows.shape == (len(lesson.labels), sum(INPUTS.values()))
    assert np.isfinite(lesson.rows).all() and lesson.rows.std(axis=0).max() > 0
    assert ", ".join(f"{name} {count}" for name, count in INPUTS.items()) in lesson.told
    assert client.heads.ListHeads(v1.ListHeadsRequest()).backbone in lesson.told


def test_a_photo_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    out = tmp_path / "features.npy"
    command = [TRAIN, "features", "--photos", tmp_path, "--out", out]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode != 0 and "broken.jpg" in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["broken.jpg"]


def test_a_head_of_numpy_serves_as_numpy_computes(client, lesson, tmp_path):
    labels = sorted(set(lesson.labels))
    numbers = np.array([labels.index(label) for label in lesson.labels])
    rows = lesson.rows.astype(float)
    weight, bias = fitted(rows, numbers, len(labels))
    temperature = 0.7
    probabilities = softmax((rows @ weight.T + bias) / temperature)
    assert (probabilities.argmax(axis=1) == numbers).all(), "it has learnt its photos"
    assert probabilities.max(axis=1).min() < 0.999, "and is not sure of all"
    roots = np.sqrt(probabilities)
    means = [roots[numbers == label].mean(axis=0) for label in range(len(labels))]
    file = tmp_path / "worn_on.safetensors"
    digest = bundle_writer.write_probabilities_head(
        file,
        name="worn_on",
        labels=labels,
        weight=weight,
        bias=bias,
        backbone=client.heads.ListHeads(v1.ListHeadsRequest()).backbone,
        inputs=list(INPUTS),
        temperature=temperature,
        prototypes=(means, np.bincount(numbers)),
        description=f"logistic regression on {len(rows)} photos",
    )
    bundle = file.read_bytes()
    changed = bundle[:-1] + bytes([bundle[-1] ^ 1])
    refused(lambda: bundles.register(client, changed), grpc.StatusCode.INVALID_ARGUMENT, "UNSOUND_BUNDLE")
    assert bundles.register(client, bundle).bundle_sha256 == digest
    try:
        _is_served(client, lesson, labels, probabilities)
    finally:
        client.heads.RetireHead(v1.RetireHeadRequest(name="worn_on"))


def _is_served(client, lesson, labels, probabilities):
    head = list(client.heads.WatchHead(v1.WatchHeadRequest(name="worn_on")))[-1].head
    assert head.state == v1.HEAD_STATE_ACTIVE
    (listed,) = client.heads.ListLabels(v1.ListLabelsRequest(attribute="worn_on")).attributes
    assert {one.label: one.prototype_count for one in listed.labels} == dict.fromkeys(labels, PHOTOS_A_LABEL)
    for image, wanted in zip(lesson.images, probabilities, strict=True):
        answer = client.search.Describe(v1.DescribeRequest(image=image, labels_max=len(labels)))
        (found,) = [one for one in answer.attributes if one.attribute == "worn_on"]
        found = {one.label: one.probability for one in found.labels}
        assert [found[label] for label in labels] == pytest.approx(list(wanted), abs=1e-3)


def test_an_external_head_is_written(client, tmp_path):
    file = tmp_path / "sound.safetensors"
    bundle_writer.write_external_head(file, name="sound", dim=3, attributes={"sound": ["loud", "süß"]})
    head = bundles.register(client, file.read_bytes())
    client.heads.RetireHead(v1.RetireHeadRequest(name="sound"))
    assert (head.kind, head.state, head.dim) == (v1.HEAD_KIND_EXTERNAL, v1.HEAD_STATE_ACTIVE, 3)


def test_an_external_head_brings_a_classifier(client, tmp_path):
    file = tmp_path / "sound.safetensors"
    labels = ["loud", "süß"]
    weight, bias = np.array([[2.0, 0.0, 0.5], [0.0, 3.0, -1.0]]), np.array([0.25, -0.25])
    bundle_writer.write_external_head(
        file, name="sound", dim=3, attributes={"sound": labels}, classifiers={"sound": (weight, bias)}
    )
    bundles.register(client, file.read_bytes())
    try:
        signature = v1.Signature(head="sound", values=[2, 4, 4])
        item = v1.UpsertItemsRequest(id="heard", signatures=[signature])
        (result,) = client.catalog.UpsertItems(iter([item])).results
        assert not result.HasField("error"), result
        answer = client.search.Describe(v1.DescribeRequest(item_id="heard", labels_max=2))
        (found,) = [one for one in answer.attributes if one.attribute == "sound"]
        found = {one.label: one.probability for one in found.labels}
        unit = np.array([2, 4, 4]) / 6
        (wanted,) = softmax((weight @ unit + bias)[None])
        assert [found[label] for label in labels] == pytest.approx(list(wanted), abs=1e-3)
    finally:
        client.catalog.DeleteItems(v1.DeleteItemsRequest(ids=["heard"]))
        client.heads.RetireHead(v1.RetireHeadRequest(name="sound"))


def test_what_no_server_would_take_is_not_written(tmp_path):
    file = tmp_path / "wrong.safetensors"
    sound = {"name": "a", "labels": ["b", "c"], "backbone": "d", "inputs": ["e"], "bias": [0, 0]}
    with pytest.raises(ValueError, match="do not fit 2 labels"):
        bundle_writer.write_probabilities_head(file, weight=[[1.0]], **sound)
    with pytest.raises(ValueError, match="not finite"):
        bundle_writer.write_probabilities_head(file, weight=[[1.0], [float("nan")]], **sound)
    for classifiers in [{"x": ([[1.0]], [0.0])}, {"a": ([[1.0, 2.0]], [0.0])}, {"a": ([[1.0]], [0.0, 1.0])}]:
        with pytest.raises(ValueError, match="does not fit"):
            bundle_writer.write_external_head(
                file, name="a", dim=1, attributes={"a": ["b"]}, classifiers=classifiers
            )
    assert not file.exists()


def write_golden(path):
    """The head that the tests in Rust read."""
    return bundle_writer.write_probabilities_head(
        path,
        name="mood",
        labels=["calm", "süß"],
        weight=[[1, 0, -0.5, 2], [0, 1, 0.25, -1]],
        bias=[0.5, -0.5],
        backbone="tiny/1",
        inputs=["garment", "colour"],
        temperature=2,
        prototypes=([[1, 0], [0.25, 0.75]], [3, 5]),
        description="written by Python",
    )


def test_the_file_that_rust_reads_is_what_is_written(tmp_path):
    write_golden(tmp_path / "golden.safetensors")
    assert (tmp_path / "golden.safetensors").read_bytes() == GOLDEN.read_bytes()


def test_the_example_in_the_documentation_has_its_hashes(tmp_path):
    text = (ROOT / "docs/bundle.md").read_text()
    labels = [{"name": "mood", "labels": ["calm", "loud"]}]
    manifest = {"format": 1, "name": "mood", "kind": "external", "dim": 2, "attributes": labels}
    tensors = {"prototypes.mood": [[1.0, 0.0], [0.5, -2.0]]}
    file = tmp_path / "mood.safetensors"
    digest = bundle_writer.write_bundle(file, {**manifest, "prototype_counts": {"mood": [3, 5]}}, tensors)
    content = re.search(rb'"lapel.content_sha256": "([0-9a-f]{64})"', file.read_bytes())[1].decode()
    assert content in text and digest in text
