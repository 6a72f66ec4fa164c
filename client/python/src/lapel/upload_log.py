"""What has become of an upload's items: counted, told, and kept in a file by which a later run goes on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from lapel.errors import InvalidArgumentError
from lapel.items import ItemResult, UploadProgress, UploadReport


class UploadLog:
    """Shared by the streams of an upload, of several threads too."""

    def __init__(
        self, total: int | None, on_progress: Callable[[UploadProgress], None] | None, file: str | Path | None
    ) -> None:
        self.report = UploadReport()
        self._total = total
        self._on_progress = on_progress
        self._refused = 0
        self._ids: set[str] = set()
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._stored_before: set[str] = set()
        self._file: BinaryIO | None = None
        if file is not None:
            self._stored_before = _read(Path(file))
            self._file = Path(file).open("ab")  # noqa: SIM115

    def is_to_be_sent(self, item_id: str) -> bool:
        """Whether an item is not stored yet; one that comes twice is refused."""
        with self._lock:
            is_first = item_id not in self._ids
            self._ids.add(item_id)
        if not is_first:
            self.add([ItemResult(item_id, error=InvalidArgumentError("this id came before", reason="NOT_SENT"))])
        elif item_id in self._stored_before:
            self.add([ItemResult(item_id, skipped=True)])
            is_first = False
        return is_first

    def add(self, results: list[ItemResult]) -> None:
        """Notes what has become of items."""
        with self._lock:
            if self._file is not None:
                lines = [_line(result) for result in results if not result.skipped]
                self._file.write("".join(lines).encode())
                self._file.flush()
            self.report.results += results
            self._refused += sum(result.error is not None for result in results)
            if self._on_progress is not None:
                done = len(self.report.results)
                rate = done / max(time.monotonic() - self._began, 1e-9)
                self._on_progress(UploadProgress(done, self._total, self._refused, rate))

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()


#: How each line begins.
_BEGINS = b'{"id":'


def _line(result: ItemResult) -> str:
    """A line as `lapel items import --report` writes it, which can go on with the file."""
    told: dict[str, object] = {"id": result.id, "stored": result.error is None}
    told |= {"replaced": result.replaced} if result.error is None else {"error": result.error.message}
    line = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    # An id may be no text that UTF-8 has, as the names of some files are none.
    return line.encode(errors="replace").decode() + "\n"


def _read(path: Path) -> set[str]:
    """Ids that the file says are stored. A last line that was cut off is removed."""
    if not path.exists():
        return set()
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    stored = set()
    for number, line in enumerate(content[:whole].splitlines(), 1):
        try:
            told = json.loads(line)
            item_id, is_stored = told["id"], told["stored"]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}, line {number} is not of a report that an upload wrote") from error
        if is_stored:
            stored.add(item_id)
    rest = content[whole:]
    # However little of a line was written, it is the beginning of one.
    if not (rest.startswith(_BEGINS) or _BEGINS.startswith(rest)):
        raise ValueError(f"{path} is not a report that an upload wrote; give another file")
    with path.open("r+b") as file:
        file.truncate(whole)
    return stored
