"""Every method the server has is called by this suite, on a channel with default options."""

import pytest
from services import methods


@pytest.mark.last
def test_no_method_is_left_out(client, recorder):
    """For the whole suite: whoever adds a method adds a test that calls it."""
    there = methods(client.channel)
    assert len(there) >= 30
    assert sorted(there - recorder.answered) == [], "these methods were not called, or never answered"
