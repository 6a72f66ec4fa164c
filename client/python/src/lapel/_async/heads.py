"""Heads: taught, registered, watched, compared, promoted, retired while the server serves."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

from lapel import v1
from lapel._async.calls import AsyncCalls, new_or
from lapel._async.stubs import AsyncStubs
from lapel._asyncio_platform import in_background
from lapel.bundle_file import BundleFile, chunks, read_bundle
from lapel.errors import FailedPreconditionError
from lapel.images import Image
from lapel.teaching import teach_request
from lapel.values import texts


class AsyncHeads:
    """Heads; `client.heads`."""

    def __init__(self, calls: AsyncCalls, stubs: AsyncStubs) -> None:
        self._calls = calls
        self._stub = stubs.heads

    async def teach(
        self,
        name: str,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        images: Mapping[str, Sequence[Image]] | None = None,
        words: Mapping[str, Sequence[str]] | None = None,
        label_attribute: str = "",
        field: str = "",
        filter: v1.Filter | None = None,
        labels: Sequence[str] = (),
        update: bool = False,
        hold: bool = False,
        insist: bool = False,
        dry_run: bool = False,
        description: str = "",
        on_progress: Callable[[v1.TeachProgress], None] | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> v1.TaughtHead:
        """Teaches a head by showing: the answer says what it is worth; `wait` until it serves.

        Examples are ids of items and photos by label (`items`, `images`, or both), or the labels that items carry
        (`label_attribute`), or their values of a keyword field (`field`). Without any, `words` are captions by label, for
        models that read them (CLIP, SigLIP). `dry_run` registers nothing.

        >>> taught = await client.heads.teach("mood", items={"calm": ["a1", "a2"], "loud": ["b1", "b2"]})
        >>> print(taught.worth.accuracy.value, taught.held_because)
        >>> await client.heads.wait("mood")
        """
        request = await in_background(
            lambda: teach_request(
                name, items=items, images=images, words=words, label_attribute=label_attribute, field=field
            )
        )
        asked = v1.TeachRequest(
            filter=filter,
            labels=texts("labels", labels),
            update=update,
            hold=hold,
            insist=insist,
            dry_run=dry_run,
            description=description,
            request_id="" if dry_run else new_or(request_id),
        )
        request.MergeFrom(asked)
        taught = v1.TaughtHead()
        async for event in self._calls.stream(self._stub.Teach, lambda: request, timeout):
            if event.HasField("taught"):
                taught = event.taught
            elif on_progress is not None:
                on_progress(event.progress)
        return taught

    async def suggest_examples(
        self,
        name: str,
        *,
        version: int = 0,
        filter: v1.Filter | None = None,
        count: int = 20,
        exclude_ids: Sequence[str] = (),
        timeout: float | None = None,
    ) -> v1.SuggestExamplesResponse:
        """Says which items to label next: those whose labels would teach the head most."""
        request = v1.SuggestExamplesRequest(
            name=name, version=version, filter=filter, count=count, exclude_ids=exclude_ids
        )
        return await self._calls.unary(self._stub.SuggestExamples, request, timeout)

    async def register(
        self,
        bundle: BundleFile,
        *,
        update: bool = False,
        hold: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> v1.Head:
        """Registers a head from a bundle, a path or bytes; its backfill goes on (`wait`).

        `update`: it becomes the next version of a head of its name. `hold`: it waits for `promote`. `FILE.sig` beside the
        path is its signature.

        >>> await client.heads.register("mood.safetensors")
        >>> await client.heads.wait("mood")
        """
        content, signature = await in_background(lambda: read_bundle(bundle))
        header = v1.RegisterHeadHeader(
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            update=update,
            hold=hold,
            request_id=new_or(request_id),
            signature=signature,
        )

        def messages() -> Iterator[v1.RegisterHeadRequest]:
            yield v1.RegisterHeadRequest(header=header)
            for chunk in chunks(content):
                yield v1.RegisterHeadRequest(chunk=chunk)

        return (await self._calls.send(self._stub.RegisterHead, messages, timeout)).head

    async def watch(self, name: str, *, version: int = 0, timeout: float | None = None) -> AsyncIterator[v1.Head]:
        """A head as it changes, until it is active, on standby, failed or retired; version 0: the newest."""
        request = v1.WatchHeadRequest(name=name, version=version)
        async for answer in self._calls.stream(self._stub.WatchHead, lambda: request, timeout, resumes=True):
            yield answer.head

    async def wait(
        self,
        name: str,
        *,
        version: int = 0,
        on_progress: Callable[[v1.Head], None] | None = None,
        timeout: float | None = None,
    ) -> v1.Head:
        """Waits until a head serves or stands by. FailedPreconditionError (HEAD_FAILED): it failed, or was retired."""
        head = v1.Head()
        async for head in self.watch(name, version=version, timeout=timeout):
            if on_progress is not None:
                on_progress(head)
        if head.state not in (v1.HEAD_STATE_ACTIVE, v1.HEAD_STATE_STANDBY):
            state = v1.HeadState.Name(head.state)
            raise FailedPreconditionError(f"{name}: {head.failure or state}", reason="HEAD_FAILED")
        return head

    async def get(self, name: str, *, version: int = 0, timeout: float | None = None) -> v1.Head:
        """Reads a head; version 0: the one that serves, or else the newest."""
        request = v1.GetHeadRequest(name=name, version=version)
        return (await self._calls.unary(self._stub.GetHead, request, timeout)).head

    async def list(
        self,
        *,
        state: v1.HeadState.ValueType = v1.HEAD_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[v1.Head]:
        """All versions of heads, or those in a state, by name; `timeout` is that of a page."""
        request = v1.ListHeadsRequest(state=state, page_size=page_size)
        while True:
            page = await self._calls.unary(self._stub.ListHeads, request, timeout)
            for head in page.heads:
                yield head
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def backbone(self, *, timeout: float | None = None) -> str:
        """The fingerprint of the backbone that bundles must be trained on."""
        request = v1.ListHeadsRequest(page_size=1)
        return (await self._calls.unary(self._stub.ListHeads, request, timeout)).backbone

    async def labels(
        self, attribute: str = "", *, page_size: int = 0, timeout: float | None = None
    ) -> AsyncIterator[v1.AttributeLabels]:
        """The labels of an attribute, or of all, with their numbers of items; `timeout` is that of a page."""
        request = v1.ListLabelsRequest(attribute=attribute, page_size=page_size)
        while True:
            page = await self._calls.unary(self._stub.ListLabels, request, timeout)
            for labels in page.attributes:
                yield labels
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def promote(
        self,
        name: str,
        *,
        version: int = 0,
        allow_missing: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> v1.Head:
        """Puts a version on standby in service, in one step; version 0: the newest."""
        request = v1.PromoteHeadRequest(
            name=name, version=version, allow_missing=allow_missing, request_id=new_or(request_id)
        )
        return (await self._calls.unary(self._stub.PromoteHead, request, timeout)).head

    async def rollback(self, name: str, *, request_id: str | None = None, timeout: float | None = None) -> v1.Head:
        """Puts the version that served before back in service."""
        request = v1.RollbackHeadRequest(name=name, request_id=new_or(request_id))
        return (await self._calls.unary(self._stub.RollbackHead, request, timeout)).head

    async def cancel(self, name: str, *, request_id: str | None = None, timeout: float | None = None) -> v1.Head:
        """Ends a backfill and drops the version it was for."""
        request = v1.CancelHeadRequest(name=name, request_id=new_or(request_id))
        return (await self._calls.unary(self._stub.CancelHead, request, timeout)).head

    async def retire(
        self, name: str, *, version: int = 0, request_id: str | None = None, timeout: float | None = None
    ) -> v1.Head:
        """Takes a head out of service with all its versions, or drops one of them; its signatures are deleted."""
        request = v1.RetireHeadRequest(name=name, version=version, request_id=new_or(request_id))
        return (await self._calls.unary(self._stub.RetireHead, request, timeout)).head

    async def compare(
        self,
        name: str,
        *,
        version: int = 0,
        other_version: int = 0,
        filter: v1.Filter | None = None,
        timeout: float | None = None,
    ) -> v1.CompareHeadsResponse:
        """Compares two versions on the items that carry labels; 0: the newest on standby with the one that serves."""
        request = v1.CompareHeadsRequest(name=name, version=version, other_version=other_version, filter=filter)
        return await self._calls.unary(self._stub.CompareHeads, request, timeout)

    async def change_labels(
        self,
        attribute: str,
        changes: Sequence[v1.LabelChange],
        *,
        hold: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> v1.ChangeLabelsResponse:
        """Renames, merges and retires labels without training; `rollback` undoes it.

        >>> rename = lapel.v1.LabelRename(**{"from": "navy", "to": "dark blue"})
        >>> await client.heads.change_labels("color", [lapel.v1.LabelChange(rename=rename)])
        """
        request = v1.ChangeLabelsRequest(attribute=attribute, changes=changes, hold=hold, request_id=new_or(request_id))
        return await self._calls.unary(self._stub.ChangeLabels, request, timeout)

    async def download(self, name: str, *, version: int = 0, timeout: float | None = None) -> bytes:
        """A version's bundle as it was registered; version 0: the one that serves, or else the newest."""
        content = bytearray()

        def request() -> v1.DownloadHeadRequest:
            content.clear()
            return v1.DownloadHeadRequest(name=name, version=version)

        async for piece in self._calls.stream(self._stub.DownloadHead, request, timeout):
            content += piece.chunk
        return bytes(content)
