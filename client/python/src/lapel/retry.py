"""When a call is tried again, and how long it may take in all."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass

from lapel.errors import LapelError, ResourceExhaustedError, UnavailableError


@dataclass(frozen=True)
class Retry:
    """Tries of a call that met a server which was not reached, was starting or ending, or had no room.

    Every call of the client may be repeated: it only reads, or it carries a request id, by which the server answers a
    repeated request with the first outcome. Where the server says when to come again (RetryInfo), it is not asked before.
    """

    #: Tries in all; 1: none is repeated.
    tries: int = 5
    #: Seconds before the second try, doubled for each one after it, of which between half and all are waited.
    pause: float = 0.2
    #: The longest pause, seconds; a server that says a longer one gets it.
    pause_max: float = 5.0

    def delay(self, error: LapelError, tried: int) -> float | None:
        """Seconds until the next try after so many; `None`: there is none."""
        if tried >= self.tries or not isinstance(error, UnavailableError | ResourceExhaustedError):
            return None
        pause = min(self.pause * 2.0 ** (tried - 1), self.pause_max)
        # Callers that were cut off together do not come back together.
        return max(error.retry_after or 0.0, pause * random.uniform(0.5, 1.0))  # noqa: S311


class Deadline:
    """A point in time that all tries of a call share."""

    #: Longer than anything lasts; with more, gRPC's own clock runs over.
    _SECONDS_MAX = 10.0 * 365 * 86400

    def __init__(self, seconds: float) -> None:
        if math.isnan(seconds):
            raise ValueError("timeout is no number; inf waits for as long as it takes")
        self._at = time.monotonic() + min(seconds, self._SECONDS_MAX)

    def left(self) -> float:
        """Seconds until then; below 0 afterwards."""
        return self._at - time.monotonic()
