"""Calls with a deadline, tried again where that is safe, with errors as exceptions."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

import grpc

from lapel import errors
from lapel._asyncio_platform import StreamUnary, UnaryStream, UnaryUnary, sleep
from lapel.connection import Connection
from lapel.errors import LapelError
from lapel.retry import Deadline

Q = TypeVar("Q")
A = TypeVar("A")


def new_or(given: str | None) -> str:
    """The caller's id of a request, or one of its own: by it a repeated request changes nothing."""
    return uuid.uuid4().hex if given is None else given


class AsyncCalls:
    """Calls on one connection. All that go through here only read, or carry a request id."""

    def __init__(self, to: Connection) -> None:
        self.connection = to

    async def unary(self, method: UnaryUnary[Q, A], request: Q, timeout: float | None) -> A:
        """A request and its answer."""
        deadline = Deadline(self.connection.timeout if timeout is None else timeout)
        tried = 0
        while True:
            try:
                return await method(request, timeout=deadline.left())
            except grpc.RpcError as error:
                failed = errors.from_call(error)
            tried += 1
            await self.pause(failed, tried, deadline)

    async def send(self, method: StreamUnary[Q, A], messages: Callable[[], Iterator[Q]], timeout: float | None) -> A:
        """A stream of messages and its answer; `messages` begins anew for each try."""
        deadline = Deadline(self.connection.stream_timeout if timeout is None else timeout)
        tried = 0
        while True:
            try:
                return await method(messages(), timeout=deadline.left())
            except grpc.RpcError as error:
                failed = errors.from_call(error)
            tried += 1
            await self.pause(failed, tried, deadline)

    async def stream(
        self, method: UnaryStream[Q, A], request: Callable[[], Q], timeout: float | None, *, resumes: bool = False
    ) -> AsyncIterator[A]:
        """A request and its answers. `request` is asked for each try, and forgets what is to come again.

        `resumes`: it asks for what has not come yet, so that tries count from the last answer on.
        """
        deadline = Deadline(self.connection.stream_timeout if timeout is None else timeout)
        tried = 0
        while True:
            call = method(request(), timeout=deadline.left())
            try:
                async for answer in call:
                    if resumes:
                        tried = 0
                    yield answer
                return
            except grpc.RpcError as error:
                failed = errors.from_call(error)
            finally:
                # Of a caller that reads no further.
                call.cancel()
            tried += 1
            await self.pause(failed, tried, deadline)

    async def pause(self, failed: LapelError, tried: int, deadline: Deadline) -> None:
        """Waits until the next try; raises the error where there is none, or none in time."""
        delay = self.connection.retry.delay(failed, tried)
        if delay is None or delay >= deadline.left():
            raise failed
        await sleep(delay)
