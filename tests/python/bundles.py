"""Bundles of heads: read from the project's files, changed, or made anew. docs/bundle.md has their format."""

import hashlib
import json
import struct

from protocol import ROOT, v1

CHUNK = 1 << 20
SEASON = (ROOT / "examples/heads/season.safetensors").read_bytes()
ALEXNET = ROOT / "heads/bundles/alexnet"


def external(name, dim, labels):
    """A head without a network, with one attribute of its own name."""
    attributes = [{"name": name, "labels": labels}]
    return _written({"format": 1, "name": name, "kind": "external", "dim": dim, "attributes": attributes}, {}, b"")


def with_weight(bundle, weight):
    """The same head with another weight: another file, and so another version of it."""
    size = struct.unpack("<Q", bundle[:8])[0]
    tensors = json.loads(bundle[8 : 8 + size])
    manifest = json.loads(tensors.pop("__metadata__")["lapel.manifest"])
    return _written({**manifest, "weight": weight}, tensors, bundle[8 + size :])


def _written(manifest, tensors, data):
    text = json.dumps(manifest)
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        begin, end = tensor["data_offsets"]
        digest.update(f"\0{name}\0{tensor['dtype']}\0{tensor['shape']}\0".encode())
        digest.update(data[begin:end])
    metadata = {"lapel.manifest": text, "lapel.content_sha256": digest.hexdigest()}
    header = json.dumps({"__metadata__": metadata, **tensors}).encode()
    return struct.pack("<Q", len(header)) + header + data


def _chunks(bundle):
    return (bundle[at : at + CHUNK] for at in range(0, len(bundle), CHUNK))


def register(client, bundle, **header):
    """Sends a bundle, and gives the head that it has become."""
    told = v1.RegisterHeadHeader(size_bytes=len(bundle), sha256=hashlib.sha256(bundle).hexdigest(), **header)

    def parts():
        yield v1.RegisterHeadRequest(header=told)
        for chunk in _chunks(bundle):
            yield v1.RegisterHeadRequest(chunk=chunk)

    return client.heads.RegisterHead(parts()).head


def register_at_once(client, bundle, **fields):
    """As `register`, in one message."""
    request = v1.RegisterHeadFromBundleRequest(bundle=bundle, **fields)
    return client.heads.RegisterHeadFromBundle(request).head


def build_at_once(client, files, **fields):
    """As `build`, in one message."""
    contents = [v1.GenerationFileContent(file=kind, content=file) for kind, file in files]
    request = v1.BuildGenerationFromFilesRequest(files=contents, **fields)
    return client.generations.BuildGenerationFromFiles(request).generation


def build(client, files, **header):
    """Sends the files of a generation, and gives what it has become. `files`: kinds with bytes."""

    def parts():
        for kind, file in files:
            digest = hashlib.sha256(file).hexdigest()
            told = v1.GenerationFileHeader(file=kind, size_bytes=len(file), sha256=digest, **header)
            yield v1.BuildGenerationRequest(header=told)
            for chunk in _chunks(file):
                yield v1.BuildGenerationRequest(chunk=chunk)

    return client.generations.BuildGeneration(parts()).generation
