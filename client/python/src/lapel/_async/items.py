"""The catalogue: items are uploaded, read, changed, counted, exported and deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence, Sized
from pathlib import Path

from lapel import v1
from lapel._async.calls import AsyncCalls, new_or
from lapel._async.stubs import AsyncStubs
from lapel._async.upload import AsyncUpload, Draft
from lapel._asyncio_platform import ItemSource, Source
from lapel.assembly import Assembly
from lapel.items import CatalogArrays, ExportedItem, StoredImage, UploadProgress, UploadReport, catalog_arrays
from lapel.query import facet_list
from lapel.upload_log import UploadLog
from lapel.values import texts


class AsyncItems:
    """Items; `client.items`."""

    def __init__(self, calls: AsyncCalls, stubs: AsyncStubs) -> None:
        self._calls = calls
        self._stub = stubs.catalog

    async def upsert(
        self,
        items: ItemSource[Draft],
        *,
        parallel: int = 4,
        on_progress: Callable[[UploadProgress], None] | None = None,
        report: str | Path | None = None,
        timeout: float | None = None,
    ) -> UploadReport:
        """Adds, replaces or changes items, by so many streams at a time; an item that is refused does not touch others.

        Items are taken by hundreds and their pictures read as they are sent, so that `items` may be a generator of any
        length; each id once. What the server acknowledged is on its disk. A connection that breaks is made again, and goes
        on behind what was acknowledged; where that does not help the error's `report` says what was stored.

        `on_progress` is called with every acknowledgement, never twice at a time; what it raises ends the upload. `report`: a
        file of a line an item, by which the same upload goes on after the program was ended; `lapel items import --report`
        writes and reads the same.

        >>> photos = (lapel.NewItem(id=path.stem, image=path) for path in Path("photos").glob("*.jpg"))
        >>> told = await client.items.upsert(photos, on_progress=print, report="upload.jsonl")
        >>> for one in told.refused:
        ...     print(one.id, one.error)
        """
        if parallel < 1:
            raise ValueError("parallel is at least 1")
        log = UploadLog(len(items) if isinstance(items, Sized) else None, on_progress, report)
        try:
            upload = AsyncUpload(self._calls, self._stub.UpsertItemsStream, Source(items), log, timeout)
            await upload.run(parallel)
        finally:
            log.close()
        return log.report

    async def get(self, id: str, *, timeout: float | None = None) -> v1.Item:
        """Reads an item; its fields are messages, `lapel.python_values` makes values of them."""
        return (await self._calls.unary(self._stub.GetItem, v1.GetItemRequest(id=id), timeout)).item

    async def image(self, id: str, *, picture: int = 0, timeout: float | None = None) -> StoredImage:
        """Reads one of an item's pictures as it was sent, of any size.

        >>> Path("coat.jpg").write_bytes((await client.items.image("coat-01")).data)
        """
        data, kind = bytearray(), ""

        def request() -> v1.StreamItemImageRequest:
            data.clear()
            return v1.StreamItemImageRequest(id=id, picture=picture)

        async for piece in self._calls.stream(self._stub.StreamItemImage, request, timeout):
            data += piece.chunk
            kind = kind or piece.content_type
        return StoredImage(bytes(data), kind)

    async def delete(
        self, ids: Iterable[str], *, request_id: str | None = None, timeout: float | None = None
    ) -> v1.DeleteItemsResponse:
        """Deletes items; ids that do not exist are told, not an error. One id is `[id]`."""
        request = v1.DeleteItemsRequest(ids=texts("ids", ids), request_id=new_or(request_id))
        return await self._calls.unary(self._stub.DeleteItems, request, timeout)

    async def delete_by_filter(
        self,
        filter: v1.Filter,
        *,
        dry_run: bool = False,
        expected_items: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> v1.DeleteItemsByFilterResponse:
        """Deletes the items that pass, in one step; `dry_run` says which they would be.

        >>> old = lapel.filters.field("season", "2019")
        >>> found = await client.items.delete_by_filter(old, dry_run=True)
        >>> await client.items.delete_by_filter(old, expected_items=found.items)
        """
        request = v1.DeleteItemsByFilterRequest(
            filter=filter,
            dry_run=dry_run,
            expected_items=expected_items,
            request_id="" if dry_run else new_or(request_id),
        )
        return await self._calls.unary(self._stub.DeleteItemsByFilter, request, timeout)

    async def list(
        self, filter: v1.Filter | None = None, *, page_size: int = 0, timeout: float | None = None
    ) -> AsyncIterator[v1.Item]:
        """Items that pass, by id; `timeout` is that of a page.

        >>> async for item in client.items.list(lapel.filters.label("category", "dress")):
        ...     print(item.id, dict(item.labels))
        """
        request = v1.ListItemsRequest(filter=filter, page_size=page_size)
        while True:
            page = await self._calls.unary(self._stub.ListItems, request, timeout)
            for item in page.items:
                yield item
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def count(
        self,
        filter: v1.Filter | None = None,
        *,
        facets: Sequence[str | v1.FacetRequest] = (),
        timeout: float | None = None,
    ) -> v1.CountItemsResponse:
        """Counts the items that pass, and how many of them have which labels and values.

        >>> (await client.items.count(facets=["color"])).facets[0].counts[0]
        """
        request = v1.CountItemsRequest(filter=filter, facets=facet_list(facets))
        return await self._calls.unary(self._stub.CountItems, request, timeout)

    async def stats(self, *, timeout: float | None = None) -> v1.CatalogStatsResponse:
        """Counts of items, labels and missing signatures, all pages in one; `timeout` is that of a page."""
        request = v1.CatalogStatsRequest()
        stats = await self._calls.unary(self._stub.CatalogStats, request, timeout)
        while stats.next_page_token:
            request.page_token = stats.next_page_token
            page = await self._calls.unary(self._stub.CatalogStats, request, timeout)
            for attribute, labels in page.labels.items():
                # An attribute may begin on one page and go on on the next.
                stats.labels[attribute].counts.update(labels.counts)
            stats.damaged_items.extend(page.damaged_items)
            stats.next_page_token = page.next_page_token
        return stats

    async def export(
        self, *, after: str = "", images: bool = True, timeout: float | None = None
    ) -> AsyncIterator[ExportedItem]:
        """Every item with its pictures and signatures, by id, as of one moment; `after`: only ids behind this one.

        An export that is cut off goes on with the next item, as of a later moment.

        >>> async for one in client.items.export(images=False):
        ...     print(one.item.id, one.signatures["color"])
        """
        assembly = Assembly(after, images)
        async for answer in self._calls.stream(self._stub.ExportItems, assembly.request, timeout, resumes=True):
            if (whole := assembly.add(answer)) is not None:
                yield whole
        if (whole := assembly.end()) is not None:
            yield whole

    async def to_numpy(self, *, timeout: float | None = None) -> CatalogArrays:
        """Ids, labels and signatures of the catalogue as arrays, a row an item.

        >>> catalog = await client.items.to_numpy()
        >>> catalog.signatures["color"] @ catalog.signatures["color"][0]
        """
        return catalog_arrays([one async for one in self.export(images=False, timeout=timeout)])
