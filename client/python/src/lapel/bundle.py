"""Writes bundles of heads, the files that `lapel heads register` takes; docs/bundle.md has their format."""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

_NAMES = {np.dtype("<f2"): "F16", np.dtype("<f4"): "F32", np.dtype("u1"): "U8"}


def write_probabilities_head(
    path: str | Path,
    *,
    name: str,
    labels: Sequence[str],
    weight: ArrayLike,
    bias: ArrayLike,
    backbone: str,
    inputs: Sequence[str],
    temperature: float = 1.0,
    prototypes: tuple[ArrayLike, Sequence[int]] | None = None,
    description: str = "",
) -> str:
    """A head that gives softmax((weight @ features + bias) / temperature) as the probabilities of `labels`.

    `weight` is [labels, numbers] and `bias` [labels], on the vectors `inputs` of the backbone with the fingerprint
    `backbone`, one vector after the other. `prototypes`: for each label the mean of the square roots of its examples'
    probabilities, [labels, labels], and the number of examples behind each. The head and its one attribute are both
    called `name`. Gives the file's SHA-256.
    """
    count = len(labels)
    weight, bias = np.asarray(weight, "<f4"), np.asarray(bias, "<f4")
    if weight.ndim != 2 or len(weight) != count or bias.shape != (count,):
        raise ValueError(f"weight {weight.shape} and bias {bias.shape} do not fit {count} labels")
    manifest, tensors = _probabilities(name, labels, backbone, inputs, temperature, prototypes, description)
    tensors |= {f"classifier.{name}.weight": weight, f"classifier.{name}.bias": bias}
    return write_bundle(path, manifest, tensors)


def write_graph_head(
    path: str | Path,
    *,
    name: str,
    labels: Sequence[str],
    graph: bytes,
    backbone: str,
    inputs: Sequence[str],
    temperature: float = 1.0,
    prototypes: tuple[ArrayLike, Sequence[int]] | None = None,
    description: str = "",
) -> str:
    """As `write_probabilities_head`, of logits that an ONNX file computes.

    `graph`: the file's bytes. It has one input, f32 [N, numbers], and one output `logits`, f32 [N, labels], to which no
    softmax has been applied.
    """
    manifest, tensors = _probabilities(name, labels, backbone, inputs, temperature, prototypes, description)
    return write_bundle(path, {**manifest, "graph": True}, {**tensors, "graph": graph})


def _probabilities(
    name: str,
    labels: Sequence[str],
    backbone: str,
    inputs: Sequence[str],
    temperature: float,
    prototypes: tuple[ArrayLike, Sequence[int]] | None,
    description: str,
) -> tuple[dict[str, Any], dict[str, ArrayLike | bytes]]:
    """The manifest of a head of one attribute whose signature is its probabilities, and its prototypes."""
    count = len(labels)
    if not 0 < float(temperature) < float("inf"):
        raise ValueError(f"temperature {temperature} is not a positive number")
    if prototypes is not None and (np.shape(prototypes[0]) != (count, count) or len(prototypes[1]) != count):
        raise ValueError(f"prototypes do not fit {count} labels")
    manifest = {"format": 1, "name": name, "kind": "network", "backbone": backbone, "inputs": list(inputs)}
    manifest |= {"signature": "probabilities", "dim": count, "scale": 1.0 / float(temperature)}
    manifest |= {"attributes": [{"name": name, "labels": list(labels)}], "description": description}
    if prototypes is None:
        return manifest, {}
    manifest["prototype_counts"] = {name: [int(n) for n in prototypes[1]]}
    return manifest, {f"prototypes.{name}": np.asarray(prototypes[0], "<f4")}


def write_external_head(
    path: str | Path,
    *,
    name: str,
    dim: int,
    attributes: Mapping[str, Sequence[str]],
    description: str = "",
    classifiers: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
) -> str:
    """A head whose `dim` numbers come with the items. `attributes`: labels by name. Gives the SHA-256.

    `classifiers`: of an attribute the weight, [labels, dim], and the bias, [labels]. Its labels have the probabilities
    softmax(weight @ signature + bias), the signature being of unit length. An attribute without one is not predicted.
    """
    told = [{"name": attribute, "labels": list(labels)} for attribute, labels in attributes.items()]
    manifest = {"format": 1, "name": name, "kind": "external", "dim": dim}
    tensors: dict[str, ArrayLike] = {}
    for attribute, (weight, bias) in (classifiers or {}).items():
        weight, bias = np.asarray(weight, "<f4"), np.asarray(bias, "<f4")
        count = len(attributes.get(attribute, ()))
        if not count or weight.shape != (count, dim) or bias.shape != (count,):
            raise ValueError(f"classifier of {attribute} does not fit {count} labels of {dim} numbers")
        tensors |= {f"classifier.{attribute}.weight": weight, f"classifier.{attribute}.bias": bias}
    return write_bundle(path, {**manifest, "attributes": told, "description": description}, tensors)


def write_bundle(path: str | Path, manifest: Mapping[str, Any], tensors: Mapping[str, ArrayLike | bytes]) -> str:
    """A bundle of any manifest and tensors, as float32 unless they are float16 or bytes. Gives the file's SHA-256."""
    text = json.dumps(manifest, ensure_ascii=False, allow_nan=False)
    digest, header, data = hashlib.sha256(text.encode()), {}, b""
    for name, tensor in sorted(tensors.items()):
        array = np.frombuffer(tensor, "u1") if isinstance(tensor, bytes) else np.asarray(tensor)
        kept = isinstance(tensor, bytes) or array.dtype == np.float16
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<") if kept else "<f4")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds a number that is not finite")
        shape, kind, content = list(array.shape), _NAMES[array.dtype], array.tobytes()
        digest.update(f"\0{name}\0{kind}\0{shape}\0".encode() + content)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    metadata = {"lapel.manifest": text, "lapel.content_sha256": digest.hexdigest()}
    head = json.dumps({"__metadata__": metadata, **header}, ensure_ascii=False).encode()
    head += b" " * (-len(head) % 8)
    file = struct.pack("<Q", len(head)) + head + data
    Path(path).write_bytes(file)
    return hashlib.sha256(file).hexdigest()
