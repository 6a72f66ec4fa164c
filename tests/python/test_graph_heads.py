"""Heads that are ONNX graphs: they compute what NumPy computes, and what no head needs is refused by name."""

import bundle_writer
import grpc
import numpy as np
import pytest
from bundles import register
from graphs import model, perceptron
from lessons import INPUTS, softmax
from onnx import TensorProto, helper
from protocol import v1
from refusals import refused

HIDDEN = 12
NUMBERS = sum(INPUTS.values())


def fitted(inputs, wanted):
    """A perceptron with one hidden layer, by gradient steps: weights and biases of its two layers."""
    rng = np.random.default_rng(3)
    shapes = [(HIDDEN, inputs.shape[1]), (wanted.shape[1], HIDDEN)]
    (weight1, weight2) = [rng.normal(0, shape[1] ** -0.5, shape) for shape in shapes]
    bias1, bias2 = np.zeros(HIDDEN), np.zeros(wanted.shape[1])
    for _ in range(60):
        active = np.maximum(inputs @ weight1.T + bias1, 0)
        error = (softmax(active @ weight2.T + bias2) - wanted) / len(inputs)
        back = (error @ weight2) * (active > 0)
        weight2 -= 0.4 * error.T @ active
        bias2 -= 0.4 * error.sum(axis=0)
        weight1 -= 0.4 * back.T @ inputs
        bias1 -= 0.4 * back.sum(axis=0)
    return (weight1, bias1), (weight2, bias2)


@pytest.fixture(scope="module")
def network(lesson):
    """The scaling and the layers of a perceptron for the lesson's labels, with those."""
    labels = sorted(set(lesson.labels))
    wanted = np.eye(len(labels))[[labels.index(label) for label in lesson.labels]]
    rows = lesson.rows.astype(float)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    # An input that never changes tells nothing.
    factor = np.where(deviation < 1e-6, 0, 1 / np.maximum(deviation, 1e-6)) / NUMBERS**0.5
    return labels, (mean, factor), *fitted((rows - mean) * factor, wanted)


def hidden(lesson, scaling, first):
    (mean, factor), (weight, bias) = scaling, first
    return np.maximum((lesson.rows - mean) * factor @ weight.T + bias, 0)


def _serves(client, name):
    head = list(client.heads.WatchHead(v1.WatchHeadRequest(name=name)))[-1].head
    assert head.state == v1.HEAD_STATE_ACTIVE, head


def described(client, image, attribute, **fields):
    answer = client.search.Describe(v1.DescribeRequest(image=image, labels_max=10, **fields))
    (found,) = [one for one in answer.attributes if one.attribute == attribute]
    return answer, {one.label: one.probability for one in found.labels}


def test_a_perceptron_gives_the_probabilities_of_numpy(client, lesson, network, tmp_path):
    labels, scaling, first, second = network
    temperature = 0.8
    logits = hidden(lesson, scaling, first) @ second[0].T + second[1]
    probabilities = softmax(logits / temperature)
    chosen = [labels[number] for number in probabilities.argmax(axis=1)]
    assert chosen == lesson.labels, "it has learnt its photos"
    file = tmp_path / "worn.safetensors"
    digest = bundle_writer.write_graph_head(
        file,
        name="worn",
        labels=labels,
        graph=perceptron(scaling, first, second, "logits"),
        backbone=client.heads.ListHeads(v1.ListHeadsRequest()).backbone,
        inputs=list(INPUTS),
        temperature=temperature,
    )
    assert register(client, file.read_bytes()).bundle_sha256 == digest
    try:
        _serves(client, "worn")
        for image, wanted in zip(lesson.images, probabilities, strict=True):
            _, found = described(client, image, "worn")
            assert [found[label] for label in labels] == pytest.approx(list(wanted), abs=1e-4)
    finally:
        client.heads.RetireHead(v1.RetireHeadRequest(name="worn"))


