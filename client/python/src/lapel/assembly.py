"""Items of an export, which come in pieces, put together."""

from __future__ import annotations

from lapel import errors, v1
from lapel.items import ExportedItem, StoredImage
from lapel.values import arrays


class Assembly:
    """What has come of the present item. An export that was cut off goes on behind the last whole one."""

    def __init__(self, after: str, images: bool) -> None:
        self._request = v1.ExportItemsRequest(after=after, no_images=not images, in_pieces=True, all_images=images)
        self._first: v1.ExportItemsResponse | None = None
        self._images: dict[int, tuple[str, bytearray]] = {}
        self._error: errors.LapelError | None = None

    def request(self) -> v1.ExportItemsRequest:
        """For what has not come yet; what has come of an item that is not whole is forgotten."""
        self._begin(None)
        return self._request

    def add(self, answer: v1.ExportItemsResponse) -> ExportedItem | None:
        """Takes the next message; gives the item before, where this one begins another."""
        whole = None
        if answer.HasField("item"):
            whole = self.end()
            self._begin(answer)
        if answer.HasField("image_error"):
            self._error = errors.from_item(answer.image_error)
        elif answer.image:
            _, data = self._images.setdefault(answer.picture, (answer.content_type, bytearray()))
            data += answer.image
        return whole

    def end(self) -> ExportedItem | None:
        """The last item, behind the last message."""
        if (first := self._first) is None:
            return None
        images = tuple(StoredImage(bytes(data), kind) for _, (kind, data) in sorted(self._images.items()))
        whole = ExportedItem(first.item, images, arrays(first.signatures), self._error)
        self._request.after = first.item.id
        self._begin(None)
        return whole

    def _begin(self, first: v1.ExportItemsResponse | None) -> None:
        self._first, self._images, self._error = first, {}, None
