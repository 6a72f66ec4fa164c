"""The trace that a call belongs to, as W3C's `traceparent`, and its caller's id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec

_TRACEPARENT: ContextVar[str] = ContextVar("lapel_traceparent", default="")
#: Whether the program has OpenTelemetry, whose current span is then passed on.
_HAS_OPENTELEMETRY = find_spec("opentelemetry") is not None and find_spec("opentelemetry.propagate") is not None


@contextmanager
def traceparent(value: str) -> Iterator[None]:
    """Passes a trace on with the calls inside, of this thread or task.

    Where OpenTelemetry is installed its current span is passed on by itself, and this is not needed.

    >>> with lapel.traceparent(request.headers["traceparent"]):
    ...     client.search(item_id="coat-01")
    """
    token = _TRACEPARENT.set(value)
    try:
        yield
    finally:
        _TRACEPARENT.reset(token)


def headers() -> list[tuple[str, str]]:
    """The headers of the present trace; none where there is none."""
    if given := _TRACEPARENT.get():
        return [("traceparent", given)]
    carrier: dict[str, str] = {}
    if _HAS_OPENTELEMETRY:
        import_module("opentelemetry.propagate").inject(carrier)
    return [(name.lower(), value) for name, value in carrier.items()]
