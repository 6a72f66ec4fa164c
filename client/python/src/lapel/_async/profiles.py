"""Weights that are saved under a name, for searches with `profile=`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from lapel import v1
from lapel._async.calls import AsyncCalls, new_or
from lapel._async.stubs import AsyncStubs


class AsyncProfiles:
    """Profiles; `client.profiles`."""

    def __init__(self, calls: AsyncCalls, stubs: AsyncStubs) -> None:
        self._calls = calls
        self._stub = stubs.feedback

    async def save(
        self,
        name: str,
        weights: Mapping[str, float],
        *,
        picked_ids: Sequence[str] = (),
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> v1.Profile:
        """Saves weights by head or attribute; the versions before stay for `undo`.

        >>> await client.profiles.save("anna", {"color": 2.0, "pattern": 1.0})
        """
        request = v1.SaveProfileRequest(
            name=name, weights=weights, picked_ids=picked_ids, request_id=new_or(request_id)
        )
        return (await self._calls.unary(self._stub.SaveProfile, request, timeout)).profile

    async def get(self, name: str, *, timeout: float | None = None) -> v1.Profile:
        """Reads a profile."""
        return (await self._calls.unary(self._stub.GetProfile, v1.GetProfileRequest(name=name), timeout)).profile

    async def list(
        self, *, all_subjects: bool = False, page_size: int = 0, timeout: float | None = None
    ) -> AsyncIterator[v1.Profile]:
        """Profiles by name; `timeout` is that of a page."""
        request = v1.ListProfilesRequest(page_size=page_size, all_subjects=all_subjects)
        while True:
            page = await self._calls.unary(self._stub.ListProfiles, request, timeout)
            for profile in page.profiles:
                yield profile
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def undo(
        self, name: str, *, version: int = 0, request_id: str | None = None, timeout: float | None = None
    ) -> v1.Profile:
        """Goes back to the version before; `version`: only where this is the current one."""
        request = v1.UndoProfileRequest(name=name, version=version, request_id=new_or(request_id))
        return (await self._calls.unary(self._stub.UndoProfile, request, timeout)).profile

    async def delete(self, name: str, *, request_id: str | None = None, timeout: float | None = None) -> None:
        """Deletes a profile with all its versions."""
        request = v1.DeleteProfileRequest(name=name, request_id=new_or(request_id))
        await self._calls.unary(self._stub.DeleteProfile, request, timeout)
