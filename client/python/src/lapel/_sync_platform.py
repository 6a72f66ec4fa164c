"""What differs from asyncio: channels, sleeping, files, and several streams at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextvars import copy_context
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

import grpc

from lapel.connection import Connection

T = TypeVar("T")

Channel = grpc.Channel
UnaryUnary = grpc.UnaryUnaryMultiCallable
UnaryStream = grpc.UnaryStreamMultiCallable
StreamUnary = grpc.StreamUnaryMultiCallable
StreamStream = grpc.StreamStreamMultiCallable
ItemSource = Iterable

sleep = time.sleep


class _Details(NamedTuple):
    """gRPC wants these attributes, and its own class of them is private."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _Headers(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds headers to every call."""

    def __init__(self, headers: Callable[[], list[tuple[str, str]]]) -> None:
        self._headers = headers

    def _call(self, continuation: Any, details: Any, request: Any) -> Any:  # noqa: ANN401
        metadata = [*(details.metadata or ()), *self._headers()]
        rest = (details.credentials, details.wait_for_ready, details.compression)
        return continuation(_Details(details.method, details.timeout, metadata, *rest), request)

    # The types are those of gRPC for each of the four alone.
    intercept_unary_unary = _call  # type: ignore[assignment]
    intercept_unary_stream = _call  # type: ignore[assignment]
    intercept_stream_unary = _call  # type: ignore[assignment]
    intercept_stream_stream = _call  # type: ignore[assignment]


def open_channel(to: Connection) -> Channel:
    """A channel that connects with its first call."""
    if to.credentials is None:
        channel = grpc.insecure_channel(to.target, to.options)
    else:
        channel = grpc.secure_channel(to.target, to.credentials, to.options)
    return grpc.intercept_channel(channel, _Headers(to.headers))


def in_background(work: Callable[[], T]) -> T:
    """Runs what blocks: here, where everything may."""
    return work()


class Source(Generic[T]):
    """Items that several streams take from."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()

    def take(self, count: int) -> list[T]:
        """The next ones; none at the end."""
        with self._lock:
            return list(islice(self._items, count))


def run_workers(work: Callable[[], None], count: int, stop: Callable[[], None]) -> None:
    """Runs so many at a time, until all have ended. Where one fails, `stop` ends the others, and its error is raised."""
    with ThreadPoolExecutor(count, thread_name_prefix="lapel-upload") as pool:
        # The trace of the caller goes with them.
        workers = [pool.submit(copy_context().run, work) for _ in range(count)]
        try:
            done, _ = wait(workers, return_when=FIRST_EXCEPTION)
            for worker in done:
                worker.result()
        except BaseException:
            stop()
            raise
