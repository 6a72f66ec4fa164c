"""Items as they are sent and as they come back, and what becomes of an upload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from google.protobuf.field_mask_pb2 import FieldMask
from numpy.typing import ArrayLike, NDArray

from lapel import v1
from lapel.errors import LapelError
from lapel.images import Image, encode
from lapel.values import Value, field_value, signature_list


@dataclass(frozen=True, kw_only=True)
class NewItem:
    """An item to add or replace.

    >>> lapel.NewItem(id="coat-01", image="coat-01.jpg", labels={"color": "navy"}, fields={"price": 79.9})
    """

    #: 1 to 256 bytes.
    id: str
    #: Its first picture, read when its turn comes.
    image: Image | None = None
    #: Further pictures, e.g. of its back.
    more_images: Sequence[Image] = ()
    #: By attribute; one that is left out is missing.
    labels: Mapping[str, str] = field(default_factory=dict)
    #: What the shop filters, groups and counts by.
    fields: Mapping[str, Value] = field(default_factory=dict)
    #: Computed elsewhere, by head.
    signatures: Mapping[str, ArrayLike] = field(default_factory=dict)
    #: An item with this id that is there keeps what is not named here.
    keep_others: bool = False

    def message(self) -> v1.UpsertItemsRequest:
        """What is sent. OSError: a picture cannot be read."""
        return v1.UpsertItemsRequest(
            id=self.id,
            image=b"" if self.image is None else encode(self.image),
            more_images=[encode(image) for image in self.more_images],
            labels=self.labels,
            fields={name: field_value(value) for name, value in self.fields.items()},
            signatures=signature_list(self.signatures),
            keep_others=self.keep_others,
        )


@dataclass(frozen=True, kw_only=True)
class ItemUpdate:
    """Parts of an item that is there: what is named is set, or removed where it is `None`, and all else stays.

    >>> lapel.ItemUpdate(id="coat-01", labels={"color": "blue", "fit": None}, fields={"in_stock": False})
    """

    #: Of the item.
    id: str
    #: By attribute.
    labels: Mapping[str, str | None] = field(default_factory=dict)
    #: By name.
    fields: Mapping[str, Value | None] = field(default_factory=dict)
    #: Added, by head.
    signatures: Mapping[str, ArrayLike] = field(default_factory=dict)

    def message(self) -> v1.UpsertItemsRequest:
        """What is sent."""
        paths = [f"labels.{name}" for name in self.labels] + [f"fields.{name}" for name in self.fields]
        if self.signatures:
            paths.append("signatures")
        return v1.UpsertItemsRequest(
            id=self.id,
            labels={name: label for name, label in self.labels.items() if label is not None},
            fields={name: field_value(value) for name, value in self.fields.items() if value is not None},
            signatures=signature_list(self.signatures),
            update_mask=FieldMask(paths=paths),
        )


@dataclass(frozen=True)
class ItemResult:
    """What has become of one item."""

    #: Of the item.
    id: str
    #: Whether one with its id was there before.
    replaced: bool = False
    #: Why it was refused; nothing of it is stored then.
    error: LapelError | None = None
    #: Whether an earlier run stored it, as the report says.
    skipped: bool = False


@dataclass
class UploadReport:
    """What has become of the items of an upload, in the order of their acknowledgement."""

    #: One an item.
    results: list[ItemResult] = field(default_factory=list)

    @property
    def stored(self) -> int:
        """Items that this upload stored; they are on the server's disk."""
        return sum(result.error is None and not result.skipped for result in self.results)

    @property
    def skipped(self) -> int:
        """Items that an earlier run stored."""
        return sum(result.skipped for result in self.results)

    @property
    def refused(self) -> list[ItemResult]:
        """Items that were refused, each with its error."""
        return [result for result in self.results if result.error is not None]


@dataclass(frozen=True)
class UploadProgress:
    """How far an upload is."""

    #: Items of which it is known what became of them.
    done: int
    #: Items in all; `None` where they come from an iterator without a length.
    total: int | None
    #: Of those done, how many were refused.
    refused: int
    #: Items a second since the beginning.
    items_per_second: float


@dataclass(frozen=True)
class StoredImage:
    """A picture as it was sent."""

    #: The file.
    data: bytes
    #: `image/jpeg`, `image/png` or `image/webp`.
    content_type: str


@dataclass(frozen=True)
class ExportedItem:
    """An item with all that is stored of it."""

    #: Id, labels and fields.
    item: v1.Item
    #: Its pictures, the first one first; empty where they were not asked for.
    images: tuple[StoredImage, ...]
    #: By active head, of unit length.
    signatures: Mapping[str, NDArray[np.float32]]
    #: Why a picture is not here: it is damaged.
    image_error: LapelError | None = None


@dataclass(frozen=True)
class CatalogArrays:
    """The catalogue as arrays, a row an item, ordered by id."""

    #: Texts, [items].
    ids: NDArray[np.str_]
    #: By attribute: texts, [items]; empty where an item has no label.
    labels: Mapping[str, NDArray[np.str_]]
    #: By head: float32 [items, dim]; a row is NaN where an item has no signature.
    signatures: Mapping[str, NDArray[np.float32]]


def catalog_arrays(items: Sequence[ExportedItem]) -> CatalogArrays:
    """Exported items as arrays."""
    attributes = sorted({attribute for one in items for attribute in one.item.labels})
    dims = {head: values.size for one in items for head, values in one.signatures.items()}
    signatures = {head: np.full((len(items), dim), np.nan, np.float32) for head, dim in sorted(dims.items())}
    for row, one in enumerate(items):
        for head, values in one.signatures.items():
            signatures[head][row] = values
    labels = {name: np.array([one.item.labels.get(name, "") for one in items], np.str_) for name in attributes}
    return CatalogArrays(np.array([one.item.id for one in items], np.str_), labels, signatures)
