"""Pictures to send: the demo's photos with their labels, and noise of any size."""

import csv
import io
import random

from PIL import Image

from protocol import ROOT, v1

WARDROBE = ROOT / "examples/wardrobe"
#: The photo of the README's query, which is in no catalogue.
DRESS = (ROOT / "examples/queries/dress.jpg").read_bytes()
MIB = 1 << 20


def wardrobe(step):
    """One photo in `step`, as items with their labels; so there is something of every kind of garment."""
    with (WARDROBE / "labels.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))[::step]
    return [_item(row) for row in rows]


def _item(row):
    image = row.pop("image")
    labels = {attribute: label for attribute, label in row.items() if label}
    picture = (WARDROBE / "images" / image).read_bytes()
    return v1.UpsertItemsRequest(id=image.removesuffix(".jpg"), image=picture, labels=labels)


def noise(size_bytes):
    """A PNG of about so many bytes. Noise cannot be compressed, so its size is that of its pixels."""
    side = int((size_bytes / 3) ** 0.5)
    image = Image.frombytes("RGB", (side, side), random.Random(7).randbytes(3 * side * side))
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=0)
    return file.getvalue()


def large_photo(width=7700, height=5100):
    """A JPEG of nearly as many pixels as the server takes, and few bytes: quick to send, slow to decode."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(file, "JPEG")
    return file.getvalue()
