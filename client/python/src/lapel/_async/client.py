"""The client: connects, describes, searches, learns from picks; items, heads and profiles are its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, Unpack

from numpy.typing import ArrayLike

from lapel import errors, v1
from lapel._async.calls import AsyncCalls
from lapel._async.generations import AsyncGenerations
from lapel._async.heads import AsyncHeads
from lapel._async.items import AsyncItems
from lapel._async.profiles import AsyncProfiles
from lapel._async.stubs import AsyncStubs
from lapel._asyncio_platform import in_background, open_channel
from lapel.connection import connection
from lapel.images import Image
from lapel.query import QueryOptions, SearchOptions, manipulation_list, query, search_request
from lapel.retry import Retry
from lapel.values import texts


class AsyncClient:
    """A connection to a Lapel server; it may be shared, and closes with `close` or as a context.

    >>> async with lapel.AsyncClient("http://127.0.0.1:7700") as client:
    ...     answer = await client.search(image="dress.jpg", manipulations={"sleeve_length": "short"})
    ...     for result in answer.results:
    ...         print(result.item_id, result.distance)
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        ca: str | Path | bytes | None = None,
        certificate: str | Path | bytes | None = None,
        key: str | Path | bytes | None = None,
        timeout: float = 30.0,
        stream_timeout: float = 3600.0,
        retry: Retry | None = None,
        options: Sequence[tuple[str, str | int]] = (),
    ) -> None:
        """Connects with the first call.

        `address`: `http://HOST:PORT` or `https://HOST:PORT`; else LAPEL_SERVER, else http://127.0.0.1:7700. `token`: else
        LAPEL_TOKEN. `ca`: the certificate that signed the server's, a file or its content in PEM; else LAPEL_CA, else
        those that gRPC brings. `certificate` and `key`: the client's own, for mutual TLS. `timeout`: seconds for a call,
        tries included; `stream_timeout`: for uploads, exports and watches. `retry`: when a call is tried again.
        `options`: gRPC's, of the channel.
        """
        to = connection(
            address,
            token=token,
            ca=ca,
            certificate=certificate,
            key=key,
            timeout=timeout,
            stream_timeout=stream_timeout,
            retry=retry,
            options=options,
        )
        self._channel = open_channel(to)
        self._calls = AsyncCalls(to)
        #: Every method of the protocol as gRPC has it.
        self.stubs = AsyncStubs(self._channel)
        #: The catalogue.
        self.items = AsyncItems(self._calls, self.stubs)
        #: What tells attributes apart.
        self.heads = AsyncHeads(self._calls, self.stubs)
        #: Weights under a name.
        self.profiles = AsyncProfiles(self._calls, self.stubs)
        #: Backbones with their heads.
        self.generations = AsyncGenerations(self._calls, self.stubs)

    async def close(self) -> None:
        """Closes the connection; calls that are not answered yet are given up."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def describe(
        self,
        image: Image | None = None,
        *,
        item_id: str | None = None,
        include_signatures: bool = False,
        labels_max: int = 3,
        picture: int | None = None,
        head_versions: Mapping[str, int] | None = None,
        timeout: float | None = None,
    ) -> v1.DescribeResponse:
        """Says what the server sees in a photo or in an item of the catalogue.

        >>> for seen in (await client.describe("dress.jpg")).attributes:
        ...     print(seen.attribute, seen.labels[0].label, seen.labels[0].probability)
        """

        def request() -> v1.DescribeRequest:
            of: QueryOptions = {}
            if image is not None:
                of["image"] = image
            if item_id is not None:
                of["item_id"] = item_id
            source = query(**of)
            asked = v1.DescribeRequest(
                include_signatures=include_signatures,
                labels_max=labels_max,
                picture=picture,
                head_versions=head_versions,
            )
            if image is not None:
                asked.image = source.image
            else:
                asked.item_id = source.item_id
            return asked

        return await self._calls.unary(self.stubs.search.Describe, await in_background(request), timeout)

    async def search(self, *, timeout: float | None = None, **options: Unpack[SearchOptions]) -> v1.SearchResponse:
        """Finds the items nearest to a photo, an item or signatures, with edits, weights and filters; `SearchOptions`.

        >>> answer = await client.search(
        ...     image="dress.jpg", manipulations={"sleeve_length": "short"}, weights={"color": 2.0}, k=20
        ... )
        >>> [(result.item_id, result.distance, result.matches_all) for result in answer.results]
        """
        request = await in_background(lambda: search_request(**options))
        return await self._calls.unary(self.stubs.search.Search, request, timeout)

    async def search_pages(
        self, request: v1.SearchRequest, *, timeout: float | None = None
    ) -> AsyncIterator[v1.SearchResponse]:
        """A search page by page, `request.k` results each; `timeout` is that of a page. Stop when there are enough.

        >>> async for page in client.search_pages(lapel.search_request(item_id="coat-01", k=100)):
        ...     print(len(page.results))
        """
        next_request = v1.SearchRequest()
        next_request.CopyFrom(request)
        next_request.paged = True
        while True:
            page = await self._calls.unary(self.stubs.search.Search, next_request, timeout)
            yield page
            if not page.next_page_token:
                return
            # The token holds the query's signatures, so that a photo is not looked at again.
            next_request.ClearField("query")
            next_request.page_token = page.next_page_token

    async def search_batch(
        self, requests: Sequence[v1.SearchRequest], *, timeout: float | None = None
    ) -> list[v1.SearchResponse | errors.LapelError]:
        """Several searches at once, in their order; one that fails does not fail the others.

        >>> await client.search_batch([lapel.search_request(item_id=one) for one in ("coat-01", "coat-02")])
        """
        answer = await self._calls.unary(
            self.stubs.search.SearchBatch, v1.SearchBatchRequest(requests=requests), timeout
        )
        return [errors.from_item(one.error) if one.HasField("error") else one.response for one in answer.results]

    async def suggest(
        self,
        *,
        manipulations: Mapping[str, str] | None = None,
        filter: v1.Filter | None = None,
        keep: Sequence[str] = (),
        suggestions_max: int = 20,
        timeout: float | None = None,
        **like: Unpack[QueryOptions],
    ) -> v1.SuggestResponse:
        """The edits of a photo or item that lead somewhere, best first.

        >>> for one in (await client.suggest(item_id="coat-01")).suggestions:
        ...     print(one.manipulation.attribute, one.manipulation.label, one.items)
        """
        request = v1.SuggestRequest(
            query=await in_background(lambda: query(**like)),
            manipulations=manipulation_list(manipulations),
            filter=filter,
            keep=texts("keep", keep),
            suggestions_max=suggestions_max,
        )
        return await self._calls.unary(self.stubs.search.Suggest, request, timeout)

    async def personalise(
        self,
        picked_ids: Sequence[str],
        *,
        unwanted_ids: Sequence[str] = (),
        manipulations: Mapping[str, str] | None = None,
        profile: str = "",
        filter: v1.Filter | None = None,
        exclude_ids: Sequence[str] = (),
        k: int = 10,
        explain: bool = False,
        distance_max: float | None = None,
        as_before: bool = False,
        show_fields: Sequence[str] = (),
        pictures: v1.PictureMode.ValueType = v1.PICTURE_MODE_UNSPECIFIED,
        image: Image | None = None,
        item_id: str | None = None,
        signatures: Mapping[str, ArrayLike] | None = None,
        timeout: float | None = None,
    ) -> v1.PersonaliseResponse:
        """Weights from items that a shopper picked, and the results that they lead to; `k=0`: weights alone.

        >>> answer = await client.personalise(["coat-01", "coat-07"], unwanted_ids=["coat-03"], image="coat.jpg")
        >>> await client.profiles.save("anna", dict(answer.weights))
        """
        like: QueryOptions = {}
        if image is not None:
            like["image"] = image
        if item_id is not None:
            like["item_id"] = item_id
        if signatures is not None:
            like["signatures"] = signatures
        request = v1.PersonaliseRequest(
            picked_ids=texts("picked_ids", picked_ids),
            unwanted_ids=texts("unwanted_ids", unwanted_ids),
            query=await in_background(lambda: query(**like)) if like else None,
            manipulations=manipulation_list(manipulations),
            profile=profile,
            filter=filter,
            exclude_ids=texts("exclude_ids", exclude_ids),
            k=k,
            explain=explain,
            distance_max=distance_max,
            as_before=as_before,
            show_fields=texts("show_fields", show_fields),
            pictures=pictures,
        )
        return await self._calls.unary(self.stubs.feedback.Personalise, request, timeout)

    async def status(self, *, timeout: float | None = None) -> v1.ServerStatsResponse:
        """What the server does at present: calls and their times over the last minute, memory, health."""
        return await self._calls.unary(self.stubs.admin.ServerStats, v1.ServerStatsRequest(), timeout)

    async def backup(
        self,
        file: BinaryIO,
        *,
        on_progress: Callable[[int], None] | None = None,
        timeout: float | None = None,
    ) -> int:
        """Writes a backup of everything, from where the file stands; `on_progress` gets the bytes so far.

        Gives the number of damaged records that are not in it; 0: it has all.

        >>> with open("monday.backup", "wb") as file:
        ...     await client.backup(file)
        """
        begin = file.tell()

        def request() -> v1.BackupRequest:
            # A backup that was cut off begins anew.
            file.seek(begin)
            file.truncate()
            return v1.BackupRequest()

        damaged = 0
        async for piece in self._calls.stream(self.stubs.admin.Backup, request, timeout):
            file.write(piece.chunk)
            damaged = piece.damaged_records
            if on_progress is not None:
                on_progress(file.tell() - begin)
        return damaged
