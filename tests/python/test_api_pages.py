"""The API reference says what the protocol says."""

import api_pages


def test_the_pages_are_what_the_protocol_gives():
    there = {path.name: path.read_text() for path in api_pages.PAGES.glob("*.md")}
    assert there == api_pages.pages(), "write them anew: just api-pages"
