"""What the tests share: a server with a small catalogue, clients with default options, servers of their own."""

import threading

import grpc
import pytest

import lessons
import photos
from calls import Recorder
from program import PROGRAM, Server
from protocol import Client

#: One of the demo's photos in so many is in the shared catalogue.
STEP = 7


@pytest.fixture(scope="session")
def recorder():
    """What was called and answered so far."""
    return Recorder()


@pytest.fixture(scope="session")
def items():
    """The items of the shared catalogue."""
    return photos.wardrobe(STEP)


@pytest.fixture(scope="session")
def server(tmp_path_factory, items):
    """A server that all tests share; whoever changes its catalogue changes it back."""
    server = Server(tmp_path_factory.mktemp("shared") / "data")
    filling = Client.of(server.address)
    filling.store(*items)
    filling.close()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def lesson(tmp_path_factory):
    """Photos of three kinds of garments with their features, as `lapel-train features` gives them."""
    return lessons.lesson(tmp_path_factory.mktemp("garments"))


@pytest.fixture
def connect(recorder):
    """Makes clients, each on a channel of its own that ends with the test; without options it has the default ones."""
    channels = []

    def connected(server, **options):
        channels.append(grpc.insecure_channel(server.address, **options))
        return Client(grpc.intercept_channel(channels[-1], recorder))

    yield connected
    for channel in channels:
        channel.close()


@pytest.fixture
def client(connect, server):
    """A client of the shared server."""
    return connect(server)


@pytest.fixture
def start(tmp_path_factory):
    """Starts servers that end with the test; without a folder on an empty catalogue."""
    servers = []

    def started(data=None, **settings):
        servers.append(Server(data or tmp_path_factory.mktemp("own") / "data", **settings))
        return servers[-1]

    yield started
    for server in servers:
        server.stop()


@pytest.fixture
def standing():
    """Makes streams of requests that go on, and say nothing more, until the test ends."""
    ended = threading.Event()

    def said(*requests):
        yield from requests
        ended.wait()

    yield said
    ended.set()


def pytest_configure():
    """Says once what is missing, and not for every test."""
    if not PROGRAM.is_file():
        raise pytest.UsageError(f"{PROGRAM} is missing: cargo build --release --bin lapel-server, or set LAPEL_SERVER")


def pytest_collection_modifyitems(items):
    """Tests that look at what the others did come after them."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)