def test_a_graph_gives_signatures_for_classifiers(client, lesson, network, tmp_path):
    labels, scaling, first, _ = network
    rng = np.random.default_rng(5)
    middle, weight = rng.normal(0, 0.3, (4, HIDDEN)), rng.normal(0, 2, (len(labels), 4))
    middle_bias, bias = rng.normal(0, 0.3, 4), rng.normal(0, 1, len(labels))
    signatures = hidden(lesson, scaling, first) @ middle.T + middle_bias
    signatures /= np.linalg.norm(signatures, axis=1, keepdims=True)
    manifest = {
        "format": 1,
        "name": "shape",
        "kind": "network",
        "backbone": client.heads.ListHeads(v1.ListHeadsRequest()).backbone,
        "inputs": list(INPUTS),
        "graph": True,
        "dim": 4,
        "attributes": [{"name": "shape", "labels": labels}],
    }
    tensors = {"classifier.shape.weight": weight, "classifier.shape.bias": bias}
    graph = perceptron(scaling, first, (middle, middle_bias), "signature")
    file = tmp_path / "shape.safetensors"
    bundle_writer.write_bundle(file, manifest, {**tensors, "graph": graph})
    register(client, file.read_bytes())
    try:
        _serves(client, "shape")
        for image, wanted in zip(lesson.images[:5], signatures, strict=False):
            answer, found = described(client, image, "shape", include_signatures=True)
            (given,) = [one.values for one in answer.signatures if one.head == "shape"]
            assert list(given) == pytest.approx(list(wanted), abs=1e-4)
            (probabilities,) = softmax((weight @ wanted + bias)[None])
            assert [found[label] for label in labels] == pytest.approx(list(probabilities), abs=1e-4)
    finally:
        client.heads.RetireHead(v1.RetireHeadRequest(name="shape"))


def _node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs, [output], **attributes)


def _loop():
    bodies = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("again", "still")]
    count = helper.make_tensor_value_info("count", TensorProto.INT64, [])
    body = helper.make_graph([_node("Identity", ["again"], "still")], "body", [count, bodies[0]], [bodies[1]])
    return _node("Loop", ["", ""], "logits", body=body)


def _hostile():
    """Files by what the answer names, each with two outputs for the numbers of the backbone."""
    weight = np.zeros((NUMBERS, 2), "<f4")
    column, row = np.ones((60_000, 1), "<f4"), np.ones((1, 60_000), "<f4")
    broken = weight.copy()
    broken[5, 1] = np.nan
    product = _node("MatMul", ["features", "w"], "logits")

    def of(nodes, numbers=NUMBERS, **constants):
        return model(nodes, constants, numbers, "logits", 2).SerializeToString()

    outside = model([product], {"w": weight}, NUMBERS, "logits", 2)
    tensor = outside.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    yield 'operator "Loop"', of([_loop()])
    yield 'operator "Conv"', of([_node("Conv", ["features", "w"], "logits")], w=weight)
    yield "numbers to compute", of([_node("Add", ["c", "r"], "logits")], c=column, r=row)
    products = [("features", "turned"), ("turned", "a", "wide"), ("wide", "b", "logits")]
    operators = ["Transpose", "MatMul", "MatMul"]
    nodes = [_node(operator, read, given) for operator, (*read, given) in zip(operators, products, strict=True)]
    yield "multiplications", of(nodes, a=np.zeros((1, 2000), "<f4"), b=np.zeros((2000, 64), "<f4"))
    yield "not finite", of([product], w=broken)
    yield "other files", outside.SerializeToString()
    yield "[N, 7]", of([product], numbers=7, w=weight)
    yield "cannot be multiplied", of([product], w=weight[1:])
    yield "[1, 3]", of([product], w=np.zeros((NUMBERS, 3), "<f4"))
    yield "nothing before it gives", of([_node("MatMul", ["features", "later"], "logits")])
    yield "operator set 9", model([product], {"w": weight}, NUMBERS, "logits", 2, opset=9).SerializeToString()
    yield "wanted is logits", model([product], {"w": weight}, NUMBERS, "signature", 2).SerializeToString()
    yield "protobuf", of([product], w=weight)[:-3]
    yield "protobuf", b"no graph"


def test_what_no_head_needs_is_refused(client, tmp_path):
    backbone = client.heads.ListHeads(v1.ListHeadsRequest()).backbone
    file = tmp_path / "odd.safetensors"
    for named, graph in _hostile():
        bundle_writer.write_graph_head(
            file, name="odd", labels=["a", "b"], graph=graph, backbone=backbone, inputs=list(INPUTS)
        )
        bundle = file.read_bytes()
        error = refused(lambda: register(client, bundle), grpc.StatusCode.INVALID_ARGUMENT, "UNSOUND_BUNDLE")
        assert named in error.details(), error.details()
    assert not [head for head in client.heads.ListHeads(v1.ListHeadsRequest()).heads if head.name == "odd"]
