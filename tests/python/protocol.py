"""The protocol as a stranger gets it: stubs made by protoc from proto/, in a folder that goes with the run."""

import importlib
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import grpc
import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
# Every file there is, so that a new one needs no line here.
FILES = sorted(path.relative_to(PROTO) for path in PROTO.glob("lapel/**/*.proto"))
_STUBS = tempfile.TemporaryDirectory(prefix="lapel-stubs-")


def _compile():
    known = Path(grpc_tools.__file__).parent / "_proto"
    arguments = [f"-I{PROTO}", f"-I{known}", f"--python_out={_STUBS.name}", f"--grpc_python_out={_STUBS.name}"]
    if protoc.main(["protoc", *arguments, *map(str, FILES)]) != 0:
        raise RuntimeError("protoc refuses the files in proto/")
    sys.path.insert(0, _STUBS.name)


def _imported(suffix):
    modules = (".".join(path.with_suffix("").parts) + suffix for path in FILES)
    return [importlib.import_module(module) for module in modules]


_compile()
#: The modules of messages, one a file.
MODULES = _imported("_pb2")
#: All messages and enums by their names.
v1 = SimpleNamespace(**{name: value for module in MODULES for name, value in vars(module).items()})
_stubs = SimpleNamespace(**{name: value for module in _imported("_pb2_grpc") for name, value in vars(module).items()})


class Client:
    """The stubs of all services on one channel, and what takes more than one line with them."""

    def __init__(self, channel):
        self.channel = channel
        self.admin = _stubs.AdminServiceStub(channel)
        self.catalog = _stubs.CatalogServiceStub(channel)
        self.feedback = _stubs.FeedbackServiceStub(channel)
        self.generations = _stubs.GenerationServiceStub(channel)
        self.heads = _stubs.HeadServiceStub(channel)
        self.search = _stubs.SearchServiceStub(channel)

    @classmethod
    def of(cls, address, **options):
        """A client on a channel of its own, with the options that a channel has unless told otherwise."""
        return cls(grpc.insecure_channel(address, **options))

    def close(self):
        """Ends the channel."""
        self.channel.close()

    def store(self, *items):
        """Stores items, none of which may be refused."""
        results = self.catalog.UpsertItems(iter(items)).results
        refused = [result for result in results if result.HasField("error")]
        assert len(results) == len(items) and not refused, refused

    def exported(self):
        """All items with their images and signatures, by id. Large images come in pieces, which are put together here."""
        items = {}
        for one in self.catalog.ExportItems(v1.ExportItemsRequest(in_pieces=True)):
            if one.HasField("item"):
                last = items[one.item.id] = one
            else:
                last.image += one.image
        assert all(len(one.image) == one.image_bytes for one in items.values())
        return items

    def image(self, item_id):
        """An item's image of any size."""
        return b"".join(piece.chunk for piece in self.catalog.StreamItemImage(v1.StreamItemImageRequest(id=item_id)))


def like(item_id, k=3, **fields):
    """A search like an item of the catalogue."""
    return v1.SearchRequest(query=v1.Query(item_id=item_id), k=k, **fields)
