"""The client for asyncio. hatch_build.py makes its twin without asyncio of these files, by taking out what is asyncio's."""

from lapel._async.client import AsyncClient
from lapel._async.generations import AsyncGenerations
from lapel._async.heads import AsyncHeads
from lapel._async.items import AsyncItems
from lapel._async.profiles import AsyncProfiles
from lapel._async.stubs import AsyncStubs

__all__ = ["AsyncClient", "AsyncGenerations", "AsyncHeads", "AsyncItems", "AsyncProfiles", "AsyncStubs"]
