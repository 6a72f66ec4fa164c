"""Errors as exceptions: a class for each gRPC status, with what the server says beside its words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from lapel.items import UploadReport
    from lapel.v1 import ItemError

_DETAILS = "grpc-status-details-bin"
#: The server's id of the request, under which its log has it.
_REQUEST_ID = "x-request-id"
#: What grpc.aio says, with INTERNAL, where a stream ended while it was sending a message of it.
_CUT_OFF = "Internal error from Core"


@dataclass(frozen=True)
class FieldViolation:
    """A field of a request that cannot be accepted."""

    #: Its path, e.g. `manipulations[0].label`; empty where it says how many further ones there are.
    field: str
    #: What would be right.
    description: str


class LapelError(Exception):
    """An error that the server, or the connection to it, answered a call with. Each status has a class of its own.

    >>> try:
    ...     client.search(item_id="coat-01", k=0)
    ... except lapel.InvalidArgumentError as error:
    ...     for bad in error.violations:
    ...         print(bad.field, bad.description)
    """

    #: The gRPC status.
    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: tuple[FieldViolation, ...] = (),
        retry_after: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        #: In words.
        self.message = message
        #: Stable, UPPER_SNAKE, e.g. `NOT_FOUND`; empty where the server did not say one.
        self.reason = reason
        #: Facts behind the reason, e.g. the name that was not found.
        self.metadata = dict(metadata or {})
        #: All bad fields of the request at once.
        self.violations = violations
        #: Seconds after which another try may go well; `None` where the server did not say.
        self.retry_after = retry_after
        #: Under which the server's log has the request.
        self.request_id = request_id
        #: Of an upload that was given up: what has become of its items.
        self.report: UploadReport | None = None

    def __str__(self) -> str:
        """The words, and each bad field that they do not name."""
        more = [f"{bad.field}: {bad.description}" for bad in self.violations if bad.description not in self.message]
        told = f"{self.code.name}: {self.message}"
        return "\n  ".join([told, *more])


class CancelledError(LapelError):
    """The call was given up."""

    code = grpc.StatusCode.CANCELLED


class UnknownError(LapelError):
    """What no other status fits, mostly a proxy's answer."""

    code = grpc.StatusCode.UNKNOWN


class InvalidArgumentError(LapelError):
    """A field of the request cannot be accepted; `violations` has all such fields."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class DeadlineExceededError(LapelError):
    """It took longer than `timeout`, tries included."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class NotFoundError(LapelError):
    """An item, head, attribute, label or profile is not there."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExistsError(LapelError):
    """A name is taken by something else."""

    code = grpc.StatusCode.ALREADY_EXISTS


class PermissionDeniedError(LapelError):
    """The token has not the role that the method takes."""

    code = grpc.StatusCode.PERMISSION_DENIED


class ResourceExhaustedError(LapelError):
    """A limit is reached; `retry_after` says when there may be room."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class FailedPreconditionError(LapelError):
    """Not in the present state; `reason` says why."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class AbortedError(LapelError):
    """Something else came between."""

    code = grpc.StatusCode.ABORTED


class OutOfRangeError(LapelError):
    """A message is too large."""

    code = grpc.StatusCode.OUT_OF_RANGE


class UnimplementedError(LapelError):
    """The server does not know the method: it is older than this client, or no Lapel."""

    code = grpc.StatusCode.UNIMPLEMENTED


class InternalError(LapelError):
    """The server has a fault; its log says more."""

    code = grpc.StatusCode.INTERNAL


class UnavailableError(LapelError):
    """The server is not reached, starts or ends."""

    code = grpc.StatusCode.UNAVAILABLE


class DataLossError(LapelError):
    """What is stored is damaged; writing the item again heals it."""

    code = grpc.StatusCode.DATA_LOSS


class UnauthenticatedError(LapelError):
    """No token, or one that the server does not know."""

    code = grpc.StatusCode.UNAUTHENTICATED


_CLASSES: dict[grpc.StatusCode, type[LapelError]] = {kind.code: kind for kind in LapelError.__subclasses__()}
_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def from_call(error: grpc.RpcError) -> LapelError:
    """The exception of a call that failed. Its cause is gRPC's own."""
    call: Any = error
    told = dict(call.trailing_metadata() or ())
    details: dict[str, Any] = {"request_id": told.get(_REQUEST_ID, "")}
    if packed := told.get(_DETAILS):
        details |= _details(packed)
    code, message = call.code(), call.details() or ""
    if (code, message) == (grpc.StatusCode.INTERNAL, _CUT_OFF):
        code = grpc.StatusCode.UNAVAILABLE
    found = _CLASSES.get(code, UnknownError)(message, **details)
    found.__cause__ = error
    return found


def from_item(error: ItemError) -> LapelError:
    """The exception of one element of a request, of which others went on."""
    code = _BY_NUMBER.get(error.code, grpc.StatusCode.UNKNOWN)
    return _CLASSES.get(code, UnknownError)(error.message, reason=error.reason)


def _details(packed: bytes) -> dict[str, Any]:
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    found: dict[str, Any] = {}
    for detail in status_pb2.Status.FromString(packed).details:
        if detail.Unpack(info):
            found |= {"reason": info.reason, "metadata": dict(info.metadata)}
        elif detail.Unpack(bad):
            found["violations"] = tuple(FieldViolation(one.field, one.description) for one in bad.field_violations)
        elif detail.Unpack(retry):
            found["retry_after"] = retry.retry_delay.ToTimedelta().total_seconds()
    return found
