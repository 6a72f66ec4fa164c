"""Pictures in every form that programs have them in, as the bytes of files."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: What PNG may take, a little below the server's default for a message; larger pictures are sent as JPEG.
_PNG_BYTES_MAX = 8 << 20


class PilImage(Protocol):
    """A `PIL.Image.Image`."""

    mode: str

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:  # noqa: ANN401
        """Writes it to a file."""

    def convert(self, mode: str) -> Any:  # noqa: ANN401
        """The same picture with other channels."""

    def getexif(self) -> Any:  # noqa: ANN401
        """Its EXIF, which says how the camera was held."""


#: A path, the bytes of a JPEG, PNG or WebP file, a PIL image, or an array: uint8 [height, width, 3] in RGB, [height, width,
#: 4] with opacity, or [height, width] in grey.
Image: TypeAlias = str | Path | bytes | PilImage | NDArray[Any]


def encode(image: Image) -> bytes:
    """The bytes of a file. Files are sent as they are; PIL images and arrays as PNG, without a loss."""
    match image:
        case bytes():
            return image
        case str() | Path():
            return Path(image).read_bytes()
        case np.ndarray():
            return _png(image)
        case _ if hasattr(image, "save") and hasattr(image, "getexif"):
            return _pil(image)
    raise TypeError(f"a path, bytes, a PIL image or an array is wanted, not {type(image).__name__}")


def _pil(image: PilImage) -> bytes:
    if image.mode not in ("RGB", "RGBA", "L"):
        exif, image = image.getexif(), image.convert("RGBA" if "A" in image.mode or image.mode == "P" else "RGB")
    else:
        exif = image.getexif()
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif, compress_level=1)
    if file.tell() > _PNG_BYTES_MAX:
        file = io.BytesIO()
        image.convert("RGB").save(file, "JPEG", exif=exif, quality=95, subsampling=0)
    return file.getvalue()


def _png(array: NDArray[Any]) -> bytes:
    """A PNG, so that arrays take no further package."""
    colour = {(2, 1): 0, (3, 3): 2, (3, 4): 6}.get((array.ndim, array.shape[2] if array.ndim == 3 else 1))
    if array.dtype != np.uint8 or colour is None or not array.size:
        raise ValueError(f"uint8 of shape [height, width, 3] is wanted, not {array.dtype} of {list(array.shape)}")
    height, width = array.shape[:2]
    # Each line begins with the number of its filter, 0: none.
    lines = np.zeros((height, 1 + array[0].size), np.uint8)
    lines[:, 1:] = array.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
