"""Items on their way to the server, by several streams at a time, which are acknowledged as they go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeAlias

import grpc

from lapel import errors, v1
from lapel._async.calls import AsyncCalls
from lapel._asyncio_platform import Source, StreamStream, in_background, run_workers
from lapel.errors import InvalidArgumentError, LapelError, UnavailableError
from lapel.items import ItemResult, ItemUpdate, NewItem
from lapel.retry import Deadline
from lapel.upload_log import UploadLog

#: What an upload takes.
Draft: TypeAlias = NewItem | ItemUpdate | v1.UpsertItemsRequest
#: Items of one stream: so many that its beginning and end do not count, so few that they are shared out evenly.
_STREAM = 256


class AsyncUpload:
    """An upload. A stream that is cut off is followed by another, behind the last item that was acknowledged."""

    def __init__(
        self,
        calls: AsyncCalls,
        method: StreamStream[v1.UpsertItemsStreamRequest, v1.UpsertItemsStreamResponse],
        source: Source[Draft],
        log: UploadLog,
        timeout: float | None,
    ) -> None:
        self._calls = calls
        self._method = method
        self._source = source
        self._log = log
        self._deadline = Deadline(calls.connection.stream_timeout if timeout is None else timeout)
        self._open: set[Any] = set()
        self._is_stopped = False

    async def run(self, parallel: int) -> None:
        """Sends all items. An error's `report` says what has become of them."""
        try:
            await run_workers(self._worker, parallel, self._stop)
        except LapelError as error:
            error.report = self._log.report
            raise

    def _stop(self) -> None:
        self._is_stopped = True
        for call in list(self._open):
            call.cancel()

    async def _worker(self) -> None:
        while taken := await self._source.take(_STREAM):
            drafts: Sequence[Draft] = [draft for draft in taken if self._log.is_to_be_sent(draft.id)]
            tried = 0
            while drafts and not self._is_stopped:
                left, failed = await self._stream(drafts)
                # An acknowledgement shows that tries lead somewhere.
                tried = 0 if len(left) < len(drafts) else tried
                drafts = left
                if failed is not None:
                    tried += 1
                    await self._calls.pause(failed, tried, self._deadline)

    async def _stream(self, drafts: Sequence[Draft]) -> tuple[Sequence[Draft], LapelError | None]:
        """Gives the items of which nothing is known yet, and why the stream ended before its end."""
        sent: list[int] = []
        settled: set[int] = set()
        failed: LapelError | None = None

        async def messages() -> AsyncIterator[v1.UpsertItemsStreamRequest]:
            for at, draft in enumerate(drafts):
                try:
                    item = draft if isinstance(draft, v1.UpsertItemsRequest) else await in_background(draft.message)
                except Exception as error:  # noqa: BLE001: whatever an item fails with, it fails alone.
                    settled.add(at)
                    refused = InvalidArgumentError(f"it was not sent: {error}", reason="NOT_SENT")
                    refused.__cause__ = error
                    self._log.add([ItemResult(draft.id, error=refused)])
                    continue
                sent.append(at)
                yield v1.UpsertItemsStreamRequest(item=item)

        call = self._method(messages(), timeout=self._deadline.left())
        self._open.add(call)
        try:
            async for answer in call:
                places = [sent[result.message - 1] for result in answer.results]
                settled.update(places)
                self._log.add([_result(drafts[at].id, one) for at, one in zip(places, answer.results, strict=True)])
        except grpc.RpcError as error:
            failed = errors.from_call(error)
        finally:
            self._open.discard(call)
            call.cancel()
        left = [draft for at, draft in enumerate(drafts) if at not in settled]
        if left and failed is None:
            failed = UnavailableError("the server ended an upload before its end")
        return left, failed


def _result(item_id: str, result: v1.UpsertResult) -> ItemResult:
    # Of a message that it could not read the server knows no id.
    error = errors.from_item(result.error) if result.HasField("error") else None
    return ItemResult(item_id, replaced=result.replaced, error=error)
