"""Where the server is, and how it is reached."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from lapel import tracing
from lapel.retry import Retry

#: Larger than any answer; the server bounds what it sends.
_ANSWER_BYTES_MAX = 128 << 20
_DEFAULT_PORT = 7700


@dataclass(frozen=True, kw_only=True)
class Connection:
    """The arguments of a client, checked."""

    #: `host:port`.
    target: str
    #: `None`: in the clear.
    credentials: grpc.ChannelCredentials | None
    #: Seconds that a call may take, tries included.
    timeout: float
    #: Seconds that a stream may take.
    stream_timeout: float
    #: When calls are tried again.
    retry: Retry
    #: gRPC's options of the channel.
    options: Sequence[tuple[str, str | int]]
    _token: str = field(repr=False)

    def headers(self) -> list[tuple[str, str]]:
        """What goes with every call, of the raw stubs too."""
        told = [("authorization", f"Bearer {self._token}")] if self._token else []
        return told + tracing.headers()


def connection(
    address: str | None,
    *,
    token: str | None,
    ca: str | Path | bytes | None,
    certificate: str | Path | bytes | None,
    key: str | Path | bytes | None,
    timeout: float,
    stream_timeout: float,
    retry: Retry | None,
    options: Sequence[tuple[str, str | int]],
) -> Connection:
    """Reads files and the variables that the command `lapel` reads, too. ValueError: what does not fit together."""
    url = urlsplit(address or os.environ.get("LAPEL_SERVER") or f"http://127.0.0.1:{_DEFAULT_PORT}")
    if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/"):
        raise ValueError(f"http://HOST:PORT or https://HOST:PORT is wanted, not {url.geturl()!r}")
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    if (certificate is None) != (key is None):
        raise ValueError("a certificate and its key are wanted, or neither")
    if url.scheme == "http" and (ca is not None or certificate is not None):
        raise ValueError("certificates are of https://")
    if ca is None and url.scheme == "https":
        ca = os.environ.get("LAPEL_CA")
    encrypted = grpc.ssl_channel_credentials(_pem(ca), _pem(key), _pem(certificate)) if url.scheme == "https" else None
    # This client tries again by itself, and knows what is safe.
    chosen = {"grpc.max_receive_message_length": _ANSWER_BYTES_MAX, "grpc.enable_retries": 0} | dict(options)
    return Connection(
        target=f"{host}:{port}",
        credentials=encrypted,
        timeout=timeout,
        stream_timeout=stream_timeout,
        retry=retry or Retry(),
        options=list(chosen.items()),
        _token=os.environ.get("LAPEL_TOKEN", "") if token is None else token,
    )


def _pem(given: str | Path | bytes | None) -> bytes | None:
    return given if given is None or isinstance(given, bytes) else Path(given).read_bytes()
