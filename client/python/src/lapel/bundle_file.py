"""Bundles and backbones as files on their way to the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

#: A path, or the content of a file.
BundleFile: TypeAlias = str | Path | bytes

_CHUNK = 1 << 20


def read_bundle(file: BundleFile) -> tuple[bytes, bytes]:
    """Content and signature: of a path what is beside it as `FILE.sig`, as `lapel-train sign` writes it."""
    if isinstance(file, bytes):
        return file, b""
    signature = Path(f"{file}.sig")
    return Path(file).read_bytes(), signature.read_bytes() if signature.is_file() else b""


def chunks(content: bytes) -> Iterator[bytes]:
    """The content in pieces that fit in a message."""
    return (content[at : at + _CHUNK] for at in range(0, len(content), _CHUNK))
