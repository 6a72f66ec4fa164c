"""A server of gRPC before the real one: passes calls on as they are, and fails where a test says so. The wire is real."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2


@dataclass
class Fault:
    """What befalls the next calls of a method."""

    #: Its name, e.g. `Search`.
    method: str
    times: int = 1
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    #: Answers that are passed on before.
    after: int = 0
    #: Seconds that RetryInfo asks for.
    retry_after: float | None = None
    #: Whether the real server gets the call and its answer alone is lost.
    lose_answer: bool = False


@dataclass
class Seen:
    """A call as it came."""

    method: str
    metadata: dict[str, str]
    requests: list[bytes] = field(default_factory=list)
    #: Whether its caller has its end, or has left.
    has_ended: bool = False


class Relay(grpc.GenericRpcHandler):
    """Relays to `target`; `faults` may be changed at any time."""

    def __init__(self, target):
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        #: Answers wait until it is set.
        self.pass_on = threading.Event()
        self.pass_on.set()
        self._lock = threading.Lock()
        self._channel = grpc.insecure_channel(target, [("grpc.max_receive_message_length", -1)])
        sizes = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._server = grpc.server(ThreadPoolExecutor(32), handlers=[self], options=sizes)
        self.address = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def calls(self, method):
        """The calls of a method that came so far."""
        return [seen for seen in self.seen if seen.method == method]

    def service(self, details):
        """Every method, as a stream of messages both ways, which the others are cases of."""
        metadata = [(key, value) for key, value in details.invocation_metadata if not key.startswith("user-agent")]
        name = details.method.rsplit("/", 1)[1]
        call = self._channel.stream_stream(details.method)

        def handle(requests, context):
            seen = Seen(name, dict(metadata))
            with self._lock:
                self.seen.append(seen)
                fault = next((one for one in self.faults if one.method == name and one.times > 0), None)
                if fault is not None:
                    fault.times -= 1
            if fault is not None and not fault.after and not fault.lose_answer:
                _fail(context, fault)

            def noted():
                for request in requests:
                    seen.requests.append(request)
                    yield request

            answers = call(noted(), metadata=metadata, timeout=min(context.time_remaining() or 60, 60))

            def end():
                seen.has_ended = True
                answers.cancel()

            if not context.add_callback(end):
                # The caller had left already; gRPC then calls nothing.
                end()
            self.pass_on.wait()
            passed = 0
            try:
                for answer in answers:
                    if fault is not None and (fault.lose_answer or passed == fault.after):
                        answers.cancel()
                        _fail(context, fault)
                    passed += 1
                    yield answer
            except grpc.RpcError as error:
                context.set_trailing_metadata(error.trailing_metadata())
                context.abort(error.code(), error.details())

        return grpc.stream_stream_rpc_method_handler(handle)

    def close(self):
        """Ends it."""
        self._server.stop(None)
        self._channel.close()


def _fail(context, fault):
    if fault.retry_after is not None:
        delay = Duration()
        delay.FromMilliseconds(int(fault.retry_after * 1000))
        packed = Packed()
        packed.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        status = status_pb2.Status(code=fault.code.value[0], message="injected", details=[packed])
        context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
    context.abort(fault.code, "injected")
