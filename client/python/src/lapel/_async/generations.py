"""Another backbone with its heads, built beside the one that serves."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence

from lapel import v1
from lapel._async.calls import AsyncCalls, new_or
from lapel._async.stubs import AsyncStubs
from lapel._asyncio_platform import in_background
from lapel.bundle_file import BundleFile, chunks, read_bundle


class AsyncGenerations:
    """Generations; `client.generations`."""

    def __init__(self, calls: AsyncCalls, stubs: AsyncStubs) -> None:
        self._calls = calls
        self._stub = stubs.generations

    async def build(
        self,
        backbone: BundleFile,
        extract_parts: BundleFile,
        heads: Sequence[BundleFile],
        *,
        hold: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> v1.Generation:
        """Sends a backbone, its "Extract Parts?" head and its heads; their build goes on (`watch`).

        Each file is a path, beside which `FILE.sig` is its signature where there is one, or bytes.
        `hold`: it waits for `switch` once it is built.
        """
        told = [
            (v1.GENERATION_FILE_BACKBONE, backbone),
            (v1.GENERATION_FILE_EXTRACT_PARTS, extract_parts),
            *((v1.GENERATION_FILE_HEAD, head) for head in heads),
        ]
        files = await in_background(lambda: [(kind, *read_bundle(file)) for kind, file in told])
        stated = new_or(request_id)

        def messages() -> Iterator[v1.BuildGenerationRequest]:
            for kind, content, signature in files:
                header = v1.GenerationFileHeader(
                    file=kind,
                    size_bytes=len(content),
                    sha256=hashlib.sha256(content).hexdigest(),
                    hold=hold,
                    request_id=stated,
                    signature=signature,
                )
                yield v1.BuildGenerationRequest(header=header)
                for chunk in chunks(content):
                    yield v1.BuildGenerationRequest(chunk=chunk)

        return (await self._calls.send(self._stub.BuildGeneration, messages, timeout)).generation

    async def watch(self, backbone: str = "", *, timeout: float | None = None) -> AsyncIterator[v1.Generation]:
        """A generation as it changes, until it serves, stands by, failed or is retired; empty: the one that is built."""
        request = v1.WatchGenerationRequest(backbone=backbone)
        async for answer in self._calls.stream(self._stub.WatchGeneration, lambda: request, timeout, resumes=True):
            yield answer.generation

    async def list(self, *, timeout: float | None = None) -> v1.ListGenerationsResponse:
        """The backbones with their states, the one that serves first."""
        return await self._calls.unary(self._stub.ListGenerations, v1.ListGenerationsRequest(), timeout)

    async def switch(
        self, backbone: str = "", *, request_id: str | None = None, timeout: float | None = None
    ) -> v1.Generation:
        """Puts the generation on standby in service; so it is a roll-back, too."""
        request = v1.SwitchGenerationRequest(backbone=backbone, request_id=new_or(request_id))
        return (await self._calls.unary(self._stub.SwitchGeneration, request, timeout)).generation

    async def drop(
        self, backbone: str, *, request_id: str | None = None, timeout: float | None = None
    ) -> v1.Generation:
        """Drops the generation that does not serve, and ends its build."""
        request = v1.DropGenerationRequest(backbone=backbone, request_id=new_or(request_id))
        return (await self._calls.unary(self._stub.DropGeneration, request, timeout)).generation
