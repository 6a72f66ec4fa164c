"""What the tests share: a server with a small catalogue, both clients of it, a relay that fails on demand."""

import csv
import os

import pytest
from relay import Relay
from shop import ITEMS, WARDROBE
from twins import twin

import lapel
import lapel.testing

pytest_plugins = ["lapel.testing"]

# Some tests start it from a folder of their own.
os.environ["LAPEL_SERVER_PROGRAM"] = str(lapel.testing.program())


@pytest.fixture(scope="session")
def lapel_server_settings():
    """On a machine that is busy a head takes longer than it may by default."""
    return {"limits.head_ms_max": 10_000}


@pytest.fixture(scope="session")
def wardrobe():
    """Some of the demo's photos with their labels and a price; every kind of garment is among them."""
    with (WARDROBE / "labels.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    items = []
    for number, row in enumerate(rows[:: len(rows) // ITEMS][:ITEMS]):
        image = row.pop("image")
        labels = {attribute: label for attribute, label in row.items() if label}
        fields = {"price": 10.0 + number, "in_stock": number % 2 == 0, "tags": ["new", f"shelf-{number % 3}"]}
        path = WARDROBE / "images" / image
        items.append(lapel.NewItem(id=path.stem, image=path, labels=labels, fields=fields))
    return items


@pytest.fixture(scope="session")
def shop(lapel_server, wardrobe):
    """The server with the wardrobe; whoever changes its catalogue changes it back."""
    with lapel.Client(lapel_server.address, token="") as client:
        report = client.items.upsert(wardrobe)
        assert (report.stored, report.refused) == (len(wardrobe), [])
    return lapel_server


@pytest.fixture(params=["sync", "asyncio"])
def connect(request):
    """Makes clients of either kind, which end with the test."""
    ends = []

    def connected(address, **options):
        kinds = {False: lapel.Client, True: lapel.AsyncClient}
        client, end = twin(request.param, lambda is_async: kinds[is_async](address, **{"token": "", **options}))
        ends.append(end)
        return client

    yield connected
    for end in ends:
        end()


@pytest.fixture
def client(shop, connect):
    """A client of the shop."""
    return connect(shop.address)


@pytest.fixture
def relay(shop):
    """A relay before the shop."""
    relay = Relay(shop.target)
    yield relay
    relay.close()


@pytest.fixture
def relayed(relay, connect):
    """A client that reaches the shop by the relay, and does not wait long between tries."""
    return connect(relay.address, retry=lapel.Retry(pause=0.01))


def pytest_collection_modifyitems(items):
    """Tests that look at what the others did come after them."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture
def own(client):
    """Ids that are deleted after the test."""
    ids = []
    yield ids
    client.items.delete(ids)
