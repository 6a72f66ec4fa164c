"""Looked at last: no method of the clients was left out, and both have the same."""

import inspect

import pytest
from twins import called, public_methods

import lapel


@pytest.mark.last
def test_every_method_was_called(shop):
    client = lapel.Client(shop.address, token="")
    there = set(public_methods(client)) - {"close"}
    client.close()
    assert len(there) > 40
    assert sorted(there - called) == []


def test_both_clients_take_the_same():
    for one in ("Client", "Items", "Heads", "Profiles", "Generations"):
        plain, waiting = getattr(lapel._sync, one), getattr(lapel._async, f"Async{one}")
        for name, method in inspect.getmembers(plain, inspect.isfunction):
            name = {"__enter__": "__aenter__", "__exit__": "__aexit__"}.get(name, name)
            assert list(inspect.signature(method).parameters) == list(
                inspect.signature(getattr(waiting, name)).parameters
            ), name


def test_everything_is_documented():
    for name in lapel.__all__:
        assert getattr(lapel, name).__doc__, name
