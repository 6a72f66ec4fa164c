"""Client of Lapel, the attribute-based visual search server.

`Client` blocks, `AsyncClient` is the same for asyncio. Answers are the messages of the protocol (`lapel.v1`), which have all
that the server says, under its names; `lapel.python_values` and `lapel.arrays` make plain values and arrays of them. What the
client itself makes are frozen dataclasses.

>>> import lapel
>>> with lapel.Client("http://127.0.0.1:7700") as client:
...     answer = client.search(image="dress.jpg", manipulations={"sleeve_length": "short"})
...     print([result.item_id for result in answer.results])
"""

from lapel import filters, v1
from lapel._async import AsyncClient
from lapel._sync import Client
from lapel.errors import (
    AbortedError,
    AlreadyExistsError,
    CancelledError,
    DataLossError,
    DeadlineExceededError,
    FailedPreconditionError,
    FieldViolation,
    InternalError,
    InvalidArgumentError,
    LapelError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
    UnknownError,
)
from lapel.images import Image
from lapel.items import (
    CatalogArrays,
    ExportedItem,
    ItemResult,
    ItemUpdate,
    NewItem,
    StoredImage,
    UploadProgress,
    UploadReport,
)
from lapel.query import QueryOptions, SearchOptions, search_request
from lapel.retry import Retry
from lapel.tracing import traceparent
from lapel.values import Value, arrays, field_value, python_value, python_values

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "AsyncClient",
    "CancelledError",
    "CatalogArrays",
    "Client",
    "DataLossError",
    "DeadlineExceededError",
    "ExportedItem",
    "FailedPreconditionError",
    "FieldViolation",
    "Image",
    "InternalError",
    "InvalidArgumentError",
    "ItemResult",
    "ItemUpdate",
    "LapelError",
    "NewItem",
    "NotFoundError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "QueryOptions",
    "ResourceExhaustedError",
    "Retry",
    "SearchOptions",
    "StoredImage",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "UploadProgress",
    "UploadReport",
    "Value",
    "arrays",
    "field_value",
    "filters",
    "python_value",
    "python_values",
    "search_request",
    "traceparent",
    "v1",
]
