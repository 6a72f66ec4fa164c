"""What differs without asyncio: channels, sleeping, files, and several streams at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Generic, TypeAlias, TypeVar

from grpc import aio

from lapel.connection import Connection

T = TypeVar("T")

Channel = aio.Channel
UnaryUnary = aio.UnaryUnaryMultiCallable
UnaryStream = aio.UnaryStreamMultiCallable
StreamUnary = aio.StreamUnaryMultiCallable
StreamStream = aio.StreamStreamMultiCallable
ItemSource: TypeAlias = Iterable[T] | AsyncIterable[T]

sleep = asyncio.sleep


class _Headers:
    """Adds headers to every call."""

    def __init__(self, headers: Callable[[], list[tuple[str, str]]]) -> None:
        self._headers = headers

    async def _call(self, continuation: Any, details: Any, request: Any) -> Any:  # noqa: ANN401
        metadata = aio.Metadata(*(details.metadata or ()), *self._headers())
        return await continuation(details._replace(metadata=metadata), request)


# gRPC takes one kind from each interceptor.
class _UnaryUnary(_Headers, aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary = _Headers._call  # type: ignore[assignment]


class _UnaryStream(_Headers, aio.UnaryStreamClientInterceptor):
    intercept_unary_stream = _Headers._call  # type: ignore[assignment]


class _StreamUnary(_Headers, aio.StreamUnaryClientInterceptor):
    intercept_stream_unary = _Headers._call  # type: ignore[assignment]


class _StreamStream(_Headers, aio.StreamStreamClientInterceptor):
    intercept_stream_stream = _Headers._call  # type: ignore[assignment]


def open_channel(to: Connection) -> Channel:
    """A channel that connects with its first call."""
    kinds = (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)
    interceptors = [kind(to.headers) for kind in kinds]
    if to.credentials is None:
        return aio.insecure_channel(to.target, to.options, interceptors=interceptors)
    return aio.secure_channel(to.target, to.credentials, to.options, interceptors=interceptors)


async def in_background(work: Callable[[], T]) -> T:
    """Runs what blocks in a thread, so that the loop does not wait for it."""
    return await asyncio.to_thread(work)


async def iterate(items: ItemSource[T]) -> AsyncIterator[T]:
    """The items one by one."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


class Source(Generic[T]):
    """Items that several streams take from."""

    def __init__(self, items: ItemSource[T]) -> None:
        self._items = iterate(items)
        self._lock = asyncio.Lock()

    async def take(self, count: int) -> list[T]:
        """The next ones; none at the end."""
        async with self._lock:
            taken: list[T] = []
            async for item in self._items:
                taken.append(item)
                if len(taken) == count:
                    break
            return taken


async def run_workers(work: Callable[[], Awaitable[None]], count: int, stop: Callable[[], None]) -> None:
    """Runs so many at a time, until all have ended. Where one fails, `stop` ends the others, and its error is raised."""
    workers = [asyncio.ensure_future(work()) for _ in range(count)]
    try:
        await asyncio.gather(*workers)
    except BaseException:
        stop()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        raise
