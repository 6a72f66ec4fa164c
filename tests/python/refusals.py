"""Errors as programs read them: by grpc-status, with the details that Google's clients know."""

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

#: Where the reasons of this server belong.
DOMAIN = "lapel"


def details(error, kind):
    """The detail of a kind, e.g. BadRequest; `None` when there is none."""
    status = rpc_status.from_call(error)
    for packed in status.details if status else ():
        detail = kind()
        if packed.Unpack(detail):
            return detail
    return None


def reason(error):
    """The stable reason of an error; empty when the error is not the server's."""
    info = details(error, error_details_pb2.ErrorInfo)
    return info.reason if info and info.domain == DOMAIN else ""


def refused(call, code, why):
    """Makes a call that has to fail with this code and this reason, and gives its error."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    error = raised.value
    assert (error.code(), reason(error)) == (code, why), error
    return error
