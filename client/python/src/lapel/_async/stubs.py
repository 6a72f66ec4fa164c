"""The raw stubs: every method of the protocol as gRPC has it."""

from __future__ import annotations

from lapel import v1
from lapel._asyncio_platform import Channel


class AsyncStubs:
    """A stub for each service, on the client's connection, with its token and trace, without its deadlines and tries.

    >>> answer = await client.stubs.search.Search(lapel.search_request(item_id="coat-01"), timeout=1.0)
    """

    def __init__(self, channel: Channel) -> None:
        #: Backups, and what the server does.
        self.admin = v1.AdminServiceStub(channel)
        #: Items.
        self.catalog = v1.CatalogServiceStub(channel)
        #: Picks and profiles.
        self.feedback = v1.FeedbackServiceStub(channel)
        #: Backbones with their heads.
        self.generations = v1.GenerationServiceStub(channel)
        #: Heads.
        self.heads = v1.HeadServiceStub(channel)
        #: Describe and search.
        self.search = v1.SearchServiceStub(channel)
